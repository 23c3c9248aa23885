-- What several statements ask, said once.

CREATE FUNCTION was_rung(outcome call_outcome) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT outcome IN ('busy', 'no_answer', 'unreachable', 'machine', 'talked')
$$;
COMMENT ON FUNCTION was_rung IS 'Did the resident''s phone ring in a call back that ended so?';

CREATE FUNCTION last_called(promise bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT max(arrived_at) FROM promise_calls JOIN calls ON id = call_id WHERE promise_id = promise
$$;
COMMENT ON FUNCTION last_called IS 'When the resident last called in vain: then she was at the phone.';

CREATE FUNCTION known_by(its_number text, its_company bigint) RETURNS TABLE (name text, flat text, address text)
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN count(*) = 1 THEN nullif(min(r.name), '') END,
           CASE WHEN count(DISTINCT f.id) = 1 THEN nullif(min(f.number), '') END,
           CASE WHEN count(DISTINCT h.id) = 1 THEN min(h.address) END
    FROM resident_phones rp
    JOIN residents r ON r.id = rp.resident_id JOIN flats f ON f.id = r.flat_id JOIN houses h ON h.id = f.house_id
    WHERE rp.phone = its_number AND rp.company_id = its_company
$$;
COMMENT ON FUNCTION known_by IS 'Who and where a phone of a company is, as far as it belongs to one resident, one flat, one house.';
