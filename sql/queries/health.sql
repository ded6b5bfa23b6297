-- name: gauges
SELECT
    p.name AS partner,
    p.paused::integer AS paused,
    pace.failures,
    (SELECT coalesce(sum(l.pending), 0)::bigint FROM partner_lane AS l WHERE l.partner_id = p.partner_id)
        AS pending
FROM partner AS p
JOIN partner_pace AS pace USING (partner_id)
ORDER BY p.partner_id;

-- name: unsealed
SELECT count(*) FROM (SELECT FROM audit_pending LIMIT 100000) AS waiting;
