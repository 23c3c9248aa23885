"""What must be true of calls, promises and surveys: each check is a statement that finds the offenders.

Beside the ledger's own tables they see what Asterisk's log, the phones and the residents tell: `TABLES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sort = Literal["lost", "doubled", "stuck", "wrong"]
SORTS: tuple[Sort, ...] = ("lost", "doubled", "stuck", "wrong")

TABLES = """
    CREATE TEMP TABLE log_calls (
        id text PRIMARY KEY, number text, direction text, began_at timestamptz, ended_at timestamptz,
        over_at timestamptz, talked boolean, met_at timestamptz, met_until timestamptz, handed_over_at timestamptz
    ) ON COMMIT DROP;
    CREATE TEMP TABLE log_rings (
        call text, number text, began_at timestamptz, ended_at timestamptz
    ) ON COMMIT DROP;
    CREATE TEMP TABLE dialled (number text, at timestamptz) ON COMMIT DROP;
    CREATE TEMP TABLE phone_rings (number text, began_at timestamptz, ended_at timestamptz) ON COMMIT DROP;
    CREATE TEMP TABLE acts (number text, at timestamptz, deed text, key text) ON COMMIT DROP;
    CREATE TEMP TABLE rules (a_day integer, a_week integer, tries integer, zone text) ON COMMIT DROP"""
WHOM_THE_ROBOT_RANG = """
    UPDATE log_calls l SET number = c.caller FROM calls c WHERE c.id = l.id AND l.number IS NULL;
    UPDATE log_rings r SET number = c.caller FROM calls c WHERE c.id = r.call AND r.number IS NULL"""
"""The log has only the ids of those calls."""


@dataclass(frozen=True, slots=True)
class Check:
    """`sql` finds what ought not to be."""

    name: str
    sort: Sort
    sql: str


CALLS_AND_PROMISES = (
    Check(
        "calls of the log that the ledger has not",
        "lost",
        "SELECT id, number FROM log_calls l WHERE NOT EXISTS (SELECT FROM calls WHERE id = l.id)",
    ),
    Check(
        "calls a phone saw answered that the ledger has not",
        "lost",
        """SELECT number, at FROM dialled d WHERE NOT EXISTS (
               SELECT FROM calls WHERE caller = d.number AND direction = 'inbound'
               -- answered at once, or when a stopped controller goes on
               AND arrived_at BETWEEN d.at - interval '6 s' AND d.at + interval '1 s')""",
    ),
    Check(
        "calls of the ledger that the log has not",
        "doubled",
        """SELECT id, direction::text, outcome::text FROM calls c
           WHERE NOT EXISTS (SELECT FROM log_calls WHERE id = c.id)
             -- an order that was never carried out rang nobody, and nobody has told anything of it
             AND NOT (direction <> 'inbound' AND answered_at IS NULL AND picked_up_at IS NULL AND NOT EXISTS (
                 SELECT FROM call_facts WHERE call_id = c.id AND kind NOT IN ('ended', 'identified', 'hung_up')))""",
    ),
    Check(
        "calls that arrived at another moment (± 1 s)",
        "wrong",
        """SELECT l.id, l.began_at, c.arrived_at FROM log_calls l JOIN calls c USING (id)
           WHERE l.direction = 'inbound' AND abs(extract(epoch FROM c.arrived_at - l.began_at)) > 1""",
    ),
    Check(
        "calls of the robot that were not claimed first, or rang long after (20 s)",
        "wrong",
        """SELECT l.id, l.began_at, c.arrived_at FROM log_calls l JOIN calls c USING (id)
           WHERE l.direction = 'survey'
             AND l.began_at NOT BETWEEN c.arrived_at AND c.arrived_at + interval '20 s'""",
    ),
    Check(
        "calls that have not ended, or at another moment (± 1 s)",
        "wrong",
        """SELECT l.id, l.ended_at AS log_ended, l.over_at, c.ended_at, c.outcome::text
           FROM log_calls l JOIN calls c USING (id)
           WHERE c.ended_at IS NULL
              OR l.direction <> 'callback' AND (c.ended_at > l.over_at + interval '1 s'
                                                OR abs(extract(epoch FROM c.ended_at - l.ended_at)) > 1)""",
    ),
    Check(
        "missed calls without a promise",
        "lost",
        """SELECT l.id, l.number, c.outcome::text FROM log_calls l LEFT JOIN calls c USING (id)
           WHERE l.direction = 'inbound' AND NOT talked
             AND NOT EXISTS (SELECT FROM promise_calls WHERE call_id = l.id)""",
    ),
    Check(
        "residents the robot handed over who talked with nobody, and have no promise",
        "lost",
        """SELECT l.id, l.number, l.handed_over_at, c.outcome::text FROM log_calls l LEFT JOIN calls c USING (id)
           WHERE l.handed_over_at IS NOT NULL AND NOT talked
             AND NOT EXISTS (SELECT FROM promise_calls WHERE call_id = l.id)""",
    ),
    Check(
        "residents who heard that they are put through, talked with nobody, and have no promise",
        "lost",
        """SELECT a.number, a.at, c.id, c.outcome::text FROM acts a
           LEFT JOIN calls c ON c.caller = a.number AND c.direction = 'survey' AND a.at > c.arrived_at
               AND a.at < c.ended_at + interval '3 s'
           WHERE a.deed = 'handed_over'
             AND NOT EXISTS (SELECT FROM log_calls WHERE id = c.id AND talked IS DISTINCT FROM false)
             AND NOT EXISTS (SELECT FROM promise_calls WHERE call_id = c.id)""",
    ),
    Check(
        "talked calls with a promise",
        "wrong",
        """SELECT l.id, l.number, c.outcome::text FROM log_calls l LEFT JOIN calls c USING (id)
           WHERE l.direction <> 'callback' AND talked
             AND EXISTS (SELECT FROM promise_calls WHERE call_id = l.id)""",
    ),
    Check(
        "missed calls told twice in the history of promises",
        "doubled",
        """SELECT detail->>'call' AS call, count(*) FROM promise_history WHERE what IN ('opened', 'joined')
           GROUP BY 1 HAVING count(*) > 1""",
    ),
    Check(
        "promises whose count of missed calls is not theirs",
        "doubled",
        """SELECT p.id, p.missed, count(c.call_id) FROM promises p LEFT JOIN promise_calls c ON c.promise_id = p.id
           GROUP BY p.id HAVING count(c.call_id) <> p.missed""",
    ),
    Check(
        "residents rung twice at once",
        "doubled",
        """SELECT a.number, a.call, b.call AS other, b.began_at FROM log_rings a JOIN log_rings b
               ON a.number = b.number AND (a.call, a.began_at) < (b.call, b.began_at)
               AND a.began_at < coalesce(b.ended_at, 'infinity') AND b.began_at < coalesce(a.ended_at, 'infinity')""",
    ),
    Check(
        "phones that had two calls of ours at once (1 s)",
        "doubled",
        """SELECT a.number, a.began_at, b.began_at AS another FROM phone_rings a JOIN phone_rings b
               ON a.number = b.number AND a.began_at < b.began_at AND b.began_at < a.ended_at - interval '1 s'""",
    ),
    Check(
        "residents rung while they talked with us",
        "doubled",
        """SELECT r.number, r.call, l.id AS talked_in, r.began_at FROM log_rings r JOIN log_calls l
               ON l.number = r.number AND l.direction <> 'callback' AND l.id <> r.call
               AND r.began_at > l.met_at AND r.began_at < coalesce(l.met_until, l.over_at, 'infinity')""",
    ),
    Check(
        "residents rung by the robot while they called us (1 s)",
        "doubled",
        """SELECT r.number, r.call, l.id AS called_in, r.began_at FROM log_rings r
           JOIN log_calls robot ON robot.id = r.call AND robot.direction = 'survey'
           JOIN log_calls l ON l.number = r.number AND l.direction = 'inbound'
               AND r.began_at > l.began_at + interval '1 s' AND r.began_at < coalesce(l.over_at, 'infinity')""",
    ),
    Check(
        "promises that wait for nothing",
        "stuck",
        """SELECT id, phone, status::text, next_attempt_at FROM promises p
           WHERE closed_at IS NULL AND phone IS NOT NULL AND next_attempt_at IS NULL AND NOT EXISTS (
               SELECT FROM attempts a JOIN calls c ON c.id = a.call_id
               WHERE a.promise_id = p.id AND c.ended_at IS NULL)""",
    ),
    Check(
        "promises still open though their residents answer",
        "stuck",
        """SELECT id, phone, status::text, missed_at, next_attempt_at,
                  (SELECT count(*) FROM attempts WHERE promise_id = p.id) AS attempts
           FROM promises p WHERE closed_at IS NULL AND phone IS NOT NULL""",
    ),
    Check(
        "calls back, and of the robot, that go on though Asterisk has no channel of them",
        "stuck",
        "SELECT id, caller, arrived_at FROM calls WHERE direction <> 'inbound' AND ended_at IS NULL",
    ),
    Check(
        "promises kept without a talk",
        "wrong",
        """SELECT p.id, p.phone, p.status::text, p.reached_by, l.met_at, l.met_until FROM promises p
           LEFT JOIN log_calls l ON l.id = p.reached_by
           WHERE p.reached_at IS NOT NULL
             AND (l.met_at IS NULL OR abs(extract(epoch FROM p.reached_at - l.met_at)) > 1)""",
    ),
    Check(
        "promises told kept more than once, or not at all",
        "doubled",
        """SELECT p.id, p.status::text, count(h.what) FROM promises p
           LEFT JOIN promise_history h ON h.promise_id = p.id AND h.what IN ('kept', 'reached_late')
           GROUP BY p.id HAVING count(h.what) <> (p.reached_at IS NOT NULL)::int""",
    ),
    Check(
        "talks that have not exactly one ticket (whom the robot handed over has one already)",
        "doubled",
        """SELECT c.id, c.answered_at, count(t.call_id) FROM calls c LEFT JOIN tickets t ON t.call_id = c.id
           WHERE c.answered_at IS NOT NULL OR c.direction = 'survey'
           GROUP BY c.id HAVING count(t.call_id) <> (c.direction <> 'survey')::int""",
    ),
    Check(
        "attempts of one promise that overlap",
        "doubled",
        """SELECT a.promise_id, a.call_id, b.call_id AS other FROM attempts a JOIN attempts b USING (promise_id)
           JOIN calls x ON x.id = a.call_id JOIN calls y ON y.id = b.call_id
           WHERE a.attempt < b.attempt AND x.ended_at > b.placed_at + interval '1 s'""",
    ),
)

SURVEYS = (
    Check(
        "closings that nobody is to be asked about",
        "lost",
        """SELECT number, phone, closed_at FROM tickets t WHERE status = 'closed' AND NOT EXISTS (
               SELECT FROM surveys WHERE ticket = t.number AND closed_at = t.closed_at)""",
    ),
    Check(
        "residents who would rate, and have not, though nobody waits to ask them",
        "lost",
        """SELECT s.id, s.phone, s.status::text, s.result::text, s.rating, s.why, a.key AS means FROM surveys s
           JOIN acts a ON a.number = s.phone AND a.deed = 'means'
           WHERE (s.status, s.result, s.rating::text) IS DISTINCT FROM ('done', 'rated', a.key)
             AND (s.status <> 'planned' OR s.next_attempt_at IS NULL)""",
    ),
    Check(
        "surveys that came to nothing though their residents were there",
        "lost",
        """SELECT s.id, s.phone, s.status::text, s.result::text, s.why FROM surveys s, rules
           WHERE s.status = 'done' AND s.result IN ('hung_up', 'silent', 'not_understood', 'foreign', 'tone', 'fax')
               AND NOT EXISTS (
                   SELECT FROM acts a JOIN survey_calls sc ON sc.survey_id = s.id JOIN calls c ON c.id = sc.call_id
                   WHERE a.number = s.phone AND a.deed = 'left'
                     AND a.at BETWEEN c.arrived_at AND c.ended_at + interval '3 s')
              OR s.status = 'given_up' AND rules.tries >= (SELECT count(*) FROM survey_calls WHERE survey_id = s.id)
              OR s.status = 'cancelled' AND s.why IS DISTINCT FROM 'a case that went wrong'
               AND NOT EXISTS (SELECT FROM opt_outs WHERE phone = s.phone)""",
    ),
    Check(
        "answers that were thanked for, and are not in the ledger",
        "lost",
        """SELECT a.number, a.at, a.key FROM acts a WHERE a.deed = 'thanked' AND NOT EXISTS (
               SELECT FROM survey_answers s JOIN calls c ON c.id = s.call_id
               WHERE c.caller = a.number AND s.rating::text = a.key
                 AND s.at BETWEEN a.at - interval '10 s' AND a.at)""",
    ),
    Check(
        "comments that were spoken, and are not kept",
        "lost",
        """SELECT a.number, a.at, c.id FROM acts a
           LEFT JOIN calls c ON c.caller = a.number AND c.direction = 'survey' AND a.at > c.arrived_at
               AND a.at < c.ended_at + interval '3 s'
           WHERE a.deed = 'spoke'
             AND NOT EXISTS (SELECT FROM survey_comments WHERE call_id = c.id AND seconds >= 1)""",
    ),
    Check(
        "calls of the robot about what had been answered",
        "doubled",
        """SELECT s.id, a.call_id, a.at, a.result::text, later.call_id AS later, later.placed_at
           FROM surveys s JOIN survey_calls sc ON sc.survey_id = s.id JOIN survey_answers a USING (call_id)
           JOIN survey_calls later ON later.survey_id = s.id AND later.attempt > sc.attempt
           WHERE a.result IN ('rated', 'not_done', 'refused', 'opted_out', 'wrong_number', 'human')""",
    ),
    Check(
        "answers by key that nobody has given",
        "doubled",
        """SELECT number, key, count(*) FROM (
               SELECT c.caller AS number, s.detail ->> 'key' AS key
               FROM survey_answers s JOIN calls c ON c.id = s.call_id WHERE s.by = 'key'
               EXCEPT ALL
               SELECT number, key FROM acts WHERE deed = 'pressed'
           ) given_by_nobody GROUP BY 1, 2""",
    ),
    Check(
        "surveys said to be called though no call of theirs goes on",
        "stuck",
        """SELECT id, phone, ticket FROM surveys s WHERE status = 'calling' AND NOT EXISTS (
               SELECT FROM survey_calls sc JOIN calls c ON c.id = sc.call_id
               WHERE sc.survey_id = s.id AND c.ended_at IS NULL)""",
    ),
    Check(
        "surveys planned that wait for nothing",
        "stuck",
        "SELECT id, phone, ticket, why FROM surveys WHERE status = 'planned' AND next_attempt_at IS NULL",
    ),
    Check(
        "surveys whose rating is not what was answered last",
        "wrong",
        """SELECT s.id, s.phone, s.rating, a.rating AS answered, a.at FROM surveys s CROSS JOIN LATERAL (
               SELECT rating, at FROM survey_answers JOIN survey_calls sc USING (call_id)
               WHERE sc.survey_id = s.id AND result = 'rated' ORDER BY at DESC, key DESC LIMIT 1) a
           WHERE s.status <> 'cancelled' AND s.rating IS DISTINCT FROM a.rating""",
    ),
    Check(
        "tickets whose rating is not what was answered last",
        "wrong",
        """SELECT t.number, t.rating, t.rated_at, a.rating AS answered, a.at FROM tickets t CROSS JOIN LATERAL (
               SELECT a.rating, a.at FROM surveys s JOIN survey_calls sc ON sc.survey_id = s.id
               JOIN survey_answers a USING (call_id)
               WHERE s.ticket = t.number AND a.result = 'rated' ORDER BY a.at DESC, a.key DESC LIMIT 1) a
           WHERE (t.rating, t.rated_at) IS DISTINCT FROM (a.rating, a.at)""",
    ),
    Check(
        "bad jobs whose ticket was not opened again exactly once, or good ones that were",
        "wrong",
        """SELECT s.id, s.ticket, s.result::text, s.rating, count(h.what) FROM surveys s
           LEFT JOIN ticket_history h ON h.ticket = s.ticket AND h.what = 'reopened'
               AND (h.detail ->> 'survey')::bigint = s.id
           GROUP BY s.id
           HAVING count(h.what) <> coalesce(s.result = 'not_done' OR s.rating <= 2, false)::int""",
    ),
    Check(
        "tickets whose count of openings is not their history's",
        "wrong",
        """SELECT t.number, t.reopened, count(h.what) FROM tickets t
           LEFT JOIN ticket_history h ON h.ticket = t.number AND h.what = 'reopened'
           GROUP BY t.number HAVING count(h.what) <> t.reopened""",
    ),
    Check(
        "residents rung by the robot more often than the rules allow",
        "wrong",
        """SELECT a.number, a.began_at, same_day, same_week FROM (
               SELECT r.number, r.began_at,
                      count(*) OVER (PARTITION BY r.number, (r.began_at AT TIME ZONE rules.zone)::date) AS same_day,
                      count(*) OVER (PARTITION BY r.number ORDER BY r.began_at
                                     RANGE '7 days' PRECEDING) AS same_week
               FROM rules, log_rings r JOIN calls c ON c.id = r.call AND c.direction = 'survey'
               WHERE r.number IS NOT NULL AND c.outcome NOT IN ('busy', 'unreachable')
           ) a, rules WHERE same_day > a_day OR same_week > a_week""",
    ),
)

CHECKS = (*CALLS_AND_PROMISES, *SURVEYS)
