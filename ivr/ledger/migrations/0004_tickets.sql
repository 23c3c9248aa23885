-- Tickets with their clocks by clause and an append-only history.

CREATE TYPE ticket_status AS ENUM ('draft', 'registered', 'closed');

CREATE TABLE tickets (
    number         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id        text UNIQUE REFERENCES calls,
    company_id     bigint REFERENCES companies,
    house_id       bigint REFERENCES houses ON DELETE SET NULL,
    flat           text,
    resident_id    bigint REFERENCES residents ON DELETE SET NULL,
    phone          text,
    category       text NOT NULL,
    content        text,
    status         ticket_status NOT NULL DEFAULT 'draft',
    dispatcher     text,
    registered_at  timestamptz NOT NULL,
    damage_at      timestamptz,
    closed_at      timestamptz,
    result         text,
    CHECK ((status = 'closed') = (closed_at IS NOT NULL)),
    CHECK (status <> 'registered' OR content IS NOT NULL)
);
COMMENT ON TABLE tickets IS 'A request of a resident. Opened as a draft when a dispatcher answers (ПП 416, cl. 13-17).';
CREATE INDEX tickets_open ON tickets (company_id, registered_at) WHERE status <> 'closed';
CREATE INDEX tickets_by_phone ON tickets (phone) WHERE status <> 'closed';

CREATE TABLE ticket_clocks (
    ticket   bigint NOT NULL REFERENCES tickets (number),
    name     text NOT NULL,
    clause   text NOT NULL,
    due_at   timestamptz NOT NULL,
    met_at   timestamptz,
    PRIMARY KEY (ticket, name)
);
COMMENT ON TABLE ticket_clocks IS 'Every due moment of a ticket with the clause that asks for it.';
CREATE INDEX ticket_clocks_running ON ticket_clocks (due_at) WHERE met_at IS NULL;

CREATE TABLE ticket_history (
    ticket  bigint NOT NULL REFERENCES tickets (number),
    at      timestamptz NOT NULL DEFAULT now(),
    who     text NOT NULL,
    what    text NOT NULL,
    detail  jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE ticket_history IS 'Append-only: who did what with a ticket.';
CREATE INDEX ticket_history_of ON ticket_history (ticket, at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ticket_history EXECUTE FUNCTION append_only();
