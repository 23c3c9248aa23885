-- The directory: who is served, by which number, from which flat they call, and who answers.
-- Phone numbers are E.164 throughout ("+79161234567").

CREATE TABLE companies (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code      text   NOT NULL UNIQUE CHECK (code ~ '^[a-z][a-z0-9-]{0,31}$'),
    name      text   NOT NULL CHECK (name <> ''),
    greeting  text,
    phrases   jsonb  NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(phrases) = 'object'),
    time_zone text   NOT NULL DEFAULT 'Europe/Moscow',
    queue     text   NOT NULL DEFAULT 'dispatch'
);
COMMENT ON TABLE companies IS 'A housing company the dispatch service answers for';
COMMENT ON COLUMN companies.greeting IS 'What the line says first; null: the phrasebook''s greeting';
COMMENT ON COLUMN companies.phrases IS 'Phrase name to the company''s own wording';

CREATE TABLE lines (
    number     text   PRIMARY KEY CHECK (number ~ '^\+[1-9][0-9]{6,14}$'),
    company_id bigint NOT NULL REFERENCES companies
);
CREATE INDEX lines_of_company ON lines (company_id);
COMMENT ON TABLE lines IS 'A number residents dial (DID), and whose it is';

CREATE TABLE houses (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id bigint NOT NULL REFERENCES companies,
    address    text   NOT NULL CHECK (address <> ''),
    time_zone  text,
    access     text,
    UNIQUE (company_id, address)
);
COMMENT ON TABLE houses IS 'A house a company looks after';
COMMENT ON COLUMN houses.time_zone IS 'Null: the company''s';
COMMENT ON COLUMN houses.access IS 'How the crew gets in: door codes, keys, the concierge';

CREATE TABLE flats (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id bigint NOT NULL REFERENCES companies,
    house_id   bigint NOT NULL REFERENCES houses,
    number     text   NOT NULL,
    UNIQUE (house_id, number)
);
COMMENT ON TABLE flats IS 'A flat or office; the empty number is a house that has none';

CREATE TABLE residents (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id bigint NOT NULL REFERENCES companies,
    flat_id    bigint NOT NULL REFERENCES flats,
    name       text   NOT NULL,
    note       text,
    UNIQUE (flat_id, name)
);
COMMENT ON TABLE residents IS 'A person of a flat; the empty name is somebody known by phone only';

CREATE TABLE resident_phones (
    phone       text   NOT NULL CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    company_id  bigint NOT NULL REFERENCES companies,
    resident_id bigint NOT NULL REFERENCES residents,
    PRIMARY KEY (phone, company_id, resident_id)
);
CREATE INDEX phones_of_resident ON resident_phones (resident_id);
COMMENT ON TABLE resident_phones IS 'A phone may belong to several residents, flats and companies';

CREATE TABLE dispatchers (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    extension text   NOT NULL UNIQUE CHECK (extension ~ '^[1-9][0-9]{1,4}$'),
    name      text   NOT NULL CHECK (name <> ''),
    password  text   NOT NULL CHECK (length(password) >= 12),
    serves    bigint[] CHECK (cardinality(serves) > 0)
);
COMMENT ON TABLE dispatchers IS 'Who answers, and the SIP account she answers with';
COMMENT ON COLUMN dispatchers.serves IS 'Companies she may serve; null: all of them, later ones too';

CREATE TABLE consents (
    id          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id  bigint  NOT NULL REFERENCES companies,
    resident_id bigint  NOT NULL REFERENCES residents,
    kind        text    NOT NULL CHECK (kind <> ''),
    given       boolean NOT NULL,
    since       date    NOT NULL,
    source      text    NOT NULL CHECK (source <> ''),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (resident_id, kind, since, given, source)
);
COMMENT ON TABLE consents IS 'Consents given and withdrawn; append-only, the latest date is in force';

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: write a new row instead', TG_TABLE_NAME USING ERRCODE = '23001';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consents
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Asterisk's config is rendered from these tables: whoever renders it listens to `directory`.
CREATE FUNCTION directory_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('directory', TG_TABLE_NAME);
    RETURN NULL;
END $$;

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON companies
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON lines
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON dispatchers
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed();
