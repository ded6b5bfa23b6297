-- name: gauges
-- Of partners that were not removed: for those nothing waits any more. Progress has a row a command and partner.
WITH left_over AS (
    SELECT
        g.partner_id,
        sum(g.parked)::bigint AS parked,
        sum(g.refused)::bigint AS refused,
        sum(g.accepted)::bigint AS accepted
    FROM progress AS g
    JOIN command AS c USING (command_id)
    WHERE c.op <> 'enrol' AND (g.parked <> 0 OR g.refused <> 0 OR g.accepted <> 0)
    GROUP BY g.partner_id
)
SELECT
    p.name AS partner,
    p.paused::integer AS paused,
    pace.failures,
    (
        SELECT coalesce(sum(g.wanted - g.done - g.already - g.accepted - g.refused - g.superseded - g.parked - g.not_ours), 0)::bigint
        FROM (
            SELECT DISTINCT d.command_id FROM delivery AS d
            WHERE d.partner_id = p.partner_id AND d.state = 0
        ) AS open_command
        JOIN progress AS g ON g.partner_id = p.partner_id AND g.command_id = open_command.command_id
    ) AS pending,
    coalesce(left_over.parked, 0) AS parked,
    coalesce(left_over.refused, 0) AS refused,
    coalesce(left_over.accepted, 0) AS accepted
FROM partner AS p
JOIN partner_pace AS pace USING (partner_id)
LEFT JOIN left_over USING (partner_id)
WHERE p.removed_at IS NULL
ORDER BY p.partner_id;

-- name: waiting
SELECT
    (SELECT count(*) FROM (SELECT FROM audit_pending LIMIT 100000) AS waiting) AS audit_unsealed,
    (SELECT count(*) FROM epcis_capture WHERE finished_at IS NULL) AS captures_waiting;
