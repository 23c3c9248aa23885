-- Calls: one row a call, and an append-only timeline of what happened to it.

CREATE TYPE call_outcome AS ENUM (
    'talked', 'abandoned_in_greeting', 'abandoned_in_menu', 'abandoned_in_queue', 'queue_timed_out',
    'queue_full', 'no_dispatcher', 'voicemail', 'cut_off'
);

CREATE TYPE fact_kind AS ENUM (
    'arrived', 'static_route', 'identified', 'picked_up', 'prompt', 'key', 'wrong_key', 'silence', 'went',
    'queued', 'queue_place', 'left_queue', 'rang', 'answered', 'joined', 'held', 'resumed', 'transferred',
    'message', 'hung_up', 'ended'
);

CREATE TABLE calls (
    id            text PRIMARY KEY,
    company_id    bigint REFERENCES companies,
    caller        text,
    dialled       text,
    resident_id   bigint REFERENCES residents ON DELETE SET NULL,
    house_id      bigint REFERENCES houses ON DELETE SET NULL,
    flat          text,
    category      text,
    queue         text,
    priority      integer,
    arrived_at    timestamptz NOT NULL,
    picked_up_at  timestamptz,
    queued_at     timestamptz,
    answered_at   timestamptz,
    answered_by   text,
    ended_at      timestamptz,
    hung_up_by    text,
    outcome       call_outcome,
    static_route  boolean NOT NULL DEFAULT false,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE calls IS 'One row a call that reached the exchange; the id is Asterisk''s own unique id.';
COMMENT ON COLUMN calls.answered_at IS 'A dispatcher and the resident first heard each other.';
CREATE INDEX calls_by_caller ON calls (caller, arrived_at DESC);
CREATE INDEX calls_by_arrival ON calls (arrived_at);
CREATE INDEX calls_going_on ON calls (arrived_at) WHERE ended_at IS NULL;

CREATE TABLE call_facts (
    call_id   text NOT NULL REFERENCES calls,
    key       text NOT NULL,
    at        timestamptz NOT NULL,
    kind      fact_kind NOT NULL,
    who       text,
    detail    jsonb NOT NULL DEFAULT '{}',
    version   smallint NOT NULL DEFAULT 1,
    PRIMARY KEY (call_id, key)
);
COMMENT ON TABLE call_facts IS 'Append-only: what happened to a call. The key is the event''s own: told twice, written once.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON call_facts EXECUTE FUNCTION append_only();

CREATE TABLE recordings (
    call_id      text PRIMARY KEY REFERENCES calls,
    company_id   bigint REFERENCES companies,
    status       text NOT NULL DEFAULT 'capturing' CHECK (status IN ('capturing', 'attached', 'lost')),
    path         text,
    seconds      double precision,
    bytes        bigint,
    sha256       text,
    voiced_in    double precision,
    voiced_out   double precision,
    why          text,
    expected_at  timestamptz NOT NULL,
    attached_at  timestamptz,
    CHECK (status <> 'attached' OR (path IS NOT NULL AND sha256 IS NOT NULL))
);
COMMENT ON TABLE recordings IS 'A call''s audio: left the resident, right what she heard. Seconds of voice on each side.';
CREATE INDEX recordings_capturing ON recordings (expected_at) WHERE status = 'capturing';
