-- What people see of surveys, and what they do about them. Every move is legal from named statuses only
-- (`robocalls.book.MOVES`) and returns no row from any other.

-- name: list
-- Those being asked now, then the latest first: of a status, a result, a ticket, a number; settled within a span, or
-- answered in it and not settled yet; only those answered, if that is asked for. What was answered in a call that goes
-- on counts until it is settled.
WITH few AS (
    SELECT s.*, row_number() OVER (ORDER BY status = 'calling' DESC, coalesce(settled_at, planned_at) DESC, id DESC) AS place
    FROM surveys s
    WHERE (:status::text IS NULL OR status = :status::survey_status)
      AND (:result::text IS NULL OR result = :result::survey_result)
      AND (:ticket::bigint IS NULL OR ticket = :ticket)
      AND (:phone::text IS NULL OR phone = :phone)
      AND (:serves::bigint[] IS NULL OR company_id IS NULL OR company_id = ANY(:serves))
      AND (:since::timestamptz IS NULL OR settled_at IS NULL
           OR settled_at >= :since AND settled_at < :before::timestamptz)
      AND (:since::timestamptz IS NULL OR settled_at IS NOT NULL
           OR (SELECT max(at) FROM survey_calls JOIN survey_answers USING (call_id)
               WHERE survey_id = s.id AND at < :before::timestamptz) >= :since)
      AND (NOT :answered::boolean
           OR (SELECT max(at) FROM survey_calls JOIN survey_answers USING (call_id) WHERE survey_id = s.id) IS NOT NULL)
    ORDER BY place LIMIT :most
)
SELECT s.id, s.ticket, s.status::text, coalesce(s.result, last.result)::text AS result,
       CASE WHEN s.result IS NULL THEN last.rating ELSE s.rating END AS rating, s.why, s.phone, s.closed_at, s.planned_at,
       s.agreed_at, s.next_attempt_at, s.settled_at, t.category, t.closed_at IS DISTINCT FROM s.closed_at AS reopened,
       companies.name AS company, known.name, coalesce(t.flat, known.flat) AS flat,
       coalesce(houses.address, known.address) AS address, last.at AS answered_at, last.by, tries.attempts,
       comment.transcript, comment.seconds AS comment_s, tries.dispatcher
FROM few s
JOIN tickets t ON t.number = s.ticket
LEFT JOIN companies ON companies.id = s.company_id
LEFT JOIN houses ON houses.id = t.house_id
CROSS JOIN LATERAL known_by(s.phone, s.company_id) known
CROSS JOIN LATERAL (
    SELECT count(*) AS attempts, max(c.answered_by) FILTER (WHERE c.answered_at IS NOT NULL) AS dispatcher
    FROM survey_calls sc JOIN calls c ON c.id = sc.call_id WHERE sc.survey_id = s.id
) tries
LEFT JOIN LATERAL (
    SELECT a.at, a.by, a.result, a.rating FROM survey_calls sc JOIN survey_answers a USING (call_id)
    WHERE sc.survey_id = s.id
    ORDER BY a.result = coalesce(s.result, 'rated') DESC, a.result = 'not_done' DESC, a.at DESC, a.key DESC LIMIT 1
) last ON true
LEFT JOIN LATERAL (
    SELECT m.transcript, m.seconds FROM survey_calls sc JOIN survey_comments m USING (call_id)
    WHERE sc.survey_id = s.id ORDER BY sc.attempt DESC LIMIT 1
) comment ON true
ORDER BY s.place;

-- name: counts^
-- What the robot does now, and what has come of it since a moment.
SELECT going_on.*, settled.*
FROM (
    SELECT count(*) FILTER (WHERE status = 'calling') AS calling, count(*) FILTER (WHERE status = 'planned') AS planned
    FROM surveys
    WHERE settled_at IS NULL
      AND (:serves::bigint[] IS NULL OR company_id IS NULL OR company_id = ANY(:serves))
) going_on, (
    SELECT count(rating) AS rated, count(*) FILTER (WHERE rating <= 2 OR result = 'not_done') AS low,
           count(*) FILTER (WHERE result = 'not_understood') AS not_understood, avg(rating)::float8 AS average
    FROM surveys
    WHERE settled_at >= :since::timestamptz
      AND (:serves::bigint[] IS NULL OR company_id IS NULL OR company_id = ANY(:serves))
) settled;

-- name: handed_over
-- Residents the robot hands over now, who waits longest first: a dispatcher's phone rings, and this is why.
SELECT c.id AS call, s.id, s.ticket, c.caller AS phone, c.queued_at, s.company_id, companies.name AS company,
       t.category, t.content, t.result AS done, t.closed_at IS DISTINCT FROM s.closed_at AS reopened,
       known.name, coalesce(t.flat, known.flat) AS flat, coalesce(houses.address, known.address) AS address,
       said.result::text, said.rating, said.by, coalesce(comment.transcript, nullif(heard.text, '')) AS transcript,
       CASE WHEN c.answered_at IS NOT NULL THEN 'talking' WHEN rang.who IS NOT NULL THEN 'ringing_dispatcher'
            ELSE 'in_line' END AS stage,
       coalesce(c.answered_by, rang.who) AS dispatcher
FROM calls c
JOIN survey_calls sc ON sc.call_id = c.id
JOIN surveys s ON s.id = sc.survey_id
JOIN tickets t ON t.number = s.ticket
LEFT JOIN companies ON companies.id = s.company_id
LEFT JOIN houses ON houses.id = t.house_id
LEFT JOIN survey_comments comment ON comment.call_id = c.id
LEFT JOIN LATERAL (  -- the comment is taken in when the call is over: until then, what was heard after it was asked for
    SELECT string_agg(f.detail ->> 'text', ' ' ORDER BY f.at, f.key) AS text
    FROM (SELECT max(at) AS at FROM call_facts
          WHERE call_id = c.id AND kind = 'prompt' AND detail ->> 'prompt' = 'survey_comment') asked
    JOIN call_facts f ON f.call_id = c.id AND f.kind = 'heard' AND f.at >= asked.at
    WHERE NOT EXISTS (SELECT FROM call_facts
                      WHERE call_id = c.id AND kind = 'prompt' AND at > asked.at AND at <= f.at)
) heard ON true
CROSS JOIN known_by(c.caller, s.company_id) known
LEFT JOIN LATERAL (
    SELECT result, rating, by FROM survey_answers
    WHERE call_id = c.id ORDER BY result IN ('rated', 'not_done') DESC, at DESC, key DESC LIMIT 1
) said ON true
LEFT JOIN LATERAL (
    SELECT who FROM call_facts WHERE call_id = c.id AND kind = 'rang' AND who IS NOT NULL ORDER BY at DESC LIMIT 1
) rang ON true
WHERE c.direction = 'survey' AND c.ended_at IS NULL AND c.queued_at IS NOT NULL
  AND (:serves::bigint[] IS NULL OR s.company_id IS NULL OR s.company_id = ANY(:serves))
ORDER BY c.queued_at, c.id;

-- name: show^
SELECT s.id, s.ticket, s.company_id, s.status::text, s.result::text, s.rating, s.why, s.phone, s.closed_at, s.planned_at,
       s.agreed_at, s.next_attempt_at, s.settled_at, t.category, t.content, t.result AS done, t.status::text AS ticket_status,
       t.closed_at IS DISTINCT FROM s.closed_at AS reopened, companies.name AS company, known.name,
       coalesce(t.flat, known.flat) AS flat, coalesce(houses.address, known.address) AS address,
       o.since AS opted_out_at
FROM surveys s
JOIN tickets t ON t.number = s.ticket
LEFT JOIN companies ON companies.id = s.company_id
LEFT JOIN houses ON houses.id = t.house_id
LEFT JOIN opt_outs o ON o.phone = s.phone
CROSS JOIN known_by(s.phone, s.company_id) known
WHERE s.id = :id::bigint
  AND (:serves::bigint[] IS NULL OR s.company_id IS NULL OR s.company_id = ANY(:serves));

-- name: calls
-- The robot's calls of a survey.
SELECT c.id, sc.attempt, sc.placed_at, c.picked_up_at, c.queued_at, c.answered_at, c.answered_by, c.ended_at,
       c.outcome::text, c.hung_up_by, comment.transcript, comment.ears, comment.seconds AS comment_s,
       comment.sha256 AS comment_sha256, recordings.status AS recording, recordings.sha256 AS recording_sha256
FROM survey_calls sc
JOIN calls c ON c.id = sc.call_id
LEFT JOIN survey_comments comment ON comment.call_id = c.id
LEFT JOIN recordings ON recordings.call_id = c.id
WHERE sc.survey_id = :id::bigint
ORDER BY sc.attempt;

-- name: answers
SELECT a.call_id, sc.attempt, a.at, a.result::text, a.rating, a.by, a.detail
FROM survey_calls sc JOIN survey_answers a USING (call_id)
WHERE sc.survey_id = :id::bigint
ORDER BY a.at, a.key;

-- name: facts
-- What the robot heard and what was pressed, call by call.
SELECT f.call_id, sc.attempt, f.at, f.kind::text, f.detail
FROM survey_calls sc JOIN call_facts f USING (call_id)
WHERE sc.survey_id = :id::bigint AND f.kind IN ('heard', 'noise', 'key', 'wrong_key', 'silence')
ORDER BY f.at, f.key;

-- name: history
-- What the ticket's history tells since it was closed: reopened, asked, cancelled by whom.
SELECT h.at, h.who, h.what, h.detail
FROM surveys s JOIN ticket_history h ON h.ticket = s.ticket AND h.at >= s.closed_at
WHERE s.id = :id::bigint
ORDER BY h.at;

-- name: outlook
-- Whom the robot is to ask, or is asking; and whom it has given up or was not to ask since a moment.
SELECT s.id, s.ticket, s.status::text, s.why, s.phone, s.closed_at, s.next_attempt_at, s.agreed_at, s.settled_at, t.category,
       companies.name AS company, known.name, (SELECT count(*) FROM survey_calls WHERE survey_id = s.id) AS attempts
FROM surveys s
JOIN tickets t ON t.number = s.ticket
LEFT JOIN companies ON companies.id = s.company_id
CROSS JOIN known_by(s.phone, s.company_id) known
WHERE (s.status IN ('planned', 'calling') OR s.status IN ('cancelled', 'given_up') AND s.settled_at >= :since::timestamptz)
  AND (:ticket::bigint IS NULL OR s.ticket = :ticket)
ORDER BY coalesce(s.next_attempt_at, s.settled_at), s.id;

-- name: cancel
-- She need not be asked. The ticket's history keeps who says so.
WITH moved AS (
    UPDATE surveys SET status = 'cancelled', why = :reason, next_attempt_at = NULL, settled_at = :now::timestamptz
    WHERE id = :id::bigint AND status::text = ANY(:legal::text[])
    RETURNING id, ticket
), told AS (
    INSERT INTO ticket_history (ticket, at, who, what, detail)
    SELECT ticket, :now::timestamptz, :who, 'survey_cancelled', jsonb_build_object('survey', id, 'reason', :reason::text)
    FROM moved
)
SELECT id FROM moved;

-- name: bring_forward
-- Asked as soon as a line is free. What was agreed with her stays as agreed.
UPDATE surveys SET next_attempt_at = :now::timestamptz
WHERE id = ANY(:ids::bigint[]) AND status::text = ANY(:legal::text[]) AND next_attempt_at > :now::timestamptz
  AND (agreed_at IS NULL OR agreed_at <= :now::timestamptz)
RETURNING id;

-- name: wake^
-- Whoever calls listens to `surveys`.
SELECT pg_notify('surveys', '') IS NOT NULL AS woken;

-- name: listeners^
-- How many controllers listen to `surveys` on this ledger: each has a connection that does nothing else.
SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^LISTEN "?surveys"?;?$';

-- name: progress^
-- How far they are: of these, or of all that are due or were settled since a moment.
SELECT count(*) FILTER (WHERE status = 'calling') AS calling,
       count(*) FILTER (WHERE status = 'planned' AND next_attempt_at <= :now::timestamptz) AS due,
       count(*) FILTER (WHERE status = 'planned' AND next_attempt_at > :now::timestamptz) AS later,
       count(*) FILTER (WHERE settled_at >= :since::timestamptz) AS settled,
       count(*) FILTER (WHERE settled_at >= :since::timestamptz AND result = 'rated') AS rated,
       avg(rating) FILTER (WHERE settled_at >= :since::timestamptz)::float8 AS average
FROM surveys
WHERE CASE WHEN :ids::bigint[] IS NULL THEN status IN ('planned', 'calling') OR settled_at >= :since::timestamptz
           ELSE id = ANY(:ids) END;

-- name: opt_out^
-- The robot never rings that number again. What was planned is cancelled; a call that goes on ends by itself. No new
-- row when it had opted out before: then it is told since when.
WITH added AS (
    INSERT INTO opt_outs (phone, since, how, who, reason)
    VALUES (:phone, :now::timestamptz, :how, :who, :reason)
    ON CONFLICT DO NOTHING
    RETURNING *
), moved AS (
    UPDATE surveys SET status = 'cancelled', why = 'opted_out', next_attempt_at = NULL, settled_at = :now::timestamptz
    WHERE phone = :phone AND status = 'planned'
    RETURNING id, ticket
), told AS (
    INSERT INTO ticket_history (ticket, at, who, what, detail)
    SELECT ticket, :now::timestamptz, :who, 'survey_cancelled', jsonb_build_object('survey', id, 'why', 'opted_out')
    FROM moved
)
SELECT phone, since, how, who, reason, true AS new, (SELECT count(*) FROM moved) AS cancelled FROM added
UNION ALL
SELECT phone, since, how, who, reason, false, (SELECT count(*) FROM moved) FROM opt_outs WHERE phone = :phone
ORDER BY new DESC LIMIT 1;

-- name: opt_outs
-- The latest first. Who serves some companies sees the numbers of their residents, and those she has entered herself.
SELECT o.phone, o.since, o.how, o.who, o.reason
FROM opt_outs o
WHERE (:phone::text IS NULL OR o.phone = :phone)
  AND (:serves::bigint[] IS NULL OR o.who = :who
       OR EXISTS (SELECT FROM resident_phones p WHERE p.phone = o.phone AND p.company_id = ANY(:serves))
       OR EXISTS (SELECT FROM surveys s WHERE s.phone = o.phone AND s.company_id = ANY(:serves)))
ORDER BY o.since DESC, o.phone
LIMIT :most;

-- name: report
-- Every job closed in a span with what came of asking about it; those nobody was to be asked about, too (no id).
WITH closed AS (
    SELECT s.id, s.ticket, s.closed_at, s.company_id, s.phone, s.status::text, s.result::text, s.rating, s.why,
           s.agreed_at, s.settled_at
    FROM surveys s
    WHERE s.closed_at >= :since::timestamptz AND s.closed_at < :before::timestamptz
    UNION ALL
    SELECT NULL, t.number, t.closed_at, t.company_id, t.phone, NULL, NULL, NULL, NULL, t.survey_at, NULL
    FROM tickets t
    WHERE t.status = 'closed' AND t.closed_at >= :since::timestamptz AND t.closed_at < :before::timestamptz
      AND NOT EXISTS (SELECT FROM surveys WHERE ticket = t.number AND closed_at = t.closed_at)
)
SELECT closed.*, companies.name AS company, t.category, coalesce(houses.address, known.address) AS address,
       coalesce(t.flat, known.flat) AS flat, t.closed_at IS DISTINCT FROM closed.closed_at AS reopened,
       tries.attempts, tries.handed_over, tries.dispatcher, last.by, last.at AS answered_at, last.detail,
       comment.transcript, comment.seconds AS comment_s
FROM closed
JOIN tickets t ON t.number = closed.ticket
LEFT JOIN companies ON companies.id = closed.company_id
LEFT JOIN houses ON houses.id = t.house_id
CROSS JOIN known_by(closed.phone, closed.company_id) known
CROSS JOIN LATERAL (
    SELECT count(*) AS attempts, count(c.queued_at) > 0 AS handed_over,
           max(c.answered_by) FILTER (WHERE c.answered_at IS NOT NULL) AS dispatcher
    FROM survey_calls sc JOIN calls c ON c.id = sc.call_id WHERE sc.survey_id = closed.id
) tries
LEFT JOIN LATERAL (
    SELECT a.at, a.by, a.detail FROM survey_calls sc JOIN survey_answers a USING (call_id)
    WHERE sc.survey_id = closed.id ORDER BY a.result::text = closed.result DESC, a.at DESC, a.key DESC LIMIT 1
) last ON true
LEFT JOIN LATERAL (
    SELECT m.transcript, m.seconds FROM survey_calls sc JOIN survey_comments m USING (call_id)
    WHERE sc.survey_id = closed.id ORDER BY sc.attempt DESC LIMIT 1
) comment ON true
WHERE :company::bigint IS NULL OR closed.company_id = :company
ORDER BY closed.closed_at, closed.ticket;

-- name: months
-- Month by month, by the calendar of a zone: how many jobs were closed, and what those asked about said.
SELECT to_char(date_trunc('month', s.closed_at AT TIME ZONE :zone), 'YYYY-MM') AS month, count(*) AS jobs,
       count(*) FILTER (WHERE status IN ('done', 'given_up') AND asked) AS asked,
       count(*) FILTER (WHERE result = 'rated') AS rated,
       count(*) FILTER (WHERE rating <= 2 OR result = 'not_done') AS low, avg(rating)::float8 AS average
FROM surveys s
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM survey_calls WHERE survey_id = s.id) AS asked) calls
WHERE s.closed_at >= :since::timestamptz AND s.closed_at < :before::timestamptz
  AND (:company::bigint IS NULL OR s.company_id = :company)
GROUP BY month ORDER BY month;
