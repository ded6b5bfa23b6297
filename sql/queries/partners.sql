-- name: add_partner
INSERT INTO partner (
    name, adapter, settings, enrols, kinds, tacs, gtins, brands, max_inflight, rate, burst, created_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
RETURNING partner_id;

-- name: change_partner
UPDATE partner SET
    settings = $2, tacs = $3, gtins = $4, brands = $5, max_inflight = $6, rate = $7, burst = $8
WHERE partner_id = $1;

-- name: partners
SELECT
    p.*,
    pace.failures,
    pace.last_fault,
    pace.resume_at > now() AS resting
FROM partner AS p
JOIN partner_pace AS pace USING (partner_id)
WHERE $1::bigint IS NULL OR p.partner_id = $1
ORDER BY p.partner_id;

-- name: hold_partner
SELECT partner_id FROM partner WHERE partner_id = $1::bigint FOR UPDATE;

-- name: partner_named
SELECT partner_id FROM partner WHERE name = $1 OR partner_id::text = $1;

-- name: set_paused
UPDATE partner SET paused = $2, pause_reason = $3 WHERE partner_id = $1 AND paused <> $2
RETURNING partner_id;

-- name: has_enrolling
SELECT EXISTS (SELECT FROM partner WHERE enrols);
