-- name: issue
-- $1 digest, $2 key_id, $3 scopes, $4 the certificate's SHA-256 or null, $5 seconds, $6 how many a key may have. Those that
-- would end first make room.
WITH room AS (
    DELETE FROM access_token
    WHERE token_hash IN (
        SELECT token_hash FROM access_token WHERE key_id = $2 ORDER BY expires_at DESC OFFSET $6::integer - 1
    )
)
INSERT INTO access_token (token_hash, key_id, scopes, certificate, expires_at)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5));

-- name: live
SELECT t.token_hash, t.scopes, t.certificate, k.key_id, k.name, k.role, k.quota, k.owners, k.sites, k.networks::text [] AS networks, k.groups
FROM access_token AS t
JOIN api_key AS k USING (key_id)
WHERE t.token_hash = ANY ($1::bytea []) AND t.expires_at > now() AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > now());

-- name: forget
-- $1 rows. Gives how many tokens went whose time is over.
WITH gone AS (
    DELETE FROM access_token
    WHERE token_hash IN (SELECT token_hash FROM access_token WHERE expires_at <= now() LIMIT $1)
    RETURNING true
)
SELECT count(*) FROM gone;
