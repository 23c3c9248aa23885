-- After each job the resident is asked what it was worth (ПП 416, cl. 17).

CREATE TYPE survey_status AS ENUM ('planned', 'calling', 'done', 'given_up', 'cancelled');
CREATE TYPE survey_result AS ENUM (
    'rated', 'not_done', 'refused', 'opted_out', 'human', 'later', 'wrong_number', 'not_understood', 'silent', 'child',
    'foreign', 'machine', 'fax', 'tone', 'hung_up', 'unreached'
);

-- Nobody is rung by two of us at once, whether we call back or ask.
DROP INDEX one_attempt_a_number;
CREATE UNIQUE INDEX one_attempt_a_number ON calls (caller) WHERE direction <> 'inbound' AND ended_at IS NULL;

ALTER TABLE tickets
    ADD COLUMN survey_at timestamptz,
    ADD COLUMN rating    smallint CHECK (rating BETWEEN 1 AND 5),
    ADD COLUMN rated_at  timestamptz,
    ADD COLUMN reopened  integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN tickets.survey_at IS 'The hour agreed with the resident for the robot''s question; null: the next allowed one.';
COMMENT ON COLUMN tickets.rating IS 'What the resident said the job was worth, the last time she was asked.';
CREATE INDEX tickets_closed ON tickets (closed_at) WHERE status = 'closed';

CREATE TABLE surveys (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket          bigint NOT NULL REFERENCES tickets (number),
    closed_at       timestamptz NOT NULL,
    company_id      bigint REFERENCES companies,
    phone           text NOT NULL,
    status          survey_status NOT NULL DEFAULT 'planned',
    result          survey_result,
    rating          smallint CHECK (rating BETWEEN 1 AND 5),
    why             text,
    planned_at      timestamptz NOT NULL,
    agreed_at       timestamptz,
    next_attempt_at timestamptz,
    settled_at      timestamptz,
    UNIQUE (ticket, closed_at),
    CHECK ((rating IS NOT NULL) = (result IS NOT DISTINCT FROM 'rated')),
    CHECK ((status IN ('planned', 'calling')) = (settled_at IS NULL))
);
COMMENT ON TABLE surveys IS 'One question a closing of a ticket; a ticket closed again is asked about again.';
COMMENT ON COLUMN surveys.why IS 'Why it waits, was given up or cancelled: a code of robocalls/words.toml.';
COMMENT ON COLUMN surveys.next_attempt_at IS 'From when on it may be tried; null while it is being tried, and once it is settled.';
CREATE INDEX surveys_next_attempt ON surveys (next_attempt_at) WHERE status = 'planned';
CREATE INDEX surveys_calling ON surveys (id) WHERE status = 'calling';
CREATE INDEX surveys_by_phone ON surveys (phone);
CREATE INDEX surveys_by_moment ON surveys (closed_at);
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON surveys EXECUTE FUNCTION never_deleted();

CREATE TABLE survey_calls (
    call_id     text PRIMARY KEY REFERENCES calls,
    survey_id   bigint NOT NULL REFERENCES surveys,
    attempt     integer NOT NULL,
    controller  text NOT NULL,
    placed_at   timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    UNIQUE (survey_id, attempt)
);
COMMENT ON TABLE survey_calls IS 'A robot''s call: claimed, and its row written, before the phone rings. What became of it says its call.';

CREATE TABLE survey_answers (
    call_id   text NOT NULL REFERENCES calls,
    key       text NOT NULL,
    at        timestamptz NOT NULL,
    result    survey_result NOT NULL,
    rating    smallint CHECK (rating BETWEEN 1 AND 5),
    by        text NOT NULL CHECK (by IN ('voice', 'key', 'ears')),
    detail    jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (call_id, key),
    CHECK ((rating IS NOT NULL) = (result = 'rated'))
);
COMMENT ON TABLE survey_answers IS 'Append-only: what was answered in a robot''s call, with its evidence. The last one of a call counts.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON survey_answers EXECUTE FUNCTION append_only();

CREATE TABLE survey_comments (
    call_id     text PRIMARY KEY REFERENCES calls,
    path        text NOT NULL,
    seconds     double precision NOT NULL,
    bytes       bigint NOT NULL,
    sha256      text NOT NULL,
    voiced      double precision NOT NULL,
    transcript  text,
    ears        text,
    attached_at timestamptz NOT NULL
);
COMMENT ON TABLE survey_comments IS 'What a resident told the robot after the tone; transcript is what the model `ears` made of it.';

CREATE TABLE opt_outs (
    phone   text PRIMARY KEY CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    since   timestamptz NOT NULL,
    how     text NOT NULL CHECK (how IN ('word', 'key', 'panel', 'cli')),
    who     text NOT NULL CHECK (who <> ''),
    reason  text
);
COMMENT ON TABLE opt_outs IS 'Numbers the robot never rings again; for ever.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON opt_outs EXECUTE FUNCTION append_only();

-- Whoever plans, calls and shows surveys listens to `surveys`.
CREATE FUNCTION surveys_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        PERFORM pg_notify('surveys', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER planned AFTER INSERT ON surveys
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION surveys_changed();
CREATE TRIGGER moved AFTER UPDATE ON surveys
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION surveys_changed();

CREATE FUNCTION ticket_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('surveys', '');
    RETURN NULL;
END $$;
CREATE TRIGGER closed AFTER UPDATE OF status ON tickets
    FOR EACH ROW WHEN (new.status = 'closed') EXECUTE FUNCTION ticket_closed();
