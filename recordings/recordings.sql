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

-- name: left_messages
-- Of these calls those that have ended, and whether the ledger has their message.
SELECT calls.id AS call_id, calls.ended_at, messages.call_id IS NOT NULL AS attached
FROM calls LEFT JOIN messages ON messages.call_id = calls.id
WHERE calls.id = ANY(:calls::text[]) AND calls.ended_at IS NOT NULL
ORDER BY calls.ended_at;

-- name: attach_message!
-- What a resident said after the tone; once.
INSERT INTO messages (call_id, path, seconds, bytes, sha256, voiced, attached_at)
VALUES (:call, :path, :seconds, :bytes, :sha256, :voiced, :attached_at::timestamptz)
ON CONFLICT DO NOTHING;

-- name: left_comments
-- Of these robot's calls those that have ended, and whether the ledger has their comment.
SELECT calls.id AS call_id, calls.ended_at, survey_comments.call_id IS NOT NULL AS attached
FROM calls LEFT JOIN survey_comments ON survey_comments.call_id = calls.id
WHERE calls.id = ANY(:calls::text[]) AND calls.ended_at IS NOT NULL
ORDER BY calls.ended_at;

-- name: attach_comment!
-- What a resident told the robot after the tone; once.
INSERT INTO survey_comments (call_id, path, seconds, bytes, sha256, voiced, transcript, ears, attached_at)
VALUES (:call, :path, :seconds, :bytes, :sha256, :voiced, :transcript, :ears, :attached_at::timestamptz)
ON CONFLICT DO NOTHING;

-- name: message_of_call^
SELECT * FROM messages WHERE call_id = :call;

-- name: of_call^
SELECT * FROM recordings WHERE call_id = :call;
