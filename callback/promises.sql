-- name: open*!
-- A missed call makes a promise, or joins the one its number already has; once, however often it is told.
WITH missed AS (
    SELECT 1 WHERE NOT EXISTS (SELECT FROM promise_calls WHERE call_id = :call)
), promise AS (
    INSERT INTO promises (company_id, phone, category, reason, clause, missed_at, due_at, why)
    SELECT :company_id::bigint, :phone, :category, :reason::call_outcome, :clause, :missed_at::timestamptz,
           :due_at::timestamptz, :why
    FROM missed
    ON CONFLICT (phone) WHERE status = 'open' DO UPDATE SET
        missed = promises.missed + 1,
        due_at = least(promises.due_at, excluded.due_at)
    RETURNING id
)
INSERT INTO promise_calls (call_id, promise_id) SELECT :call, id FROM promise;

-- name: list_open
SELECT promises.*, companies.name AS company
FROM promises LEFT JOIN companies ON companies.id = promises.company_id
WHERE status = 'open' ORDER BY due_at LIMIT :most;

-- name: of_call
SELECT promises.* FROM promises JOIN promise_calls ON promise_id = promises.id WHERE call_id = :call;
