-- name: open*!
-- A missed call makes a promise, or joins the one its number already has; once, however often it is told.
-- Nobody is owed a call whose number was blocked when it came. What is told later of the same call (its kind,
-- read by another controller) is taken over.
WITH known AS (
    SELECT promise_id FROM promise_calls WHERE call_id = :call
), learned AS (
    UPDATE promises SET
        category = coalesce(promises.category, :category),
        priority = greatest(promises.priority, :priority::integer),
        queue = coalesce(promises.queue, :queue)
    FROM known WHERE promises.id = known.promise_id AND promises.closed_at IS NULL
        AND (promises.category IS NULL AND :category::text IS NOT NULL OR promises.priority < :priority::integer)
), missed AS (
    SELECT 1 WHERE NOT EXISTS (SELECT FROM known) AND NOT EXISTS (
        SELECT FROM blocked_numbers
        WHERE :phone LIKE replace(pattern, '*', '%')
          AND since <= :missed_at::timestamptz AND (lifted_at IS NULL OR lifted_at > :missed_at::timestamptz)
    -- who reads the log later may judge otherwise how a call ended that Asterisk died under: what is written stands
    ) AND NOT EXISTS (SELECT FROM calls WHERE id = :call AND outcome IN ('talked', 'informed'))
), promise AS (
    INSERT INTO promises (
        company_id, phone, line, category, queue, priority, reason, clause, missed_at, answer_mark_at, due_at,
        due_mark_at, next_attempt_at, why
    )
    SELECT :company_id::bigint, :phone, :line, :category, :queue, :priority::integer, :reason::call_outcome, :clause,
           :missed_at::timestamptz, :answer_mark_at::timestamptz, :due_at::timestamptz, :due_at::timestamptz,
           CASE WHEN :phone::text IS NOT NULL THEN :missed_at::timestamptz END, :why
    FROM missed
    ON CONFLICT (phone) WHERE status = 'open' DO UPDATE SET
        missed = promises.missed + 1,
        missed_at = least(promises.missed_at, excluded.missed_at),
        due_at = least(promises.due_at, excluded.due_at),
        -- a mark that has fired stays so
        answer_mark_at = CASE WHEN promises.answer_mark_at IS NOT NULL
                              THEN least(promises.answer_mark_at, excluded.answer_mark_at) END,
        due_mark_at = least(promises.due_mark_at, excluded.due_mark_at),
        category = CASE WHEN excluded.priority > promises.priority THEN excluded.category
                        ELSE coalesce(promises.category, excluded.category) END,
        priority = greatest(promises.priority, excluded.priority),
        company_id = coalesce(promises.company_id, excluded.company_id),
        queue = coalesce(promises.queue, excluded.queue),
        line = coalesce(promises.line, excluded.line),
        -- who has just called is at the phone: no need to wait for the next step of the ladder (while she is being
        -- tried, `rest` sees to it)
        next_attempt_at = CASE WHEN promises.next_attempt_at IS NOT NULL
                               THEN least(promises.next_attempt_at, excluded.next_attempt_at) END
    RETURNING id, missed
), linked AS (
    INSERT INTO promise_calls (call_id, promise_id) SELECT :call, id FROM promise
)
INSERT INTO promise_history (promise_id, at, who, what, detail)
SELECT id, :missed_at::timestamptz, 'hotline', CASE WHEN missed = 1 THEN 'opened' ELSE 'joined' END,
       jsonb_build_object('call', :call::text, 'reason', :reason::text)
FROM promise;

-- name: reach
-- Both have talked: by a call back, or because the resident called again. Kept if they did before it was due,
-- also when that comes to light only after the mark; else it stays broken, and is chased no more.
-- Her own call settles it while it goes on; a call back when it has ended: it may yet turn out to be a machine.
-- The clock may have been set meanwhile: what was tried for a promise came after it, whatever the moments say.
WITH talked AS (
    SELECT DISTINCT ON (p.id) p.id, c.id AS call_id, c.direction, c.answered_at, c.answered_by,
           c.answered_at <= greatest(p.due_at, p.due_mark_at) AND NOT EXISTS (
               SELECT FROM promise_history
               WHERE promise_id = p.id AND what = 'broken' AND at < c.answered_at) AS in_time
    FROM calls c JOIN promises p ON p.phone = c.caller
    WHERE p.closed_at IS NULL AND p.phone IS NOT NULL
      AND (c.ended_at >= :since::timestamptz OR c.ended_at IS NULL AND c.direction = 'inbound')
      AND (c.answered_at >= p.missed_at
           OR c.answered_at IS NOT NULL
              AND EXISTS (SELECT FROM attempts WHERE call_id = c.id AND promise_id = p.id))
      AND c.outcome IS DISTINCT FROM 'machine'
      AND coalesce(c.ended_at, :now::timestamptz) - c.answered_at >= :talk::interval
      AND NOT EXISTS (SELECT FROM promise_calls WHERE call_id = c.id)
    ORDER BY p.id, c.answered_at
), reached AS (
    UPDATE promises p SET
        status = CASE WHEN t.in_time THEN 'kept' ELSE 'broken' END::promise_status,
        why = CASE WHEN t.in_time THEN NULL ELSE coalesce(p.why, :late) END,
        reached_at = t.answered_at, reached_by = t.call_id, closed_at = :now::timestamptz,
        answer_mark_at = NULL, due_mark_at = NULL, next_attempt_at = NULL
    FROM talked t WHERE p.id = t.id AND p.closed_at IS NULL
    RETURNING p.id, p.status, p.reached_at, t.call_id, t.direction, t.answered_by
), told AS (
    INSERT INTO promise_history (promise_id, at, who, what, detail)
    SELECT id, reached_at, coalesce(answered_by, 'hotline'),
           CASE WHEN status = 'kept' THEN 'kept' ELSE 'reached_late' END,
           jsonb_build_object('call', call_id, 'by', direction)
    FROM reached
)
SELECT id, status::text, reached_at, call_id FROM reached;

-- name: mark_unanswered
-- Five minutes are over and nobody talks with them.
WITH due AS (
    SELECT p.id, p.answer_mark_at FROM promises p
    WHERE p.answer_mark_at <= :now::timestamptz AND NOT talked_with(p, :talk::interval, :now::timestamptz)
    ORDER BY p.answer_mark_at LIMIT :most FOR UPDATE OF p SKIP LOCKED
), marked AS (
    UPDATE promises SET answer_mark_at = NULL FROM due WHERE promises.id = due.id
    RETURNING promises.id, promises.clause, due.answer_mark_at AS moment
), told AS (
    INSERT INTO promise_history (promise_id, at, who, what, detail)
    SELECT id, :now::timestamptz, 'hotline', 'unanswered', jsonb_build_object('clause', clause) FROM marked
)
SELECT id, moment FROM marked;

-- name: break
-- Ten minutes are over: broken, with why. Not while the two talk; whoever talked long enough is reached instead.
WITH due AS (
    SELECT p.id, p.due_mark_at FROM promises p
    WHERE p.due_mark_at <= :now::timestamptz AND NOT talked_with(p, :talk::interval, :now::timestamptz)
    ORDER BY p.due_mark_at LIMIT :most FOR UPDATE OF p SKIP LOCKED
), last AS (
    SELECT DISTINCT ON (a.promise_id) a.promise_id, c.outcome, a.attempt
    FROM attempts a JOIN calls c ON c.id = a.call_id JOIN due ON due.id = a.promise_id
    ORDER BY a.promise_id, a.attempt DESC
), broken AS (
    UPDATE promises p SET
        status = 'broken', due_mark_at = NULL, answer_mark_at = NULL,
        why = coalesce(p.why, CASE
            WHEN last.attempt IS NULL THEN :untried
            WHEN last.outcome IS NULL THEN :trying
            ELSE last.outcome::text END)
    FROM due LEFT JOIN last ON last.promise_id = due.id
    WHERE p.id = due.id AND p.status = 'open'
    RETURNING p.id, p.why, p.phone, due.due_mark_at AS moment
), told AS (
    INSERT INTO promise_history (promise_id, at, who, what, detail)
    SELECT id, :now::timestamptz, 'hotline', 'broken', jsonb_build_object('why', why) FROM broken
)
SELECT * FROM broken;

-- name: mark_overdue_calls
-- Who still waits in the line after the time for answering: said in the call's own timeline, once.
INSERT INTO call_facts (call_id, key, at, kind, detail)
SELECT id, 'overdue', :now::timestamptz, 'overdue', jsonb_build_object('clause', :clause::text)
FROM calls
WHERE ended_at IS NULL AND answered_at IS NULL AND direction = 'inbound'
  AND arrived_at <= :now::timestamptz - :within::interval
ON CONFLICT DO NOTHING
RETURNING call_id;

-- name: rest
-- Attempts that have ended in vain: when the next one comes. The ladder goes on only when the resident was rung;
-- who has called herself meanwhile is at the phone.
WITH tried AS (
    SELECT DISTINCT ON (p.id) p.id, c.id AS call_id, c.outcome, c.ended_at,
           EXISTS (SELECT FROM promise_calls pc JOIN calls m ON m.id = pc.call_id
                   WHERE pc.promise_id = p.id AND m.ended_at > a.placed_at) AS called,
           count(*) FILTER (WHERE was_rung(c.outcome)) OVER (PARTITION BY p.id) AS rung
    FROM promises p JOIN attempts a ON a.promise_id = p.id JOIN calls c ON c.id = a.call_id
    WHERE p.closed_at IS NULL AND p.next_attempt_at IS NULL AND p.phone IS NOT NULL
      AND NOT EXISTS (SELECT FROM attempts x JOIN calls y ON y.id = x.call_id
                      WHERE x.promise_id = p.id AND y.ended_at IS NULL)
    ORDER BY p.id, a.attempt DESC
), next AS (
    SELECT *, CASE
        WHEN called THEN ended_at
        WHEN was_rung(outcome) THEN ended_at + (:ladder::interval[])[least(rung, cardinality(:ladder::interval[]))]
        ELSE ended_at + :pause::interval END AS at
    FROM tried
), set AS (
    UPDATE promises p SET next_attempt_at = next.at FROM next
    WHERE p.id = next.id AND p.next_attempt_at IS NULL AND p.closed_at IS NULL
    RETURNING p.id, next.call_id, next.outcome, next.ended_at, next.at
)
INSERT INTO promise_history (promise_id, at, who, what, detail)
SELECT id, ended_at, 'hotline', 'tried', jsonb_build_object('call', call_id, 'outcome', outcome, 'next', at) FROM set
RETURNING promise_id;

-- name: give_up
-- Broken long ago and nobody is there: from here on it is a person's.
WITH old AS (
    UPDATE promises SET closed_at = :now::timestamptz, next_attempt_at = NULL
    WHERE closed_at IS NULL AND status = 'broken' AND missed_at < :before::timestamptz
      AND (next_attempt_at IS NOT NULL OR phone IS NULL)
      AND NOT EXISTS (  -- what somebody has taken up since is hers to the end of it
          SELECT FROM promise_history h
          WHERE h.promise_id = promises.id AND h.what IN ('postponed', 'reopened')
            AND coalesce((h.detail ->> 'until')::timestamptz, h.at) >= :before::timestamptz)
    RETURNING id
)
INSERT INTO promise_history (promise_id, at, who, what) SELECT id, :now::timestamptz, 'hotline', 'given_up' FROM old
RETURNING promise_id;

-- name: owed
-- Whom to try now, in the order of `callback.turns`, so many a queue: nobody who is on a call with us already.
WITH owed AS (
    SELECT p.*, CASE  -- a company may have moved to another queue meanwhile
        WHEN p.queue = :default_queue OR EXISTS (SELECT FROM companies WHERE queue = p.queue) THEN p.queue
        ELSE coalesce(c.queue, :default_queue) END AS goes_to
    FROM promises p LEFT JOIN companies c ON c.id = p.company_id
    WHERE p.closed_at IS NULL AND p.next_attempt_at <= :now::timestamptz
      AND NOT EXISTS (SELECT FROM calls WHERE caller = p.phone AND ended_at IS NULL
                      AND arrived_at > :now::timestamptz - interval '4 hours')
      -- a fresh promise of a number is tried before its broken ones: a talk settles them all
      AND (p.status = 'open' OR NOT EXISTS (SELECT FROM promises o WHERE o.phone = p.phone AND o.status = 'open'))
), next AS (
    SELECT *, row_number() OVER (
        PARTITION BY goes_to
        ORDER BY EXISTS (SELECT FROM attempts WHERE promise_id = owed.id), priority DESC, status, missed_at, id
    ) AS place
    FROM owed
), few AS MATERIALIZED (
    SELECT * FROM next WHERE place <= :most
)
SELECT p.id, p.phone, p.line, p.company_id, p.category, p.priority, p.reason::text, p.status::text, p.missed,
       p.missed_at, p.due_at, p.goes_to AS queue, tried.attempts, tried.rung, who.name, who.flat
FROM few p
CROSS JOIN known_by(p.phone, p.company_id) who
CROSS JOIN LATERAL (
    -- the exchange's log may know tries of a promise of that number from before the ledger was made anew
    SELECT greatest(max(a.attempt), 0, (
               SELECT max(substring(id FROM '[0-9]+$')::integer) FROM calls
               WHERE caller = p.phone AND id LIKE :asterisk || '-callback-' || p.id || '-%'
           )) AS attempts,
           -- since she last called: then she was at the phone
           coalesce(bool_or(was_rung(t.outcome) AND a.placed_at > last_called(p.id)), false) AS rung
    FROM attempts a JOIN calls t ON t.id = a.call_id
    WHERE a.promise_id = p.id
) tried
WHERE NOT (SELECT talked_with(x, :talk::interval, :now::timestamptz) FROM promises x WHERE x.id = p.id)
ORDER BY p.place, p.id;

-- name: claim^
-- One attempt at a time to one number, over all controllers: the call's row is written before any phone rings.
-- No row: somebody else has it, or there is nothing to claim any more.
WITH promise AS (
    SELECT * FROM promises p
    WHERE id = :promise AND closed_at IS NULL AND next_attempt_at <= :now::timestamptz
      AND NOT EXISTS (SELECT FROM calls WHERE caller = phone AND ended_at IS NULL
                      AND (direction <> 'inbound' OR arrived_at > :now::timestamptz - interval '4 hours'))
      AND NOT talked_with(p, :talk::interval, :now::timestamptz)
      AND NOT EXISTS (SELECT FROM attempts WHERE promise_id = :promise AND attempt >= :attempt)
    FOR UPDATE SKIP LOCKED
), placed AS (
    INSERT INTO calls (id, direction, company_id, caller, dialled, category, queue, priority, arrived_at)
    SELECT :call, 'callback', company_id, phone, line, category, :queue, priority, :now::timestamptz FROM promise
    ON CONFLICT DO NOTHING
    RETURNING id
), attempt AS (
    INSERT INTO attempts (call_id, promise_id, attempt, controller, placed_at, lease_until)
    SELECT placed.id, promise.id, :attempt, :controller, :now::timestamptz, :lease_until::timestamptz
    FROM placed, promise
    RETURNING call_id, promise_id
), taken AS (
    UPDATE promises SET next_attempt_at = NULL FROM attempt WHERE promises.id = attempt.promise_id
), told AS (
    INSERT INTO promise_history (promise_id, at, who, what, detail)
    SELECT promise_id, :now::timestamptz, 'hotline', 'trying', jsonb_build_object('call', call_id) FROM attempt
)
SELECT call_id FROM attempt;

-- name: attempts_on
-- Calls back that go on in this Asterisk as far as the ledger knows; whether their phones were ever heard of.
SELECT a.call_id, a.placed_at, EXISTS (SELECT FROM call_facts f WHERE f.call_id = a.call_id) AS heard_of
FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE c.ended_at IS NULL AND c.id LIKE :asterisk || '-%';

-- name: unwanted
-- Stand-ins that wait for a promise somebody has closed or postponed meanwhile.
SELECT a.call_id
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN promises p ON p.id = a.promise_id
WHERE c.ended_at IS NULL AND c.direction = 'callback' AND c.id LIKE :asterisk || '-%'
  AND (p.closed_at IS NOT NULL OR p.next_attempt_at > :now::timestamptz)
  AND NOT EXISTS (SELECT FROM call_facts WHERE call_id = a.call_id AND kind = 'accepted');

-- name: renew!
-- Whoever sees these calls going on says so.
UPDATE attempts SET lease_until = :lease_until::timestamptz WHERE call_id = ANY(:calls::text[]);

-- name: not_placed!
-- Asterisk never carried out the order: no phone has rung.
UPDATE calls SET ended_at = :now::timestamptz, outcome = 'taken_back'
WHERE id = ANY(:calls::text[]) AND ended_at IS NULL;

-- name: lapsed
-- Attempts nobody has seen going on for long: their Asterisk and their controllers are gone.
UPDATE calls SET ended_at = :now::timestamptz, outcome = 'cut_off'
FROM attempts
WHERE attempts.call_id = calls.id AND calls.ended_at IS NULL AND attempts.lease_until < :before::timestamptz
RETURNING calls.id;

-- name: list_open
SELECT promises.*, companies.name AS company
FROM promises LEFT JOIN companies ON companies.id = promises.company_id
WHERE promises.closed_at IS NULL ORDER BY due_at LIMIT :most;

-- name: of_call
SELECT promises.* FROM promises JOIN promise_calls ON promise_id = promises.id WHERE call_id = :call;

-- name: clock_step^
-- The wall clock of a machine has been set: by how many seconds. Told once, whoever sees it first.
WITH known AS (
    INSERT INTO clocks (machine, ahead) VALUES (:machine, :ahead) ON CONFLICT DO NOTHING
)
UPDATE clocks SET ahead = :ahead
FROM (SELECT machine, ahead FROM clocks WHERE machine = :machine FOR UPDATE) AS old
WHERE clocks.machine = old.machine AND abs(old.ahead - :ahead) > :least
RETURNING :ahead - old.ahead AS step;

-- name: shift_marks!
-- What was to happen in three minutes still does, whatever the wall clock says now; what goes on still does, too.
WITH leases AS (
    UPDATE attempts SET lease_until = lease_until + :step::interval
    FROM calls WHERE calls.id = call_id AND calls.ended_at IS NULL AND call_id LIKE :asterisk || '-%'
)
UPDATE promises SET
    answer_mark_at = answer_mark_at + :step::interval,
    due_mark_at = due_mark_at + :step::interval,
    next_attempt_at = next_attempt_at + :step::interval
WHERE closed_at IS NULL
  AND EXISTS (SELECT FROM promise_calls WHERE promise_id = promises.id AND call_id LIKE :asterisk || '-%');
