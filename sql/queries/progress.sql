-- name: progress
-- $1 incident; one row for each partner and op, and one for what it was told again.
SELECT
    p.partner_id,
    p.name,
    p.adapter,
    p.paused,
    p.pause_reason,
    pace.failures,
    pace.last_fault,
    pace.resume_at > now() AS resting,
    CASE WHEN c.again THEN 'again' ELSE c.op END AS what,
    sum(g.wanted)::integer AS wanted,
    sum(g.done)::integer AS done,
    sum(g.already)::integer AS already,
    sum(g.accepted)::integer AS accepted,
    sum(g.refused)::integer AS refused,
    sum(g.superseded)::integer AS superseded,
    sum(g.parked)::integer AS parked,
    sum(g.not_ours)::integer AS not_ours,
    sum(g.calls)::integer AS calls,
    sum(g.failed_calls)::integer AS failed_calls,
    min(g.first_at) AS first_at,
    max(g.last_at) AS last_at
FROM command AS c
JOIN progress AS g USING (command_id)
JOIN partner AS p USING (partner_id)
JOIN partner_pace AS pace USING (partner_id)
WHERE c.incident_id = $1
GROUP BY
    p.partner_id, p.name, p.adapter, p.paused, p.pause_reason, pace.failures, pace.last_fault, pace.resume_at, what
ORDER BY p.partner_id, what;

-- name: enrolment
-- The same for all that has been enrolled at goods-in, whatever the receipt.
SELECT
    p.partner_id,
    p.name,
    coalesce(sum(g.wanted), 0)::integer AS wanted,
    coalesce(sum(g.done + g.already), 0)::integer AS done,
    coalesce(sum(g.refused), 0)::integer AS refused
FROM partner AS p
JOIN progress AS g USING (partner_id)
JOIN command AS c USING (command_id)
WHERE c.op = 'enrol'
GROUP BY p.partner_id, p.name
ORDER BY p.partner_id;

-- name: waiting
-- $1 partner (null: all); how many identifiers are still to be told, or told again, where there are any.
SELECT
    g.partner_id,
    sum(g.wanted - g.done - g.already - g.accepted - g.refused - g.superseded - g.parked - g.not_ours)::bigint AS identifiers
FROM (
    SELECT DISTINCT partner_id, command_id FROM delivery
    WHERE state = 0 AND ($1::integer IS NULL OR partner_id = $1)
) AS open_command
JOIN progress AS g USING (partner_id, command_id)
GROUP BY g.partner_id;

-- name: left_over
-- $1 partner (null: all): of blocks and releases, how many identifiers it was told and does not simply hold now, where
-- there are any. One row a command and partner is read, never one an identifier.
SELECT
    g.partner_id,
    sum(g.parked)::bigint AS parked,
    sum(g.refused)::bigint AS refused,
    sum(g.accepted)::bigint AS accepted
FROM progress AS g
JOIN command AS c USING (command_id)
WHERE
    c.op <> 'enrol' AND (g.parked <> 0 OR g.refused <> 0 OR g.accepted <> 0)
    AND ($1::integer IS NULL OR g.partner_id = $1)
GROUP BY g.partner_id;

-- name: given_up
-- By partner and incident, where anything was given up and not told since.
SELECT p.partner_id, p.name AS partner, i.incident_id AS incident, i.title, sum(g.parked)::bigint AS parked
FROM progress AS g
JOIN command AS c USING (command_id)
JOIN incident AS i USING (incident_id)
JOIN partner AS p USING (partner_id)
WHERE c.op <> 'enrol' AND g.parked <> 0 AND p.removed_at IS NULL
GROUP BY p.partner_id, p.name, i.incident_id, i.title
HAVING sum(g.parked) > 0
ORDER BY p.partner_id, i.incident_id;

-- name: is_worked
-- $1 the name that workers give their connections, $2 seconds within which each of them is used: whether a worker lives.
SELECT worker_lives($1, $2);

-- name: refusals
-- $1 incident, $2 partner, $3 limit, $4 key and $5 op of the last one before: what this partner refused, in its
-- own words, and what was given up. One incident orders each op once of each key.
SELECT i.key, s.serial, i.state, i.op, i.code, i.words, i.changed_at
FROM delivery_item AS i
JOIN command AS c USING (command_id)
LEFT JOIN serial_number AS s ON i.key < 0 AND s.serial_id = -i.key
WHERE c.incident_id = $1 AND i.partner_id = $2 AND i.state IN ('refused', 'parked')
    AND (i.key, i.op) > ($4, $5)
ORDER BY i.key, i.op
LIMIT $3;
