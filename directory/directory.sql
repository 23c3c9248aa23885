-- What the engine asks of the directory. Phones are E.164.

-- name: who_calls^
-- The hot path, once per call: everything the dialled line and the caller's number tell.
-- One row when the line is known, whatever the number (null: hidden); none when it is not.
-- A phone of several residents gives the first of them, how many, and whether they share one flat.
-- Tickets and calls are found by phone alone and the company is sifted out after: with the company among the
-- conditions a database without fresh statistics walks all of its open tickets (4 ms instead of 0.3).
SELECT c.id AS company_id, c.code, c.name AS company_name, c.greeting, c.phrases::text AS phrases,
       c.time_zone AS company_time_zone, c.queue,
       r.id AS resident_id, r.name AS resident_name, r.flat,
       r.house_id, r.address, coalesce(r.time_zone, c.time_zone) AS house_time_zone, r.access,
       coalesce(r.known, 0) AS residents_known, coalesce(r.one_flat, false) AS one_flat,
       t.open_tickets, t.last_ticket, earlier.calls_lately
FROM lines l
JOIN companies c ON c.id = l.company_id
LEFT JOIN LATERAL (
    SELECT r.id, r.name, f.number AS flat, h.id AS house_id, h.address, h.time_zone, h.access,
           count(*) OVER () AS known,
           min(f.id) OVER () = max(f.id) OVER () AS one_flat
    FROM resident_phones p
    JOIN residents r ON r.id = p.resident_id
    JOIN flats f ON f.id = r.flat_id
    JOIN houses h ON h.id = f.house_id
    WHERE p.phone = :phone AND p.company_id = c.id
    ORDER BY r.id
    LIMIT 1
) r ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE t.company_id = c.id) AS open_tickets,
           max(t.number) FILTER (WHERE t.company_id = c.id) AS last_ticket
    FROM tickets t
    WHERE t.phone = :phone AND t.status <> 'closed'
) t
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE k.company_id = c.id) AS calls_lately
    FROM calls k
    WHERE k.caller = :phone AND k.direction = 'inbound'
      AND k.arrived_at > :now::timestamptz - interval '24 hours' AND k.arrived_at < :now::timestamptz
) earlier
WHERE l.number = :line;

-- name: companies
-- Every company with its lines.
SELECT c.id, c.code, c.name, c.greeting, c.phrases::text AS phrases, c.time_zone, c.queue,
       ARRAY(SELECT l.number FROM lines l WHERE l.company_id = c.id ORDER BY l.number) AS lines
FROM companies c
ORDER BY c.code;

-- name: dispatchers
-- Every dispatcher with her SIP account.
SELECT id, extension, name, password, serves
FROM dispatchers
ORDER BY length(extension), extension;

-- name: residents_by_phone
-- Everybody a phone belongs to, for the dispatcher to choose from.
SELECT r.id AS resident_id, r.name AS resident_name, f.number AS flat,
       h.id AS house_id, h.address, coalesce(h.time_zone, c.time_zone) AS house_time_zone, h.access
FROM resident_phones p
JOIN residents r ON r.id = p.resident_id
JOIN flats f ON f.id = r.flat_id
JOIN houses h ON h.id = f.house_id
JOIN companies c ON c.id = p.company_id
WHERE p.phone = :phone AND p.company_id = :company_id
ORDER BY r.id;

-- name: consented^
-- Whether everybody a phone belongs to consents to this kind of call on that day; null when nobody is known.
SELECT bool_and(coalesce((
    SELECT c.given FROM consents c
    WHERE c.resident_id = p.resident_id AND c.kind = :kind AND c.since <= :day
    ORDER BY c.since DESC, c.id DESC
    LIMIT 1
), false)) AS consented
FROM resident_phones p
WHERE p.phone = :phone AND p.company_id = :company_id;

-- name: import_lock^
-- One import at a time, until the transaction ends: what one looks up another does not insert meanwhile.
SELECT pg_advisory_xact_lock(hashtext('dozvon import'));

-- name: take_companies
-- Takes companies and their lines in; one statement, so all or nothing. An empty cell leaves what is there.
-- Returns each row and whether it changed anything.
WITH given AS (
    SELECT g.n, g.code, g.name,
           coalesce(g.greeting, c.greeting) AS greeting,
           coalesce(g.time_zone, c.time_zone, 'Europe/Moscow') AS time_zone,
           coalesce(g.queue, c.queue, 'dispatch') AS queue,
           coalesce(c.phrases, '{}') || g.phrases::jsonb AS phrases
    FROM unnest(
        :rows::int[], :codes::text[], :names::text[], :greetings::text[], :time_zones::text[], :queues::text[],
        :phrases::text[]
    ) AS g (n, code, name, greeting, time_zone, queue, phrases)
    LEFT JOIN companies c USING (code)
),
written AS (
    INSERT INTO companies AS c (code, name, greeting, time_zone, queue, phrases)
    SELECT code, name, greeting, time_zone, queue, phrases FROM given ORDER BY n
    ON CONFLICT (code) DO UPDATE SET
        name = excluded.name, greeting = excluded.greeting, time_zone = excluded.time_zone,
        queue = excluded.queue, phrases = excluded.phrases
    WHERE (c.name, c.greeting, c.time_zone, c.queue, c.phrases) IS DISTINCT FROM
          (excluded.name, excluded.greeting, excluded.time_zone, excluded.queue, excluded.phrases)
    RETURNING id, code
),
company AS (
    SELECT n, coalesce(w.id, c.id) AS id, w.id IS NOT NULL AS changed
    FROM given
    LEFT JOIN written w USING (code)
    LEFT JOIN companies c USING (code)
),
line_written AS (
    INSERT INTO lines AS l (number, company_id)
    SELECT g.number, company.id
    FROM unnest(:line_rows::int[], :line_numbers::text[]) AS g (n, number)
    JOIN company USING (n)
    ON CONFLICT (number) DO UPDATE SET company_id = excluded.company_id
    WHERE l.company_id <> excluded.company_id
    RETURNING company_id
)
SELECT n, changed OR id IN (SELECT company_id FROM line_written) AS changed
FROM company;

-- name: take_dispatchers
-- Takes dispatchers in; one statement, so all or nothing. Who is known keeps her password. `serves` is a JSON
-- array of ids of companies: empty for all, null leaves what is there. Returns each row and whether it changed
-- anything.
WITH given AS (
    SELECT g.n, g.extension, g.name, g.password,
           CASE WHEN g.serves IS NULL THEN d.serves
                WHEN g.serves <> '[]' THEN ARRAY(SELECT jsonb_array_elements_text(g.serves::jsonb)::bigint)
           END AS serves
    FROM unnest(:rows::int[], :extensions::text[], :names::text[], :passwords::text[], :serves::text[])
        AS g (n, extension, name, password, serves)
    LEFT JOIN dispatchers d USING (extension)
),
written AS (
    INSERT INTO dispatchers AS d (extension, name, password, serves)
    SELECT extension, name, password, serves FROM given ORDER BY n
    ON CONFLICT (extension) DO UPDATE SET name = excluded.name, serves = excluded.serves
    WHERE (d.name, d.serves) IS DISTINCT FROM (excluded.name, excluded.serves)
    RETURNING extension
)
SELECT n, extension IN (SELECT extension FROM written) AS changed
FROM given;

-- name: take_residents
-- Takes residents in with their houses, flats, phones and consents; one statement, so all or nothing.
-- An empty cell leaves what is there; of rows that contradict each other the last one wins.
-- Returns each row and whether it changed anything.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(
        :rows::int[], :company_ids::bigint[], :addresses::text[], :time_zones::text[], :accesses::text[],
        :flats::text[], :names::text[], :notes::text[]
    ) AS g (n, company_id, address, time_zone, access, flat, name, note)
),
house_given AS (
    SELECT min(n) AS n, company_id, address,
           (array_agg(time_zone ORDER BY n DESC) FILTER (WHERE time_zone IS NOT NULL))[1] AS time_zone,
           (array_agg(access ORDER BY n DESC) FILTER (WHERE access IS NOT NULL))[1] AS access
    FROM given
    GROUP BY company_id, address
),
house_written AS (
    INSERT INTO houses AS h (company_id, address, time_zone, access)
    SELECT company_id, address, time_zone, access FROM house_given ORDER BY n
    ON CONFLICT (company_id, address) DO UPDATE SET
        time_zone = coalesce(excluded.time_zone, h.time_zone),
        access = coalesce(excluded.access, h.access)
    WHERE coalesce(excluded.time_zone, h.time_zone) IS DISTINCT FROM h.time_zone
       OR coalesce(excluded.access, h.access) IS DISTINCT FROM h.access
    RETURNING id, company_id, address
),
house AS (
    SELECT g.company_id, g.address, coalesce(w.id, h.id) AS id, w.id IS NOT NULL AS changed
    FROM house_given g
    LEFT JOIN house_written w USING (company_id, address)
    LEFT JOIN houses h USING (company_id, address)
),
flat_given AS (
    SELECT DISTINCT g.company_id, house.id AS house_id, g.flat AS number
    FROM given g
    JOIN house USING (company_id, address)
),
flat_written AS (
    INSERT INTO flats (company_id, house_id, number)
    SELECT company_id, house_id, number FROM flat_given
    ON CONFLICT DO NOTHING
    RETURNING id, house_id, number
),
flat AS (
    SELECT g.house_id, g.number, coalesce(w.id, f.id) AS id, w.id IS NOT NULL AS changed
    FROM flat_given g
    LEFT JOIN flat_written w USING (house_id, number)
    LEFT JOIN flats f USING (house_id, number)
),
placed AS MATERIALIZED (
    SELECT g.n, g.company_id, flat.id AS flat_id, g.name, g.note, house.changed OR flat.changed AS changed
    FROM given g
    JOIN house USING (company_id, address)
    JOIN flat ON flat.house_id = house.id AND flat.number = g.flat
),
resident_given AS (
    SELECT min(n) AS n, company_id, flat_id, name,
           (array_agg(note ORDER BY n DESC) FILTER (WHERE note IS NOT NULL))[1] AS note
    FROM placed
    GROUP BY company_id, flat_id, name
),
resident_written AS (
    INSERT INTO residents AS r (company_id, flat_id, name, note)
    SELECT company_id, flat_id, name, note FROM resident_given ORDER BY n
    ON CONFLICT (flat_id, name) DO UPDATE SET note = excluded.note
    WHERE excluded.note IS NOT NULL AND excluded.note IS DISTINCT FROM r.note
    RETURNING id, flat_id, name
),
resident AS MATERIALIZED (
    SELECT p.n, p.company_id, coalesce(w.id, r.id) AS id, p.changed OR w.id IS NOT NULL AS changed
    FROM placed p
    LEFT JOIN resident_written w USING (flat_id, name)
    LEFT JOIN residents r USING (flat_id, name)
),
phone_written AS (
    INSERT INTO resident_phones (phone, company_id, resident_id)
    SELECT g.phone, resident.company_id, resident.id
    FROM unnest(:phone_rows::int[], :phones::text[]) AS g (n, phone)
    JOIN resident USING (n)
    ON CONFLICT DO NOTHING
    RETURNING resident_id
),
consent_written AS (
    INSERT INTO consents (company_id, resident_id, kind, given, since, source)
    SELECT resident.company_id, resident.id, g.kind, g.given, g.since, g.source
    FROM unnest(:consent_rows::int[], :kinds::text[], :given::boolean[], :since::date[], :sources::text[])
        AS g (n, kind, given, since, source)
    JOIN resident USING (n)
    ON CONFLICT DO NOTHING
    RETURNING resident_id
)
SELECT n, changed OR id IN (TABLE phone_written) OR id IN (TABLE consent_written) AS changed
FROM resident;
