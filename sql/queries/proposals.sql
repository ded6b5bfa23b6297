-- name: add
INSERT INTO proposal (
    deed, place, incident_id, content, digest, would, matter, demand, approve_until, proposed_by, proposed_at, lacking
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
RETURNING proposal_id;

-- name: hold
SELECT * FROM proposal WHERE proposal_id = $1 FOR UPDATE;

-- name: find
SELECT * FROM proposal WHERE proposal_id = $1;

-- name: latest
-- $1 before this one, $2 in this state (null: any), $3 how many, $4 now. The newest first.
SELECT * FROM proposal
WHERE
    ($1::bigint IS NULL OR proposal_id < $1)
    AND (
        $2::text IS NULL
        OR CASE WHEN state = 'waiting' AND approve_until < $4 THEN 'over' ELSE state END = $2
    )
ORDER BY proposal_id DESC
LIMIT $3;

-- name: assented
-- $1 proposal, $2 who has approved, $3 what is demanded by now, $4 whom it still takes.
UPDATE proposal SET assents = $2, demand = $3, lacking = $4 WHERE proposal_id = $1;

-- name: finish
-- $1 proposal, $2 state, $3 who, $4 now, $5 why, $6 what was made ('' if nothing was).
UPDATE proposal SET
    state = $2, ended_by = $3, ended_at = $4, reason = $5, content = '',
    place = CASE WHEN $6 = '' THEN place ELSE $6 END
WHERE proposal_id = $1;

-- name: remind
-- $1 now. Those of whose time three quarters are over, or all of it; each is told of once. What nobody can approve any
-- more is forgotten.
WITH late AS (
    SELECT proposal_id, CASE WHEN $1 <= approve_until THEN 1 ELSE 2 END::smallint AS stage
    FROM proposal
    WHERE state = 'waiting' AND $1 > approve_until - (approve_until - proposed_at) / 4
    FOR UPDATE SKIP LOCKED
)

UPDATE proposal AS p SET reminders = late.stage, content = CASE WHEN late.stage = 2 THEN '' ELSE p.content END
FROM late
WHERE p.proposal_id = late.proposal_id AND p.reminders < late.stage
RETURNING p.proposal_id, p.deed, p.incident_id, p.proposed_by, p.approve_until, late.stage;

-- name: sealed
-- What waits, and is sealed.
SELECT proposal_id, digest, content FROM proposal
WHERE state = 'waiting' AND content NOT LIKE '{%'
ORDER BY proposal_id
FOR UPDATE;

-- name: reseal
UPDATE proposal SET content = $2 WHERE proposal_id = $1;
