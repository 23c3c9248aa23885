-- The campaign: every closing of a ticket is asked about once. What is looked at again and again goes by an index.

-- name: plan
-- A survey for each closing that has none yet, due at once: `standing` and the rules say when it may really be called.
-- An hour agreed with the resident counts when it lies after the closing.
INSERT INTO surveys (ticket, closed_at, company_id, phone, planned_at, agreed_at, next_attempt_at)
SELECT number, closed_at, company_id, phone, :now::timestamptz, agreed_at, coalesce(agreed_at, :now::timestamptz)
FROM (
    SELECT *, CASE WHEN survey_at > closed_at THEN survey_at END AS agreed_at FROM tickets
    WHERE status = 'closed' AND closed_at > :since::timestamptz
) t
WHERE greatest(closed_at, agreed_at) > :now::timestamptz - :give_up::interval
  AND phone ~ '^\+[1-9][0-9]{6,14}$'
  AND NOT EXISTS (SELECT FROM surveys WHERE ticket = t.number AND closed_at = t.closed_at)
ORDER BY closed_at, number LIMIT :most
ON CONFLICT DO NOTHING
RETURNING id;

-- name: outdated
-- Planned ones whose closing is none any more: the ticket was opened again, perhaps closed anew.
UPDATE surveys s SET status = 'cancelled', why = :why, next_attempt_at = NULL, settled_at = :now::timestamptz
FROM tickets t
WHERE t.number = s.ticket AND s.status = 'planned' AND t.closed_at IS DISTINCT FROM s.closed_at
RETURNING s.id;

-- name: due
-- Whose turn it is: agreed hours first, then whoever was planned first.
SELECT id FROM surveys
WHERE status = 'planned' AND next_attempt_at <= :now::timestamptz
ORDER BY agreed_at NULLS LAST, planned_at, id LIMIT :most;

-- name: standing
-- How things stand with these surveys (`robocalls.allowed.Standing`). She is spared whichever of her phones she is on,
-- waits at, or has told of an emergency by. Of the phone's owners all must have consented by that day, as
-- `directory.consented` has it. A call that never made the phone ring does not count.
SELECT s.id, s.status::text, s.phone, s.closed_at, s.agreed_at, t.category, t.content IS NOT NULL AS has_content,
       t.status = 'closed' AND t.closed_at = s.closed_at AS stands,
       own.zone, coalesce(consent.given, false) AS consented,
       EXISTS (SELECT FROM opt_outs WHERE phone = s.phone) AS opted_out,
       EXISTS (SELECT FROM blocked_numbers
               WHERE lifted_at IS NULL AND s.phone LIKE replace(pattern, '*', '%')) AS blocked,
       EXISTS (SELECT FROM calls WHERE caller = ANY(hers.phones) AND ended_at IS NULL
               AND (direction <> 'inbound' OR arrived_at > :now::timestamptz - interval '4 hours')) AS on_a_call,
       EXISTS (SELECT FROM promises WHERE phone = ANY(hers.phones) AND closed_at IS NULL) AS owed,
       EXISTS (SELECT FROM tickets WHERE phone = ANY(hers.phones) AND status <> 'closed'
               AND category = ANY(:emergencies::text[])) AS has_emergency,
       ARRAY(SELECT k.arrived_at FROM calls k
             WHERE k.caller = s.phone AND k.direction = 'survey' AND k.arrived_at > :since::timestamptz
               AND (k.outcome IS NULL OR k.outcome NOT IN ('busy', 'unreachable', 'taken_back')
                    OR k.outcome = 'taken_back'
                       AND EXISTS (SELECT FROM call_facts WHERE call_id = k.id AND kind = 'rang'))) AS rung
FROM surveys s
JOIN tickets t ON t.number = s.ticket
LEFT JOIN houses h ON h.id = t.house_id
LEFT JOIN companies c ON c.id = s.company_id
CROSS JOIN LATERAL (
    SELECT ARRAY(SELECT s.phone UNION
                 SELECT other.phone FROM resident_phones mine JOIN resident_phones other USING (resident_id)
                 WHERE mine.phone = s.phone) AS phones
) hers
CROSS JOIN LATERAL (  -- her house, the only one her phone belongs to, her company, the hotline
    SELECT coalesce(h.time_zone, CASE WHEN h.id IS NULL AND count(DISTINCT coalesce(lives.time_zone, '')) = 1
                                      THEN min(lives.time_zone) END, c.time_zone, :zone) AS zone
    FROM resident_phones p JOIN residents r ON r.id = p.resident_id JOIN flats f ON f.id = r.flat_id
    JOIN houses lives ON lives.id = f.house_id
    WHERE p.phone = s.phone AND p.company_id = s.company_id
) own
CROSS JOIN LATERAL (
    SELECT bool_and(coalesce((
        SELECT k.given FROM consents k
        WHERE k.resident_id = p.resident_id AND k.kind = 'robocall'
          AND k.since <= (:now::timestamptz AT TIME ZONE own.zone)::date
        ORDER BY k.since DESC, k.id DESC LIMIT 1
    ), false)) AS given
    FROM resident_phones p WHERE p.phone = s.phone AND p.company_id = s.company_id
) consent
WHERE s.id = ANY(:surveys::bigint[]);

-- name: wait!
UPDATE surveys SET next_attempt_at = given.until, why = given.why
FROM unnest(:surveys::bigint[], :untils::timestamptz[], :whys::text[]) AS given (id, until, why)
WHERE surveys.id = given.id AND surveys.status = 'planned';

-- name: never!
UPDATE surveys SET
    status = given.status::survey_status, why = given.why, next_attempt_at = NULL, settled_at = :now::timestamptz,
    result = CASE WHEN given.status = 'given_up' THEN 'unreached' END::survey_result
FROM unnest(:surveys::bigint[], :statuses::text[], :whys::text[]) AS given (id, status, why)
WHERE surveys.id = given.id AND surveys.status = 'planned';

-- name: under_way^
-- The robot's calls that go on, all of them and through one Asterisk; residents whom we owe a call back this moment.
SELECT count(*) AS everywhere, count(*) FILTER (WHERE id LIKE :asterisk || '-%') AS here,
       (SELECT count(*) FROM promises WHERE closed_at IS NULL AND next_attempt_at <= :now::timestamptz) AS owed
FROM calls WHERE direction = 'survey' AND ended_at IS NULL;

-- name: turn^
-- One claim at a time over all controllers, until the transaction ends: what is counted in it stays so.
SELECT pg_advisory_xact_lock(hashtext('dozvon survey'));

-- name: claim^
-- The call's row is written before the phone rings. No row: somebody else has the survey, or her number.
WITH survey AS (
    SELECT s.id, s.company_id, s.phone, t.category, t.house_id, t.flat, t.resident_id,
           coalesce(c.queue, :default_queue) AS queue,
           coalesce((SELECT number FROM lines  -- the one she dialled, if the company has it still
                     WHERE company_id = s.company_id AND number = (SELECT dialled FROM calls WHERE id = t.call_id)),
                    (SELECT min(number) FROM lines WHERE company_id = s.company_id)) AS line,
           -- the log of the exchange may know calls of that name from before the ledger was made anew
           (SELECT min(n) FROM generate_series(tried.times + 1, tried.times + 100) n
            WHERE NOT EXISTS (SELECT FROM calls WHERE id = :asterisk || '-survey-' || s.id || '-' || n)) AS attempt
    FROM surveys s
    CROSS JOIN LATERAL (
        SELECT coalesce(max(attempt), 0) AS times FROM survey_calls WHERE survey_id = s.id
    ) tried
    JOIN tickets t ON t.number = s.ticket
    LEFT JOIN companies c ON c.id = s.company_id
    WHERE s.id = :survey::bigint AND s.status = 'planned' AND s.next_attempt_at <= :now::timestamptz
    FOR UPDATE OF s SKIP LOCKED
), placed AS (
    INSERT INTO calls (
        id, direction, company_id, caller, dialled, resident_id, house_id, flat, category, queue, arrived_at
    )
    SELECT :asterisk || '-survey-' || id || '-' || attempt, 'survey', company_id, phone, line, resident_id, house_id,
           flat, category, queue, :now::timestamptz
    FROM survey
    ON CONFLICT DO NOTHING
    RETURNING id
), attempt AS (
    INSERT INTO survey_calls (call_id, survey_id, attempt, controller, placed_at, lease_until)
    SELECT placed.id, survey.id, survey.attempt, :controller, :now::timestamptz, :lease_until::timestamptz
    FROM placed, survey
    RETURNING call_id, survey_id
), taken AS (
    UPDATE surveys SET status = 'calling', next_attempt_at = NULL, why = :why
    FROM attempt WHERE surveys.id = attempt.survey_id
)
SELECT call_id AS call FROM attempt;

-- name: job^
-- What that call of the robot is about (`robocalls.nouns.Job`), but for the zone: `standing` knows it.
SELECT s.id AS survey, k.id AS call, s.ticket, s.phone, s.company_id, k.dialled AS line, t.category, k.queue,
       t.registered_at, sc.attempt, coalesce(h.address, known.address) AS address, coalesce(t.flat, known.flat) AS flat,
       coalesce(nullif(r.name, ''), known.name) AS name
FROM survey_calls sc
JOIN surveys s ON s.id = sc.survey_id
JOIN calls k ON k.id = sc.call_id
JOIN tickets t ON t.number = s.ticket
LEFT JOIN houses h ON h.id = t.house_id
LEFT JOIN residents r ON r.id = t.resident_id
CROSS JOIN known_by(s.phone, s.company_id) known
WHERE sc.call_id = :call;

-- name: not_placed!
-- She was not rung: Asterisk never carried out the order.
UPDATE calls SET ended_at = :now::timestamptz, outcome = 'taken_back'
WHERE id = ANY(:calls::text[]) AND ended_at IS NULL;

-- name: lapsed
-- The robot's calls nobody has seen going on for long: their Asterisk and their controllers are gone.
UPDATE calls SET ended_at = :now::timestamptz, outcome = 'cut_off'
FROM survey_calls
WHERE survey_calls.call_id = calls.id AND calls.ended_at IS NULL AND survey_calls.lease_until < :before::timestamptz
  AND calls.id <> ALL(:seen::text[])
RETURNING calls.id;

-- name: attempts_on
-- The robot's calls that go on in this Asterisk as far as the ledger knows; whether anything was ever heard of them.
SELECT a.call_id, a.placed_at, EXISTS (SELECT FROM call_facts f WHERE f.call_id = a.call_id) AS heard_of
FROM survey_calls a JOIN calls c ON c.id = a.call_id
WHERE c.ended_at IS NULL AND c.id LIKE :asterisk || '-%';

-- name: renew!
UPDATE survey_calls SET lease_until = :lease_until::timestamptz WHERE call_id = ANY(:calls::text[]);

-- name: over
-- Surveys whose call is over: what follows from it is still to be decided.
SELECT id FROM surveys s
WHERE status = 'calling' AND NOT EXISTS (
    SELECT FROM survey_calls sc JOIN calls k ON k.id = sc.call_id WHERE sc.survey_id = s.id AND k.ended_at IS NULL)
ORDER BY id;

-- name: hold^
-- Until the transaction ends nobody answers or settles it: `answer` waits, and then sees it settled.
SELECT id FROM surveys WHERE id = :survey::bigint AND status = 'calling' FOR UPDATE SKIP LOCKED;

-- name: ended^
-- What came of its last call (`robocalls.allowed.Ended`). An answer stands until a later one of the same call takes
-- its place; what she wishes after a verdict (no more calls, a person) leaves the verdict. What she had answered in an
-- earlier call, and was written down late, counts, too.
SELECT sc.attempt, k.outcome::text, k.ended_at AS at, k.queued_at IS NOT NULL AS handed_over,
       k.outcome = 'surveyed' AND k.hung_up_by = 'resident' AS hung_up_by_her,
       said.result::text, said.rating, tries.in_vain, tries.talks
FROM survey_calls sc
JOIN calls k ON k.id = sc.call_id
LEFT JOIN LATERAL (
    SELECT a.result, a.rating
    FROM survey_calls one JOIN survey_answers a USING (call_id)
    WHERE one.survey_id = sc.survey_id
      AND (one.attempt = sc.attempt
           OR a.result IN ('rated', 'not_done', 'refused', 'opted_out', 'wrong_number', 'human'))
      AND NOT EXISTS (
          SELECT FROM survey_answers later
          WHERE later.call_id = a.call_id AND (later.at, later.key) > (a.at, a.key)
            AND NOT (a.result IN ('rated', 'not_done')
                     AND later.result IN ('refused', 'opted_out', 'human', 'later')))
    ORDER BY a.result IN ('rated', 'not_done') DESC, one.attempt DESC, a.at DESC, a.key DESC LIMIT 1
) said ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE in_vain) AS in_vain, count(*) FILTER (WHERE NOT in_vain AND outcome <> 'taken_back') AS talks
    FROM (
        SELECT c.outcome, c.outcome IN ('busy', 'no_answer', 'unreachable', 'cut_off', 'machine')
               OR EXISTS (SELECT FROM survey_answers WHERE call_id = c.id AND result = 'machine')
               OR c.outcome = 'surveyed' AND c.hung_up_by IS DISTINCT FROM 'resident'
                  AND NOT EXISTS (SELECT FROM survey_answers WHERE call_id = c.id AND result <> 'hung_up') AS in_vain
        FROM survey_calls one JOIN calls c ON c.id = one.call_id WHERE one.survey_id = sc.survey_id
    ) tried
) tries
WHERE sc.survey_id = :survey::bigint
ORDER BY sc.attempt DESC LIMIT 1;

-- name: settle!
UPDATE surveys SET
    status = :status::survey_status, result = :result::survey_result, rating = :rating::smallint, why = :why,
    next_attempt_at = :again_at::timestamptz, settled_at = CASE WHEN :again_at::timestamptz IS NULL THEN :now::timestamptz END
WHERE id = :survey::bigint AND status = 'calling';

-- name: answer*!
-- What she has answered, once however often it is told; the answer of the call that stands (as in `ended`) decides:
-- a rating is the ticket's at once; a bad one, or that the job was not done, opens the closed ticket again. When it is
-- taken back in the same call the ticket has its old rating, and is closed as it was unless a person has touched it.
WITH answer AS (
    INSERT INTO survey_answers (call_id, key, at, result, rating, by, detail)
    VALUES (:call, :key, :at::timestamptz, :result::survey_result, :rating::smallint, :by, :detail)
    ON CONFLICT DO NOTHING
    RETURNING *
), said AS (
    SELECT * FROM answer
    UNION ALL
    SELECT a.* FROM survey_answers a JOIN answer USING (call_id)
), stands AS (
    SELECT * FROM said a
    WHERE NOT EXISTS (
        SELECT FROM said later
        WHERE (later.at, later.key) > (a.at, a.key)
          AND NOT (a.result IN ('rated', 'not_done') AND later.result IN ('refused', 'opted_out', 'human', 'later')))
    ORDER BY result IN ('rated', 'not_done') DESC, at DESC, key DESC LIMIT 1
), asked AS (
    SELECT t.number AS ticket, s.id AS survey, s.phone, s.closed_at, s.status AS stage, s.result AS came_to, stands.*, stands.key = answer.key AS is_new,
           answer.result AS wish, answer.at AS wished_at, answer.by AS wished_by,
           sc.attempt = (SELECT max(attempt) FROM survey_calls WHERE survey_id = s.id) AS is_last,
           coalesce(stands.result = 'not_done' OR stands.rating <= 2, false) AS is_bad,
           t.status = 'closed' AND t.closed_at = s.closed_at AS is_closed,
           t.status <> 'closed' AND EXISTS (
               SELECT FROM ticket_history h
               WHERE h.ticket = t.number AND h.what = 'reopened' AND h.detail ->> 'call' = sc.call_id
                 AND NOT EXISTS (SELECT FROM ticket_history
                                 WHERE ticket = t.number AND at > h.at AND who <> 'robot')) AS is_reopened_by_us,
           stands.result <> 'rated' AND EXISTS (
               SELECT FROM said WHERE result = 'rated' AND at = t.rated_at) AS is_unrated
    FROM answer
    JOIN stands ON true
    JOIN survey_calls sc ON sc.call_id = answer.call_id
    JOIN surveys s ON s.id = sc.survey_id
    JOIN tickets t ON t.number = s.ticket
    FOR UPDATE OF t, s
), before AS (
    SELECT a.rating, a.at
    FROM asked
    JOIN surveys s ON s.ticket = asked.ticket AND s.id <> asked.survey AND s.result = 'rated'
    JOIN survey_calls sc ON sc.survey_id = s.id
    JOIN survey_answers a ON a.call_id = sc.call_id AND a.result = 'rated' AND a.rating = s.rating
    ORDER BY a.at DESC LIMIT 1
), ticket AS (
    UPDATE tickets t SET
        rating = CASE WHEN asked.result = 'rated' THEN asked.rating
                      WHEN is_unrated THEN (SELECT rating FROM before) ELSE t.rating END,
        rated_at = CASE WHEN asked.result = 'rated' THEN asked.at
                        WHEN is_unrated THEN (SELECT at FROM before) ELSE t.rated_at END,
        status = CASE WHEN is_bad AND is_closed AND content IS NULL THEN 'draft'
                      WHEN is_bad AND is_closed THEN 'registered'
                      WHEN NOT is_bad AND is_reopened_by_us THEN 'closed' ELSE status END::ticket_status,
        closed_at = CASE WHEN is_bad AND is_closed THEN NULL
                         WHEN NOT is_bad AND is_reopened_by_us THEN asked.closed_at ELSE t.closed_at END,
        reopened = reopened + (is_bad AND is_closed)::integer - (NOT is_bad AND is_reopened_by_us)::integer
    FROM asked
    WHERE t.number = asked.ticket AND (t.rated_at IS NULL OR t.rated_at <= asked.at OR is_unrated)
), told AS (
    INSERT INTO ticket_history (ticket, at, who, what, detail)
    SELECT ticket, wished_at, 'robot', what, jsonb_strip_nulls(jsonb_build_object(
        'call', call_id, 'survey', survey, 'result', result, 'rating', rating, 'by', by, 'evidence', detail))
    FROM asked
    JOIN (VALUES (1, 'rated'), (2, 'not_done'), (3, 'unrated'), (4, 'reopened'), (5, 'closed')) AS steps (step, what)
      ON CASE what
             WHEN 'unrated' THEN is_unrated
             WHEN 'reopened' THEN is_bad AND is_closed
             WHEN 'closed' THEN NOT is_bad AND is_reopened_by_us
             ELSE is_new AND result::text = what
         END
    ORDER BY step
), late AS (
    -- settled before it was written down: a controller died with it on its disk. What `asked` has locked is as it is
    -- now, `s` may be as it was when this statement began.
    UPDATE surveys s SET
        status = 'done', result = asked.result, rating = asked.rating, why = NULL, next_attempt_at = NULL,
        settled_at = coalesce(s.settled_at, asked.at)
    FROM asked
    WHERE s.id = asked.survey AND stage <> 'calling'
      AND (is_last AND stage = 'done'
           OR asked.result IN ('rated', 'not_done', 'refused', 'opted_out', 'wrong_number', 'human')
              AND (came_to IS NULL OR came_to NOT IN ('rated', 'not_done')))
), opted_out AS (
    INSERT INTO opt_outs (phone, since, how, who)
    SELECT phone, wished_at, CASE wished_by WHEN 'key' THEN 'key' ELSE 'word' END, 'resident' FROM asked
    WHERE wish = 'opted_out'
    ON CONFLICT DO NOTHING
), spared AS (
    UPDATE surveys s SET status = 'cancelled', why = 'opted_out', next_attempt_at = NULL, settled_at = wished_at
    FROM asked
    WHERE wish = 'opted_out' AND s.phone = asked.phone AND s.status = 'planned' AND s.id <> asked.survey
)
SELECT pg_notify('surveys', '') FROM asked;
