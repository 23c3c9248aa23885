-- name: expect*!
-- A recording has begun with its call.
INSERT INTO recordings (call_id, company_id, expected_at) VALUES (:call, :company_id, :expected_at)
ON CONFLICT DO NOTHING;

-- name: attach!
UPDATE recordings SET
    status = 'attached', path = :path, seconds = :seconds, bytes = :bytes, sha256 = :sha256,
    voiced_in = :voiced_in, voiced_out = :voiced_out, attached_at = :attached_at::timestamptz, why = NULL
WHERE call_id = :call AND status <> 'attached';

-- name: lose!
UPDATE recordings SET status = 'lost', why = :why WHERE call_id = :call AND status = 'capturing';

-- name: capturing
-- Recordings whose call has ended: what the taker-in looks for.
SELECT recordings.call_id, calls.ended_at
FROM recordings JOIN calls ON calls.id = recordings.call_id
WHERE recordings.status = 'capturing' AND calls.ended_at IS NOT NULL AND calls.id LIKE :asterisk || '-%'
ORDER BY calls.ended_at LIMIT :most;

-- name: attached
-- Which of these calls' recordings the ledger has.
SELECT call_id FROM recordings WHERE status = 'attached' AND call_id = ANY(:calls::text[]);

-- name: of_call^
SELECT * FROM recordings WHERE call_id = :call;
