-- A missed call is a promise to call back.

CREATE TYPE promise_status AS ENUM ('open', 'kept', 'broken', 'withdrawn');

CREATE TABLE promises (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id  bigint REFERENCES companies,
    phone       text,
    category    text,
    status      promise_status NOT NULL DEFAULT 'open',
    reason      call_outcome NOT NULL,
    clause      text NOT NULL,
    missed      integer NOT NULL DEFAULT 1 CHECK (missed > 0),
    opened_at   timestamptz NOT NULL DEFAULT now(),
    missed_at   timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    why         text
);
COMMENT ON TABLE promises IS 'Due ten minutes after the first missed call arrived; never deleted.';
COMMENT ON COLUMN promises.why IS 'Why it cannot be kept, was broken, or was withdrawn.';
CREATE UNIQUE INDEX one_open_promise_a_number ON promises (phone) WHERE status = 'open';
CREATE INDEX promises_due ON promises (due_at) WHERE status = 'open';

CREATE TABLE promise_calls (
    call_id     text PRIMARY KEY REFERENCES calls,
    promise_id  bigint NOT NULL REFERENCES promises
);
COMMENT ON TABLE promise_calls IS 'The missed calls behind a promise: a call makes or joins exactly one.';
CREATE INDEX promise_calls_of ON promise_calls (promise_id);

CREATE FUNCTION never_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is kept for ever: % is refused', TG_TABLE_NAME, TG_OP;
END $$;
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON promises EXECUTE FUNCTION never_deleted();
