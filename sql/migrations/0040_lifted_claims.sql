-- When a claim was let go of: with the approval of its incident, the time for which it blocked.
ALTER TABLE claim ADD COLUMN lifted_at timestamptz;
-- Of those before now, the end of the whole incident, or else the last change of what is told of the identifier.
UPDATE claim AS c SET lifted_at = coalesce(i.ended_at, l.since)
FROM incident AS i, listing AS l
WHERE c.state = 2 AND i.incident_id = c.incident_id AND l.key = c.key;
