-- The chase of promises: calls back are calls too, attempts are claimed under a lease, marks fire by themselves.

ALTER TYPE call_outcome ADD VALUE 'informed';
ALTER TYPE call_outcome ADD VALUE 'callback_asked';
ALTER TYPE call_outcome ADD VALUE 'busy';
ALTER TYPE call_outcome ADD VALUE 'no_answer';
ALTER TYPE call_outcome ADD VALUE 'unreachable';
ALTER TYPE call_outcome ADD VALUE 'machine';
ALTER TYPE call_outcome ADD VALUE 'dispatcher_gone';
ALTER TYPE call_outcome ADD VALUE 'taken_back';

ALTER TYPE fact_kind ADD VALUE 'overdue';
ALTER TYPE fact_kind ADD VALUE 'accepted';
ALTER TYPE fact_kind ADD VALUE 'tried';
ALTER TYPE fact_kind ADD VALUE 'machine';

CREATE TYPE call_direction AS ENUM ('inbound', 'callback');

ALTER TABLE calls ADD COLUMN direction call_direction NOT NULL DEFAULT 'inbound';
COMMENT ON COLUMN calls.direction IS 'Who rang whom: a resident us, or we her to keep a promise; caller is the resident either way.';
CREATE UNIQUE INDEX one_attempt_a_number ON calls (caller) WHERE direction = 'callback' AND ended_at IS NULL;
CREATE INDEX calls_by_end ON calls (ended_at) WHERE answered_at IS NOT NULL;

ALTER TABLE promises
    ADD COLUMN priority        integer NOT NULL DEFAULT 0,
    ADD COLUMN queue           text,
    ADD COLUMN line            text,
    ADD COLUMN answer_mark_at  timestamptz,
    ADD COLUMN due_mark_at     timestamptz,
    ADD COLUMN next_attempt_at timestamptz,
    ADD COLUMN reached_at      timestamptz,
    ADD COLUMN reached_by      text,
    ADD COLUMN closed_at       timestamptz,
    ADD COLUMN escalated_at    timestamptz;
COMMENT ON COLUMN promises.line IS 'Which of our numbers was dialled: the call back shows it.';
COMMENT ON COLUMN promises.answer_mark_at IS 'When the five minutes are over by the machine''s clock; null once marked.';
COMMENT ON COLUMN promises.due_mark_at IS 'When the ten minutes are over by the machine''s clock; null once marked. due_at never moves.';
COMMENT ON COLUMN promises.next_attempt_at IS 'From when on it may be tried; null while it is being tried, or never.';
COMMENT ON COLUMN promises.reached_at IS 'When both talked. Kept if not after due_at; a broken promise stays broken.';
COMMENT ON COLUMN promises.closed_at IS 'Nobody chases it any more: reached, withdrawn, or given up.';
COMMENT ON COLUMN promises.escalated_at IS 'When the hook had taken in that it was broken.';

UPDATE promises SET due_mark_at = due_at, next_attempt_at = CASE WHEN phone IS NOT NULL THEN now() END
WHERE status = 'open';
UPDATE promises SET closed_at = now(), escalated_at = CASE WHEN status = 'broken' THEN now() END
WHERE status <> 'open';

DROP INDEX promises_due;
CREATE INDEX promises_answer_mark ON promises (answer_mark_at) WHERE answer_mark_at IS NOT NULL;
CREATE INDEX promises_due_mark ON promises (due_mark_at) WHERE due_mark_at IS NOT NULL;
CREATE INDEX promises_next_attempt ON promises (next_attempt_at) WHERE closed_at IS NULL;
CREATE INDEX promises_living ON promises (phone) WHERE closed_at IS NULL;
CREATE INDEX promises_escalating ON promises (due_at) WHERE status = 'broken' AND escalated_at IS NULL;
CREATE INDEX promises_by_moment ON promises (missed_at);
ALTER TABLE promises ADD CHECK (status <> 'kept' OR (reached_at IS NOT NULL AND closed_at IS NOT NULL));

CREATE TABLE attempts (
    call_id     text PRIMARY KEY REFERENCES calls,
    promise_id  bigint NOT NULL REFERENCES promises,
    attempt     integer NOT NULL,
    controller  text NOT NULL,
    placed_at   timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    UNIQUE (promise_id, attempt)
);
COMMENT ON TABLE attempts IS 'A call back: claimed, and its row written, before any phone is rung. What became of it says its call.';

CREATE TABLE promise_history (
    promise_id bigint NOT NULL REFERENCES promises,
    at         timestamptz NOT NULL,
    who        text NOT NULL,
    what       text NOT NULL,
    detail     jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE promise_history IS 'Append-only: what happened to a promise and who did it; "hotline" is nobody.';
CREATE INDEX promise_history_of ON promise_history (promise_id, at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON promise_history EXECUTE FUNCTION append_only();

-- Whoever chases and whoever shows promises listens to `promises`; a statement that changes no row wakes nobody.
CREATE FUNCTION promises_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        PERFORM pg_notify('promises', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER opened AFTER INSERT ON promises
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION promises_changed();
CREATE TRIGGER moved AFTER UPDATE ON promises
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION promises_changed();

CREATE TABLE blocked_numbers (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pattern   text NOT NULL CHECK (pattern ~ '^\+[0-9]{1,15}\*?$'),
    reason    text NOT NULL CHECK (reason <> ''),
    author    text NOT NULL CHECK (author <> ''),
    since     timestamptz NOT NULL DEFAULT now(),
    lifted_at timestamptz,
    lifted_by text,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);
COMMENT ON TABLE blocked_numbers IS 'Numbers nobody is owed a call: one in full, or all that begin so (+7900*). Lifted, never deleted.';
CREATE UNIQUE INDEX blocked_once ON blocked_numbers (pattern) WHERE lifted_at IS NULL;

CREATE TABLE messages (
    call_id     text PRIMARY KEY REFERENCES calls,
    path        text NOT NULL,
    seconds     double precision NOT NULL,
    bytes       bigint NOT NULL,
    sha256      text NOT NULL,
    voiced      double precision NOT NULL,
    attached_at timestamptz NOT NULL
);
COMMENT ON TABLE messages IS 'What a resident left after the tone; voiced is the seconds of voice in it.';

CREATE TABLE clocks (
    machine text PRIMARY KEY,
    ahead   double precision NOT NULL
);
COMMENT ON TABLE clocks IS 'A machine since its boot: by how many seconds its wall clock is ahead of its steady one. A step shows here.';
