-- name: save*!
-- The row of a call as it is known now. Told again it changes nothing; told out of order it loses nothing.
INSERT INTO calls (
    id, company_id, caller, dialled, resident_id, house_id, flat, category, queue, priority, arrived_at,
    picked_up_at, queued_at, answered_at, answered_by, ended_at, hung_up_by, outcome, static_route, direction
) VALUES (
    :id, :company_id, :caller, :dialled,
    -- who was taken out of the directory meanwhile is nobody's reference
    (SELECT id FROM residents WHERE id = :resident_id), (SELECT id FROM houses WHERE id = :house_id),
    :flat, :category, :queue, :priority, :arrived_at,
    :picked_up_at, :queued_at, :answered_at, :answered_by, :ended_at, :hung_up_by, :outcome, :static_route, :direction
) ON CONFLICT (id) DO UPDATE SET
    company_id = coalesce(excluded.company_id, calls.company_id),
    caller = coalesce(excluded.caller, calls.caller),
    dialled = coalesce(calls.dialled, excluded.dialled),
    resident_id = coalesce(excluded.resident_id, calls.resident_id),
    house_id = coalesce(excluded.house_id, calls.house_id),
    flat = coalesce(excluded.flat, calls.flat),
    category = coalesce(excluded.category, calls.category),
    queue = coalesce(excluded.queue, calls.queue),
    priority = coalesce(excluded.priority, calls.priority),
    arrived_at = least(excluded.arrived_at, calls.arrived_at),
    picked_up_at = least(excluded.picked_up_at, calls.picked_up_at),
    queued_at = least(excluded.queued_at, calls.queued_at),
    answered_at = least(excluded.answered_at, calls.answered_at),
    answered_by = coalesce(calls.answered_by, excluded.answered_by),
    ended_at = coalesce(calls.ended_at, excluded.ended_at),
    hung_up_by = coalesce(calls.hung_up_by, excluded.hung_up_by),
    -- another controller may not have heard the menu: who has, knows better
    outcome = CASE WHEN calls.outcome = 'abandoned_in_greeting' THEN coalesce(excluded.outcome, calls.outcome)
                   ELSE coalesce(calls.outcome, excluded.outcome) END,
    static_route = calls.static_route OR excluded.static_route;

-- name: note*!
INSERT INTO call_facts (call_id, key, at, kind, who, detail)
VALUES (:call, :key, :at, :kind, :who, :detail)
ON CONFLICT DO NOTHING;

-- name: going_on
-- Calls that have not ended as far as the ledger knows.
SELECT * FROM calls WHERE ended_at IS NULL AND id LIKE :asterisk || '-%' ORDER BY arrived_at;

-- name: last_heard^
-- When the latest call came that the ledger knows of this Asterisk.
SELECT arrived_at AS at FROM calls WHERE id LIKE :asterisk || '-%' ORDER BY arrived_at DESC LIMIT 1;

-- name: facts
SELECT * FROM call_facts WHERE call_id = ANY(:calls::text[]) ORDER BY at, key;

-- name: recent
SELECT calls.*, companies.name AS company, recordings.status AS recording, recordings.seconds AS recorded_s
FROM calls LEFT JOIN companies ON companies.id = calls.company_id LEFT JOIN recordings ON recordings.call_id = calls.id
ORDER BY calls.arrived_at DESC LIMIT :most;

-- name: show^
SELECT calls.*, companies.name AS company
FROM calls LEFT JOIN companies ON companies.id = calls.company_id
WHERE calls.id = :id;
