-- name: draft*!
-- A dispatcher has answered: a draft with its clocks, once a call. The look before the insert keeps the
-- numbers without gaps.
WITH ticket AS (
    INSERT INTO tickets (call_id, company_id, house_id, flat, resident_id, phone, category, dispatcher, registered_at)
    SELECT :call, :company_id::bigint, :house_id::bigint, :flat, :resident_id::bigint, :phone, :category, :dispatcher,
           :registered_at::timestamptz
    WHERE NOT EXISTS (SELECT FROM tickets WHERE call_id = :call)
    RETURNING number, registered_at, dispatcher, category
), clocks AS (
    INSERT INTO ticket_clocks (ticket, name, clause, due_at)
    SELECT number, clock.name, clock.clause, clock.due_at
    FROM ticket, jsonb_to_recordset(:clocks) AS clock (name text, clause text, due_at timestamptz)
)
INSERT INTO ticket_history (ticket, at, who, what, detail)
SELECT number, registered_at, coalesce(dispatcher, 'line'), 'opened', jsonb_build_object('category', category)
FROM ticket;

-- name: place*!
-- Who called became known after the draft was opened.
UPDATE tickets SET
    house_id = coalesce(house_id, :house_id::bigint), flat = coalesce(flat, :flat),
    resident_id = coalesce(resident_id, :resident_id::bigint)
WHERE call_id = :call AND status = 'draft';

-- name: show^
SELECT tickets.*, companies.name AS company, companies.time_zone, houses.address,
       recordings.status AS recording, recordings.seconds AS recorded_s, recordings.sha256 AS recording_sha256,
       coalesce(houses.time_zone, companies.time_zone) AS zone
FROM tickets
LEFT JOIN companies ON companies.id = tickets.company_id
LEFT JOIN houses ON houses.id = tickets.house_id
LEFT JOIN recordings ON recordings.call_id = tickets.call_id
WHERE tickets.number = :number;

-- name: of_call^
SELECT * FROM tickets WHERE call_id = :call;

-- name: house^
SELECT houses.company_id, coalesce(houses.time_zone, companies.time_zone) AS zone
FROM houses JOIN companies ON companies.id = houses.company_id
WHERE houses.id = :id::bigint;

-- name: list
SELECT tickets.*, companies.name AS company, houses.address,
       (SELECT min(due_at) FROM ticket_clocks WHERE ticket = tickets.number AND met_at IS NULL) AS next_due_at
FROM tickets
LEFT JOIN companies ON companies.id = tickets.company_id
LEFT JOIN houses ON houses.id = tickets.house_id
WHERE (:status::text IS NULL OR tickets.status::text = :status)
  AND (:company::text IS NULL OR companies.code = :company)
  AND (:before::bigint IS NULL OR tickets.number < :before)
ORDER BY tickets.number DESC LIMIT :most;

-- name: clocks
SELECT * FROM ticket_clocks WHERE ticket = :number ORDER BY due_at, name;

-- name: history
-- What was written at the same moment, in the order of writing.
SELECT * FROM ticket_history WHERE ticket = :number ORDER BY at, ctid;

-- name: complete^
-- Registered: what is wrong, where, of which kind. Refused (no row) from any other status.
UPDATE tickets SET
    status = 'registered', content = :content, category = :category,
    house_id = coalesce(:house_id::bigint, house_id), flat = coalesce(:flat, flat),
    damage_at = coalesce(:damage_at::timestamptz, damage_at)
WHERE number = :number AND status::text = ANY(:legal::text[])
RETURNING *;

-- name: close^
-- The hour agreed for the robot's question goes with this closing, and with no later one.
UPDATE tickets SET
    status = 'closed', closed_at = :closed_at::timestamptz, result = :result, survey_at = :survey_at::timestamptz
WHERE number = :number AND status::text = ANY(:legal::text[])
RETURNING *;

-- name: reopen^
-- As it was before it was closed; what was done, and what it was rated, stays to be seen until it is closed anew.
UPDATE tickets SET
    status = CASE WHEN content IS NULL THEN 'draft' ELSE 'registered' END::ticket_status,
    closed_at = NULL, survey_at = NULL, reopened = reopened + 1
WHERE number = :number AND status::text = ANY(:legal::text[])
RETURNING *;

-- name: meet_clock^
UPDATE ticket_clocks SET met_at = :met_at::timestamptz
WHERE ticket = :number AND name = :name AND met_at IS NULL
RETURNING *;

-- name: drop_clocks!
-- The category changed: clocks that were not met yet are set anew.
DELETE FROM ticket_clocks WHERE ticket = :number AND met_at IS NULL;

-- name: set_clock!
INSERT INTO ticket_clocks (ticket, name, clause, due_at) VALUES (:number, :name, :clause, :due_at)
ON CONFLICT DO NOTHING;

-- name: remember!
INSERT INTO ticket_history (ticket, at, who, what, detail) VALUES (:number, :at, :who, :what, :detail);
