-- name: calls
-- Residents' calls that arrived in a span: what was answered when, and when somebody has spoken with who was not
-- answered within the limit: the promise's word, or a talk of the same number from four hours before to a day after.
SELECT c.id, c.arrived_at, c.queued_at, c.answered_at, c.answered_by, c.ended_at, c.outcome::text, c.caller AS phone,
       c.category, o.code AS company_code, o.name AS company, p.id AS promise, p.status::text, p.why,
       least(CASE WHEN p.reached_at >= c.arrived_at THEN p.reached_at END, other.talked_at) AS reached_at,
       b.id AS blocked, b.pattern, b.reason AS blocked_reason, b.author AS blocked_author
FROM calls c
LEFT JOIN companies o ON o.id = c.company_id
LEFT JOIN promise_calls pc ON pc.call_id = c.id
LEFT JOIN promises p ON p.id = pc.promise_id
LEFT JOIN LATERAL (
    SELECT min(k.answered_at) AS talked_at
    FROM calls k
    WHERE (c.answered_at IS NULL OR c.outcome <> 'talked' OR c.answered_at > c.arrived_at + :within::interval)
      AND k.caller = c.caller AND k.id <> c.id AND k.answered_at >= c.arrived_at
      AND k.arrived_at >= c.arrived_at - interval '4 hours' AND k.arrived_at < c.arrived_at + interval '1 day'
      AND (k.outcome = 'talked' OR k.ended_at IS NULL)
      AND coalesce(k.ended_at, :now::timestamptz) - k.answered_at >= :talk::interval
) other ON true
LEFT JOIN LATERAL (
    SELECT id, pattern, reason, author
    FROM blocked_numbers
    WHERE c.caller LIKE replace(pattern, '*', '%')
      AND since <= c.arrived_at AND (lifted_at IS NULL OR lifted_at > c.arrived_at)
    ORDER BY length(pattern) DESC, id LIMIT 1
) b ON true
WHERE c.arrived_at >= :since::timestamptz AND c.arrived_at < :before::timestamptz AND c.direction = 'inbound'
  AND (:company::bigint IS NULL OR c.company_id = :company)
ORDER BY c.arrived_at, c.id;

-- name: callbacks^
-- Our own calls back in a span, and how many of them came to a talk that is worth the name.
SELECT count(*) AS made,
       count(*) FILTER (WHERE outcome = 'talked' AND ended_at - answered_at >= :talk::interval) AS talked
FROM calls
WHERE arrived_at >= :since::timestamptz AND arrived_at < :before::timestamptz AND direction = 'callback'
  AND (:company::bigint IS NULL OR company_id = :company);

-- name: timelines
-- All that is known of calls, each in one order of time: their facts, their promise's history, its attempts.
WITH wanted AS (
    SELECT id AS call_id, promise_id FROM unnest(:calls::text[]) AS id LEFT JOIN promise_calls ON call_id = id
)
SELECT f.call_id, f.at, 'call' AS source, f.kind::text AS what, f.who,
       CASE WHEN f.kind = 'ended' THEN f.detail || jsonb_build_object('outcome', c.outcome) ELSE f.detail END AS detail
FROM wanted JOIN calls c ON c.id = wanted.call_id JOIN call_facts f ON f.call_id = c.id
UNION ALL
SELECT wanted.call_id, h.at, 'promise', h.what, h.who, h.detail
FROM wanted JOIN promise_history h USING (promise_id)
UNION ALL
SELECT wanted.call_id, a.placed_at, 'attempt', 'placed', NULL, jsonb_build_object('attempt', a.attempt)
FROM wanted JOIN attempts a USING (promise_id)
UNION ALL
SELECT wanted.call_id, f.at, 'attempt', f.kind::text, f.who,
       f.detail || jsonb_build_object('attempt', a.attempt)
           || CASE WHEN f.kind = 'ended' THEN jsonb_build_object('outcome', c.outcome) ELSE '{}' END
FROM wanted JOIN attempts a USING (promise_id) JOIN calls c ON c.id = a.call_id JOIN call_facts f ON f.call_id = c.id
ORDER BY 1, 2, 3, 4;

-- name: promises
-- The promises whose first missed call arrived in a span, of one status or of any.
SELECT p.id, p.phone, o.name AS company, p.reason::text, p.category, p.status::text, p.missed, p.missed_at, p.due_at,
       p.reached_at, p.why, extract(epoch FROM p.reached_at - p.missed_at)::float8 AS seconds,
       (SELECT count(*) FROM attempts a WHERE a.promise_id = p.id) AS attempts
FROM promises p
LEFT JOIN companies o ON o.id = p.company_id
WHERE p.missed_at >= :since::timestamptz AND p.missed_at < :before::timestamptz
  AND (:status::text IS NULL OR p.status::text = :status)
ORDER BY p.missed_at, p.id;
