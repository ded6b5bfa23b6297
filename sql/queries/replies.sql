-- name: be_impatient
SET LOCAL lock_timeout = '100ms';

-- name: be_patient
SET LOCAL lock_timeout = DEFAULT;

-- name: claim
-- $1 sender, $2 target, $3 key, $4 digest, $5 now, $6 kept until. The reply that is kept; or one without a status,
-- and the key is ours; or no row: somebody has only just ended with it, and the same query sees how.
-- The primary key is where a second request waits for the first one's transaction.
WITH kept AS (
    SELECT digest, status, headers, body
    FROM reply
    WHERE sender = $1 AND target = $2 AND key = $3 AND kept_until > $5
),

taken AS (
    INSERT INTO reply (sender, target, key, digest, kept_until)
    SELECT $1, $2, $3, $4::bytea, $6::timestamptz
    WHERE NOT EXISTS (SELECT FROM kept)
    ON CONFLICT (sender, target, key) DO UPDATE
    SET digest = excluded.digest, kept_until = excluded.kept_until, status = NULL, headers = NULL, body = NULL
    WHERE reply.kept_until <= $5
    RETURNING digest, status, headers, body
)

SELECT digest, status, headers, body FROM kept
UNION ALL
SELECT digest, status, headers, body FROM taken;

-- name: keep
-- $1 sender, $2 target, $3 key, $4 status, $5 headers, $6 body or NULL.
UPDATE reply SET status = $4, headers = $5, body = $6
WHERE sender = $1 AND target = $2 AND key = $3;

-- name: forget
-- $1 now, $2 limit.
WITH past AS (
    SELECT sender, target, key
    FROM reply
    WHERE kept_until <= $1
    ORDER BY kept_until
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),

gone AS (
    DELETE FROM reply USING past
    WHERE reply.sender = past.sender AND reply.target = past.target AND reply.key = past.key
    RETURNING true
)

SELECT count(*) FROM gone;
