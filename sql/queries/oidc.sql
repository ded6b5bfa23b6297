-- name: leave
INSERT INTO sign_on (state_hash, browser_hash, nonce, verifier, until, session_id, person_id)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: come_back
-- Once, and by the same browser alone; $4 whether somebody is meant who still owes a second factor.
DELETE FROM sign_on
WHERE state_hash = $1 AND browser_hash = $2 AND until > $3 AND (person_id IS NOT NULL) = $4
RETURNING nonce, verifier, session_id, person_id;

-- name: forget
WITH gone AS (
    DELETE FROM sign_on
    WHERE state_hash IN (SELECT state_hash FROM sign_on WHERE until <= now() LIMIT $1)
    RETURNING true
)
SELECT count(*) FROM gone;
