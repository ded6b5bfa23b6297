-- name: rules
-- Those in force.
SELECT
    rule_id, subject, least_devices, least_value, currency, sites, kinds, approvers, groups, distinct_groups, people_only,
    hours, made_by, made_at
FROM approval_rule
WHERE ended_at IS NULL
ORDER BY subject, rule_id;

-- name: add_rule
INSERT INTO approval_rule (
    subject, least_devices, least_value, currency, sites, kinds, approvers, groups, distinct_groups, people_only, hours,
    made_by, made_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING rule_id;

-- name: end_rule
UPDATE approval_rule SET ended_by = $2, ended_at = $3
WHERE rule_id = $1 AND ended_at IS NULL
RETURNING
    rule_id, subject, least_devices, least_value, currency, sites, kinds, approvers, groups, distinct_groups, people_only,
    hours, made_by, made_at;

-- name: are_there_others
-- $1 whom besides, $2 roles, $3 since when: keys, and people who can sign in, that were let in then or are now. Who has
-- ended has no proofs any more.
SELECT
    EXISTS (
        SELECT FROM api_key
        WHERE
            key_id <> $1 AND role = ANY ($2::text []) AND owners IS NULL AND sites IS NULL
            AND coalesce(revoked_at, 'infinity') > $3 AND coalesce(expires_at, 'infinity') > $3
    )
    OR EXISTS (
        SELECT FROM person
        WHERE
            person_id <> $1 AND role = ANY ($2::text []) AND owners IS NULL AND sites IS NULL
            AND (ended_at > $3 OR ended_at IS NULL AND (totp_secret IS NOT NULL OR issuer IS NOT NULL))
    );

-- name: lock_rules
-- Of a subject, so that two who end its last rules take turns.
SELECT rule_id, approvers FROM approval_rule WHERE subject = $1 AND ended_at IS NULL ORDER BY rule_id FOR UPDATE;

-- name: endorse
-- $1 subject, $2 number, $3 round, $4 identity, $5 label, $6 groups, $7 digest, $8 now. No row where he has before.
INSERT INTO approval (subject, number, round, identity, label, groups, digest, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: teams
-- Of those who are let in, and may approve: $1 their roles.
SELECT DISTINCT unnest(groups) AS team FROM (
    SELECT groups FROM api_key
    WHERE role = ANY ($1::text []) AND revoked_at IS NULL AND coalesce(expires_at, 'infinity') > now()
    UNION ALL
    SELECT groups FROM person WHERE role = ANY ($1::text []) AND ended_at IS NULL
) AS let_in
ORDER BY team;

-- name: forget
-- $1 identity: who is let in no longer, or may do something else, has approved nothing that still waits.
DELETE FROM approval AS a
WHERE
    a.identity = $1
    AND (
        EXISTS (SELECT FROM incident AS i WHERE a.subject = 'incident' AND i.incident_id = a.number AND i.state = 'submitted')
        OR EXISTS (SELECT FROM proposal AS p WHERE a.subject = 'proposal' AND p.proposal_id = a.number AND p.state = 'waiting')
    );

-- name: given
SELECT identity, label, groups, at FROM approval
WHERE subject = $1 AND number = $2 AND round = $3 AND digest = $4
ORDER BY at, identity;
