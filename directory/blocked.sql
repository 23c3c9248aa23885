-- name: add^
-- No row when the pattern is in force already.
INSERT INTO blocked_numbers (pattern, reason, author, since)
VALUES (:pattern, :reason, :author, :now::timestamptz)
ON CONFLICT (pattern) WHERE lifted_at IS NULL DO NOTHING
RETURNING *;

-- name: in_force^
SELECT * FROM blocked_numbers WHERE pattern = :pattern AND lifted_at IS NULL;

-- name: show^
SELECT * FROM blocked_numbers WHERE id = :id;

-- name: list
-- The latest first; with `all` those that were lifted, too.
SELECT * FROM blocked_numbers WHERE :all::boolean OR lifted_at IS NULL ORDER BY since DESC, id DESC;

-- name: lift^
-- No row when there is no such pattern in force.
UPDATE blocked_numbers SET lifted_at = :now::timestamptz, lifted_by = :author
WHERE id = :id AND lifted_at IS NULL
RETURNING *;

-- name: residents_under^
-- How many phones of known residents a pattern covers.
SELECT count(DISTINCT phone) AS phones FROM resident_phones WHERE phone LIKE replace(:pattern, '*', '%');
