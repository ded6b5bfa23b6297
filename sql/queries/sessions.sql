-- name: open
-- $1 token, $2 session, $3 person, $4 now, $5 its end, $6 when the second factor was shown, $7 source, $8 how many one
-- may have: the oldest make room.
WITH room AS (
    DELETE FROM session
    WHERE token_hash IN (
        SELECT token_hash FROM session WHERE person_id = $3 ORDER BY created_at DESC OFFSET $8::integer - 1
    )
)
INSERT INTO session (token_hash, session_id, person_id, created_at, seen_at, ends_at, factor_at, source)
VALUES ($1, $2, $3, $4, $4, $5, $6, $7);

-- name: live
-- $1 tokens, $2 now, $3 seen after. That one was seen is written down once a minute.
WITH seen AS (
    UPDATE session SET seen_at = $2::timestamptz
    WHERE token_hash IN (
        SELECT token_hash FROM session
        WHERE token_hash = ANY ($1::bytea []) AND seen_at < $2::timestamptz - interval '1 minute' AND seen_at > $3 AND ends_at > $2::timestamptz
        FOR UPDATE SKIP LOCKED
    )
)
SELECT
    s.token_hash, s.session_id, s.seen_at, s.ends_at, s.factor_at, p.person_id, p.name, p.role, p.groups, p.owners,
    p.sites
FROM session AS s
JOIN person AS p USING (person_id)
WHERE s.token_hash = ANY ($1::bytea []) AND p.ended_at IS NULL;

-- name: renew
-- The second factor was shown: another token from now on.
UPDATE session SET token_hash = $2, factor_at = $3, seen_at = $3 WHERE session_id = $1 AND person_id = $4
RETURNING ends_at;

-- name: listed
SELECT session_id, created_at, seen_at, ends_at, factor_at, source
FROM session
WHERE person_id = $1 AND ends_at > $2 AND seen_at > $3
ORDER BY created_at, session_id;

-- name: end
DELETE FROM session WHERE session_id = $1 AND person_id = $2 RETURNING true;

-- name: end_others
DELETE FROM session WHERE person_id = $1 AND session_id <> $2;

-- name: forget_browsers
DELETE FROM known_browser WHERE person_id = $1;

-- name: know
INSERT INTO known_browser (token_hash, person_id, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (token_hash) DO UPDATE SET expires_at = excluded.expires_at
WHERE known_browser.person_id = excluded.person_id;

-- name: is_known
SELECT EXISTS (
    SELECT FROM known_browser AS b
    JOIN person AS p USING (person_id)
    WHERE b.token_hash = $1 AND b.expires_at > $3 AND p.email = $2 AND p.ended_at IS NULL
);

-- name: forget
WITH sessions AS (
    DELETE FROM session
    WHERE token_hash IN (SELECT token_hash FROM session WHERE ends_at <= now() LIMIT $1)
    RETURNING true
), browsers AS (
    DELETE FROM known_browser
    WHERE token_hash IN (SELECT token_hash FROM known_browser WHERE expires_at <= now() LIMIT $1)
    RETURNING true
)
SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM browsers);
