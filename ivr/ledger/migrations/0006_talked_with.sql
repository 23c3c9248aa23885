-- A migration of its own: an enum's new words can be used only once they are committed.

-- Have the two talked for that long since she called, or do they talk now? By her own call or by one of our tries,
-- whatever the clock said then; a machine is no talk, and no call keeps the promise that it made itself.
CREATE FUNCTION talked_with(p promises, talk interval, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM calls c
        WHERE c.caller = p.phone AND c.outcome IS DISTINCT FROM 'machine'
          AND (c.answered_at >= p.missed_at
               OR c.answered_at IS NOT NULL
                  AND EXISTS (SELECT FROM attempts WHERE call_id = c.id AND promise_id = p.id))
          AND (c.ended_at IS NULL AND c.answered_at > at - interval '4 hours'
               OR c.ended_at - c.answered_at >= talk)
          AND NOT EXISTS (SELECT FROM promise_calls WHERE call_id = c.id)
    )
$$;
