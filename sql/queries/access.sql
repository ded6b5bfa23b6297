-- name: create_key
-- $7 owners, $8 sites, $9 networks (null: all), $10 when it ends (null: when it is revoked).
INSERT INTO api_key (
    key_id, name, role, secret_hash, created_at, created_by, owners, sites, networks, expires_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text []::cidr [], $10);

-- name: live_keys
SELECT
    key_id, name, role, quota, owners, sites, networks::text [] AS networks, groups, secret_hash,
    CASE WHEN former_until > now() THEN former_hash END AS former_hash
FROM api_key
WHERE key_id = ANY ($1::text []) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());

-- name: list_keys
SELECT
    key_id, name, role, created_at, created_by, revoked_at, revoked_by, quota, owners, sites, networks::text [] AS networks,
    expires_at, former_until, groups
FROM api_key
ORDER BY created_at, key_id;

-- name: lock_lasting_admins
-- Those that nothing ends but somebody's word.
SELECT key_id FROM api_key
WHERE role = 'admin' AND revoked_at IS NULL AND expires_at IS NULL
ORDER BY key_id
FOR UPDATE;

-- name: revoke_key
-- $1 key_id, $2 now, $3 by. No row where the key is unknown or was revoked before.
UPDATE api_key SET revoked_at = $2, revoked_by = $3
WHERE key_id = $1 AND revoked_at IS NULL
RETURNING true;

-- name: rotate_key
-- $1 key_id, $2 the new secret's digest, $3 for how many seconds the present one stays good. No row where there is no
-- live key of that id.
UPDATE api_key SET former_hash = secret_hash, former_until = now() + make_interval(secs => $3), secret_hash = $2
WHERE key_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
RETURNING name;

-- name: role_of_key
SELECT role FROM api_key WHERE key_id = $1 AND revoked_at IS NULL;

-- name: set_end
-- $1 key_id, $2 when it ends; null: when it is revoked.
UPDATE api_key SET expires_at = $2 WHERE key_id = $1 AND revoked_at IS NULL RETURNING true;

-- name: set_networks
-- $1 key_id, $2 networks; null: all.
UPDATE api_key SET networks = $2::text []::cidr [] WHERE key_id = $1 AND revoked_at IS NULL RETURNING true;

-- name: set_groups
UPDATE api_key SET groups = $2 WHERE key_id = $1 AND revoked_at IS NULL RETURNING true;

-- name: set_quota
UPDATE api_key SET quota = $2 WHERE key_id = $1 AND revoked_at IS NULL RETURNING true;

-- name: key_exists
SELECT EXISTS (SELECT FROM api_key WHERE key_id = $1);

-- name: has_admin
SELECT EXISTS (
    SELECT FROM api_key WHERE role = 'admin' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
);
