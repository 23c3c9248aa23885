-- What people see of promises, and what they do with them. Every move is legal from named statuses only
-- (`callback.book.MOVES`) and returns no row from any other.

-- name: list
-- In the chase's order (`callback.turns`), or by due moment; living ones, or those of a status, a day.
SELECT p.id, p.status::text, p.phone, p.category, p.priority, p.reason::text, p.why, p.missed, p.missed_at,
       p.due_at, p.next_attempt_at, p.reached_at, p.closed_at, p.escalated_at, p.clause,
       companies.name AS company, known.name, known.flat, known.address, tries.attempts
FROM promises p
LEFT JOIN companies ON companies.id = p.company_id
CROSS JOIN LATERAL (
    SELECT count(*) AS attempts,
           coalesce(bool_or(was_rung(c.outcome) AND a.placed_at > last_called(p.id)), false) AS in_vain
    FROM attempts a JOIN calls c ON c.id = a.call_id WHERE a.promise_id = p.id
) tries
CROSS JOIN known_by(p.phone, p.company_id) known
WHERE CASE WHEN :status::text IS NULL AND :since::timestamptz IS NULL THEN p.closed_at IS NULL
           ELSE (:status::text IS NULL OR p.status::text = :status)
            AND (:since::timestamptz IS NULL OR p.missed_at >= :since) AND (:until::timestamptz IS NULL OR p.missed_at < :until)
      END
  AND (:serves::bigint[] IS NULL OR p.company_id IS NULL OR p.company_id = ANY(:serves))
ORDER BY CASE WHEN :by = 'turn' THEN tries.in_vain END, CASE WHEN :by = 'turn' THEN -p.priority END,
         CASE WHEN :by = 'turn' THEN p.status = 'broken' END,
         CASE WHEN :by = 'turn' THEN p.missed_at ELSE p.due_at END, p.id
LIMIT :most;

-- name: now
-- What a dispatcher has before her: whom we are ringing, and of the broken and of the open ones the most urgent.
WITH shown AS (
    (SELECT promises.*
     FROM calls JOIN attempts ON attempts.call_id = calls.id JOIN promises ON promises.id = attempts.promise_id
     WHERE calls.direction = 'callback' AND calls.ended_at IS NULL AND closed_at IS NULL
       AND (:serves::bigint[] IS NULL OR promises.company_id IS NULL OR promises.company_id = ANY(:serves)))
    UNION
    (SELECT * FROM promises
     WHERE closed_at IS NULL AND status = 'broken'
       AND (:serves::bigint[] IS NULL OR company_id IS NULL OR company_id = ANY(:serves))
     ORDER BY priority DESC, due_at, id LIMIT :most)
    UNION
    (SELECT * FROM promises
     WHERE status = 'open' AND (:serves::bigint[] IS NULL OR company_id IS NULL OR company_id = ANY(:serves))
     ORDER BY priority DESC, due_at, id LIMIT :most)
)
SELECT p.id, p.status::text, p.phone, p.category, p.priority, p.reason::text, p.why, p.missed, p.missed_at,
       p.due_at, p.next_attempt_at, companies.name AS company, known.name, known.flat, known.address,
       (SELECT count(*) FROM attempts WHERE promise_id = p.id) AS attempts,
       EXISTS (SELECT FROM calls c WHERE c.caller = p.phone AND c.ended_at IS NULL AND c.direction = 'inbound')
           AS calls_herself,
       trying.stage, trying.dispatcher, trying.placed_at
FROM shown p
LEFT JOIN companies ON companies.id = p.company_id
CROSS JOIN known_by(p.phone, p.company_id) known
LEFT JOIN LATERAL (
    SELECT CASE WHEN c.answered_at IS NOT NULL THEN 'talking' WHEN f.kind = 'accepted' THEN 'ringing_resident'
                WHEN f.kind = 'rang' THEN 'ringing_dispatcher' ELSE 'in_line' END AS stage,
           coalesce(c.answered_by, f.who) AS dispatcher, a.placed_at
    FROM attempts a
    JOIN calls c ON c.id = a.call_id AND c.ended_at IS NULL
    LEFT JOIN LATERAL (
        SELECT kind, who FROM call_facts
        WHERE call_id = a.call_id AND kind IN ('rang', 'accepted') AND who IS NOT NULL
        ORDER BY kind = 'accepted' DESC, at DESC LIMIT 1
    ) f ON true
    WHERE a.promise_id = p.id
    LIMIT 1
) trying ON true
ORDER BY trying.stage IS NOT NULL DESC, p.status = 'broken' DESC, p.priority DESC, p.due_at, p.id;

-- name: counts^
-- How many are owed now; how many of those missed since a moment were kept and broken.
SELECT count(*) FILTER (WHERE closed_at IS NULL AND status = 'open') AS open,
       count(*) FILTER (WHERE closed_at IS NULL AND status = 'broken') AS broken,
       count(*) FILTER (WHERE missed_at >= :since::timestamptz AND status = 'kept') AS kept_today,
       count(*) FILTER (WHERE missed_at >= :since::timestamptz AND status = 'broken') AS broken_today
FROM promises
WHERE (closed_at IS NULL OR missed_at >= :since::timestamptz)
  AND (:serves::bigint[] IS NULL OR company_id IS NULL OR company_id = ANY(:serves));

-- name: show^
SELECT p.id, p.company_id, p.status::text, p.phone, p.line, p.category, p.priority, p.queue, p.reason::text, p.clause,
       p.why, p.missed, p.missed_at, p.due_at, p.next_attempt_at, p.reached_at, p.reached_by, p.closed_at,
       p.escalated_at, companies.name AS company, known.name, known.flat, known.address
FROM promises p
LEFT JOIN companies ON companies.id = p.company_id
CROSS JOIN known_by(p.phone, p.company_id) known
WHERE p.id = :id::bigint
  AND (:serves::bigint[] IS NULL OR p.company_id IS NULL OR p.company_id = ANY(:serves));

-- name: calls
-- The missed calls behind a promise.
SELECT c.id, c.arrived_at, c.queued_at, c.ended_at, c.outcome::text, c.category, messages.seconds AS message_s
FROM promise_calls JOIN calls c ON c.id = promise_calls.call_id LEFT JOIN messages ON messages.call_id = c.id
WHERE promise_calls.promise_id = :id::bigint
ORDER BY c.arrived_at;

-- name: attempts
SELECT a.call_id, a.attempt, a.placed_at, c.outcome::text, c.answered_at, c.answered_by, c.ended_at, c.hung_up_by,
       (SELECT who FROM call_facts WHERE call_id = a.call_id AND kind = 'accepted' ORDER BY at LIMIT 1) AS accepted_by
FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.promise_id = :id::bigint
ORDER BY a.attempt;

-- name: history
SELECT at, who, what, detail FROM promise_history WHERE promise_id = :id::bigint ORDER BY at;

-- name: keep
-- Spoken with by another way. As with any talk, it settles whatever else is owed to the number.
WITH asked AS (
    SELECT id, phone FROM promises
    WHERE id = :id::bigint AND status::text = ANY(:legal::text[]) AND reached_at IS NULL
    FOR UPDATE
), settled AS (
    UPDATE promises p SET
        status = CASE WHEN p.status = 'open' AND :now::timestamptz <= p.due_at THEN 'kept' ELSE 'broken' END::promise_status,
        why = CASE WHEN p.status = 'open' AND :now::timestamptz <= p.due_at THEN NULL ELSE coalesce(p.why, :late) END,
        reached_at = :now::timestamptz, closed_at = :now::timestamptz,
        answer_mark_at = NULL, due_mark_at = NULL, next_attempt_at = NULL
    FROM asked WHERE p.id = asked.id OR p.phone = asked.phone AND p.closed_at IS NULL
    RETURNING p.id, p.status::text
)
INSERT INTO promise_history (promise_id, at, who, what, detail)
SELECT id, :now::timestamptz, :who, 'kept_by_hand', jsonb_build_object('how', :how::text, 'status', status) FROM settled
RETURNING promise_id;

-- name: postpone
-- Tried again from then on. The due moment of the law does not move: if it passes first, why is what she said.
WITH moved AS (
    UPDATE promises SET
        next_attempt_at = :until::timestamptz,
        why = CASE WHEN status = 'open' THEN :reason ELSE why END
    WHERE id = :id::bigint AND status::text = ANY(:legal::text[]) AND closed_at IS NULL AND phone IS NOT NULL
    RETURNING id
)
INSERT INTO promise_history (promise_id, at, who, what, detail)
SELECT id, :now::timestamptz, :who, 'postponed', jsonb_build_object('reason', :reason::text, 'until', :until::timestamptz)
FROM moved
RETURNING promise_id;

-- name: withdraw
-- Owed no more. A breach stays a breach: what was broken is only chased no longer.
WITH moved AS (
    UPDATE promises SET
        status = CASE status WHEN 'open' THEN 'withdrawn' ELSE status END,
        why = CASE status WHEN 'open' THEN :reason ELSE why END,
        closed_at = :now::timestamptz, answer_mark_at = NULL, due_mark_at = NULL, next_attempt_at = NULL
    WHERE id = :id::bigint AND status::text = ANY(:legal::text[]) AND closed_at IS NULL
    RETURNING id, status::text
)
INSERT INTO promise_history (promise_id, at, who, what, detail)
SELECT id, :now::timestamptz, :who, 'withdrawn', jsonb_build_object('reason', :reason::text, 'status', status) FROM moved
RETURNING promise_id;

-- name: stand_still!
-- Until the transaction ends nobody opens a promise: what is looked for next stays as it is seen.
LOCK TABLE promises IN SHARE ROW EXCLUSIVE MODE;

-- name: other_open^
-- Another open promise of the same number.
SELECT other.id FROM promises p JOIN promises other ON other.phone = p.phone AND other.id <> p.id
WHERE p.id = :id::bigint AND other.status = 'open';

-- name: not_a_talk^
-- The talk that closed it was none: its row says so from now on, and its timeline who said it.
WITH told AS (
    UPDATE calls SET outcome = 'machine'
    FROM promises
    WHERE promises.id = :id::bigint AND calls.id = promises.reached_by AND calls.ended_at IS NOT NULL
    RETURNING calls.id
)
INSERT INTO call_facts (call_id, key, at, kind, who, detail)
SELECT id, 'not_a_talk/' || :id::bigint, :now::timestamptz, 'machine', :who, jsonb_build_object('promise', :id::bigint)
FROM told
ON CONFLICT DO NOTHING
RETURNING call_id;

-- name: reopen
-- Closed by mistake: chased again at once. After its due moment it comes back as broken. So do those of the same
-- number that the same talk had settled, as far as one number may have one open promise.
WITH asked AS (
    SELECT id, phone, missed_at, reached_at, status = 'broken' OR :now::timestamptz >= due_at AS breaks FROM promises
    WHERE id = :id::bigint AND status::text = ANY(:legal::text[]) AND closed_at IS NOT NULL
    FOR UPDATE
), again AS (
    SELECT id FROM asked
    UNION
    SELECT p.id FROM promises p JOIN asked ON p.phone = asked.phone AND p.reached_at = asked.reached_at
    WHERE p.missed_at BETWEEN asked.missed_at - interval '8 days' AND asked.missed_at + interval '8 days'
      AND (p.status = 'broken' OR :now::timestamptz >= p.due_at
           OR asked.breaks AND NOT EXISTS (
               SELECT FROM promises o
               WHERE o.phone = p.phone
                 AND (o.status = 'open' OR o.status = 'kept' AND o.reached_at = p.reached_at AND o.id > p.id)))
), moved AS (
    UPDATE promises p SET
        status = CASE WHEN status <> 'broken' AND :now::timestamptz < due_at THEN 'open' ELSE 'broken' END::promise_status,
        why = CASE WHEN phone IS NULL THEN :hidden
                   WHEN status <> 'broken' AND :now::timestamptz < due_at THEN NULL
                   WHEN status = 'broken' AND why <> :late THEN why
                   ELSE :reason END,
        due_mark_at = CASE WHEN status <> 'broken' AND :now::timestamptz < due_at THEN due_at END,
        next_attempt_at = CASE WHEN phone IS NOT NULL THEN :now::timestamptz END,
        reached_at = NULL, reached_by = NULL, closed_at = NULL
    FROM again WHERE p.id = again.id
    RETURNING p.id, p.status::text
)
INSERT INTO promise_history (promise_id, at, who, what, detail)
SELECT id, :now::timestamptz, :who, 'reopened', jsonb_build_object('reason', :reason::text, 'status', status) FROM moved
RETURNING promise_id;

-- name: escalation_turn^
-- One controller at a time looks whom to tell of, until its short transaction ends; nobody waits for another.
SELECT pg_try_advisory_xact_lock(hashtext('dozvon escalation')) AS mine;

-- name: claim_escalation
-- The broken promise told of the least often, whose pause is over. The claim is a row of its history: a controller
-- that dies after it only makes the next one wait for the pause.
WITH untold AS (
    SELECT p.id, p.due_at, count(h.at) AS tries, max(h.at) AS last
    FROM promises p LEFT JOIN promise_history h ON h.promise_id = p.id AND h.what = 'escalating'
    WHERE p.status = 'broken' AND p.escalated_at IS NULL
    GROUP BY p.id, p.due_at
), next AS (
    SELECT id, tries + 1 AS attempt FROM untold
    WHERE tries = 0 OR last + least(:longest::interval, :pause::interval * power(2, least(tries, 20) - 1)) <= :now::timestamptz
    ORDER BY tries, due_at, id LIMIT 1
), claimed AS (
    INSERT INTO promise_history (promise_id, at, who, what, detail)
    SELECT id, :now::timestamptz, 'hotline', 'escalating', jsonb_build_object('attempt', attempt) FROM next
)
SELECT p.id, next.attempt, p.phone, p.category, p.reason::text, p.why, p.missed, p.missed_at, p.due_at, p.clause,
       companies.code AS company, companies.name AS company_name,
       (SELECT count(*) FROM attempts WHERE promise_id = p.id) AS attempts
FROM next JOIN promises p ON p.id = next.id LEFT JOIN companies ON companies.id = p.company_id;

-- name: escalated
-- The hook has taken it in, or there is none and the panel shows it.
WITH told AS (
    UPDATE promises SET escalated_at = :now::timestamptz
    WHERE status = 'broken' AND escalated_at IS NULL AND (:id::bigint IS NULL OR id = :id)
    RETURNING id
)
INSERT INTO promise_history (promise_id, at, who, what, detail)
SELECT id, :now::timestamptz, 'hotline', 'escalated', jsonb_build_object('to', :to::text) FROM told
RETURNING promise_id;
