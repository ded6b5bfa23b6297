-- name: gauges
-- Of partners that were not removed: for those nothing waits any more.
SELECT p.partner_id, p.name AS partner, p.paused::integer AS paused, pace.failures
FROM partner AS p
JOIN partner_pace AS pace USING (partner_id)
WHERE p.removed_at IS NULL
ORDER BY p.partner_id;

-- name: waiting
SELECT
    (SELECT count(*) FROM (SELECT FROM audit_pending LIMIT 100000) AS waiting) AS audit_unsealed,
    (SELECT count(*) FROM epcis_capture WHERE finished_at IS NULL) AS captures_waiting;
