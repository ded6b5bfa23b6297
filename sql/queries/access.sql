-- name: create_key
INSERT INTO api_key (key_id, name, role, secret_hash, created_at, created_by, owners, sites)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: live_keys
SELECT key_id, name, role, quota, owners, sites, secret_hash
FROM api_key
WHERE key_id = ANY ($1::text []) AND revoked_at IS NULL;

-- name: list_keys
SELECT key_id, name, role, created_at, created_by, revoked_at, revoked_by, quota, owners, sites
FROM api_key
ORDER BY created_at, key_id;

-- name: lock_live_admins
SELECT key_id FROM api_key WHERE role = 'admin' AND revoked_at IS NULL ORDER BY key_id FOR UPDATE;

-- name: revoke_key
-- $1 key_id, $2 now, $3 by. No row where the key is unknown or was revoked before.
UPDATE api_key SET revoked_at = $2, revoked_by = $3
WHERE key_id = $1 AND revoked_at IS NULL
RETURNING true;

-- name: set_quota
UPDATE api_key SET quota = $2 WHERE key_id = $1 AND revoked_at IS NULL RETURNING true;

-- name: key_exists
SELECT EXISTS (SELECT FROM api_key WHERE key_id = $1);

-- name: has_admin
SELECT EXISTS (SELECT FROM api_key WHERE role = 'admin' AND revoked_at IS NULL);
