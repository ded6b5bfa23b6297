-- name: gauges
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
    ) AS pending
FROM partner AS p
JOIN partner_pace AS pace USING (partner_id)
ORDER BY p.partner_id;

-- name: waiting
SELECT
    (SELECT count(*) FROM (SELECT FROM audit_pending LIMIT 100000) AS waiting) AS audit_unsealed,
    (SELECT count(*) FROM epcis_capture WHERE finished_at IS NULL) AS captures_waiting;
