-- name: add
INSERT INTO person (person_id, name, email, role, groups, owners, sites, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (email) WHERE ended_at IS NULL DO NOTHING
RETURNING true;

-- name: listed
SELECT
    person_id, name, email, role, groups, owners, sites, totp_secret IS NOT NULL AS enrolled,
    issuer IS NOT NULL AS linked, created_at, created_by, ended_at, ended_by
FROM person
ORDER BY created_at, person_id;

-- name: by_email
SELECT person_id, name, email, role, groups, owners, sites, password_hash, totp_secret
FROM person
WHERE email = $1 AND ended_at IS NULL;

-- name: by_id
SELECT person_id, name, email, role, groups, owners, sites, password_hash, totp_secret
FROM person
WHERE person_id = $1 AND ended_at IS NULL;

-- name: hold
-- Whoever changes him, or lets him in, waits here for others who do.
SELECT person_id, name, email, role, groups, owners, sites, password_hash, totp_secret
FROM person
WHERE person_id = $1 AND ended_at IS NULL
FOR UPDATE;

-- name: by_subject
SELECT person_id, name, email, role, groups, owners, sites, password_hash, totp_secret
FROM person
WHERE issuer = $1 AND subject = $2 AND ended_at IS NULL;

-- name: is_linked
SELECT issuer IS NOT NULL FROM person WHERE person_id = $1;

-- name: link
-- No row where he is linked already.
UPDATE person SET issuer = $2, subject = $3
WHERE person_id = $1 AND issuer IS NULL AND ended_at IS NULL
RETURNING true;

-- name: change
UPDATE person SET role = $2, groups = $3, owners = $4, sites = $5
WHERE person_id = $1;

-- name: end
UPDATE person SET ended_at = $2, ended_by = $3, password_hash = null, totp_secret = null
WHERE person_id = $1 AND ended_at IS NULL;

-- name: set_password
UPDATE person SET password_hash = $2 WHERE person_id = $1;

-- name: forget_proofs
UPDATE person SET password_hash = null, totp_secret = null WHERE person_id = $1;

-- name: enrol
UPDATE person SET password_hash = $2, totp_secret = $3, totp_step = $4 WHERE person_id = $1;

-- name: take_step
-- No row where a code of this step, or of a later one, was taken.
UPDATE person SET totp_step = $2 WHERE person_id = $1 AND totp_step < $2 RETURNING true;

-- name: set_recovery_codes
WITH gone AS (
    DELETE FROM recovery_code WHERE person_id = $1 AND code_hash <> ALL ($2::bytea [])
)
INSERT INTO recovery_code (person_id, code_hash) SELECT $1, unnest($2::bytea []);

-- name: take_recovery_code
DELETE FROM recovery_code WHERE person_id = $1 AND code_hash = $2 RETURNING true;

-- name: invite
INSERT INTO invitation (person_id, token_hash, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (person_id) DO UPDATE
SET token_hash = excluded.token_hash, expires_at = excluded.expires_at, password_hash = null, totp_secret = null;

-- name: invited
SELECT i.person_id, p.name, p.email, i.password_hash, i.totp_secret
FROM invitation AS i
JOIN person AS p USING (person_id)
WHERE i.token_hash = $1 AND i.expires_at > $2 AND p.ended_at IS NULL
FOR UPDATE OF i;

-- name: choose
UPDATE invitation SET password_hash = $2, totp_secret = $3 WHERE token_hash = $1;

-- name: uninvite
DELETE FROM invitation WHERE person_id = $1;

-- name: hold_factors
-- Second factors, and those that are chosen and not confirmed yet.
SELECT person_id, totp_secret FROM (
    SELECT person_id, totp_secret FROM person WHERE totp_secret IS NOT NULL FOR UPDATE
) AS enrolled
UNION ALL
SELECT person_id, totp_secret FROM (
    SELECT person_id, totp_secret FROM invitation WHERE totp_secret IS NOT NULL FOR UPDATE
) AS chosen;

-- name: keep_factors
-- $1 whose, $2 as they were, $3 as they are sealed now.
WITH sealed AS (SELECT * FROM unnest($1::text [], $2::text [], $3::text []) AS s (person_id, former, now)),

chosen AS (
    UPDATE invitation AS i SET totp_secret = s.now
    FROM sealed AS s
    WHERE i.person_id = s.person_id AND i.totp_secret = s.former
)

UPDATE person AS p SET totp_secret = s.now
FROM sealed AS s
WHERE p.person_id = s.person_id AND p.totp_secret = s.former;
