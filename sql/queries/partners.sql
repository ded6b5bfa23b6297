-- name: add_partner
-- Without its settings: keep_settings follows.
INSERT INTO partner (
    name, adapter, settings, enrols, kinds, tacs, gtins, brands, incidents, countries, reasons, max_inflight, rate,
    burst, created_at, allow_private
)
VALUES ($1, $2, '{}', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
RETURNING partner_id;

-- name: change_partner
UPDATE partner SET
    tacs = $2, gtins = $3, brands = $4, incidents = $5, countries = $6, reasons = $7, max_inflight = $8, rate = $9,
    burst = $10, allow_private = $11
WHERE partner_id = $1;

-- name: keep_settings
-- $2 settings, $3 TLS, their secrets sealed
UPDATE partner SET settings = $2, tls = $3 WHERE partner_id = $1;

-- name: partners
-- $1 one of them (null: all that were not removed)
SELECT
    p.*,
    pace.failures,
    pace.last_fault,
    pace.reconciled,
    pace.resume_at > now() AS resting
FROM partner AS p
JOIN partner_pace AS pace USING (partner_id)
WHERE CASE WHEN $1::bigint IS NULL THEN p.removed_at IS NULL ELSE p.partner_id = $1 END
ORDER BY p.partner_id;

-- name: hold_partner
SELECT partner_id FROM partner WHERE partner_id = $1::bigint FOR UPDATE;

-- name: partner_named
-- No name is digits alone, but for those of former times: what may be a number is one.
SELECT partner_id FROM partner
WHERE (name = $1 OR partner_id::text = $1) AND removed_at IS NULL
ORDER BY partner_id::text = $1 DESC
LIMIT 1;

-- name: set_paused
UPDATE partner SET paused = $2, pause_reason = $3 WHERE partner_id = $1 AND paused <> $2
RETURNING partner_id;

-- name: remove_partner
-- $1 partner, $2 now. Its name is free for another.
UPDATE partner SET
    removed_at = $2, paused = true, pause_reason = 'removed', settings = '{}', tls = '{}', enrols = false,
    name = name || ' (removed ' || partner_id || ')'
WHERE partner_id = $1;

-- name: removed
-- $1 partners
SELECT partner_id FROM partner WHERE partner_id = ANY ($1::bigint []) AND removed_at IS NOT NULL;

-- name: choosy
-- Those that are told of some kinds or countries of incidents only.
SELECT partner_id FROM partner
WHERE removed_at IS NULL AND num_nonnulls(incidents, countries) > 0
ORDER BY partner_id;

-- name: has_enrolling
SELECT EXISTS (SELECT FROM partner WHERE enrols);
