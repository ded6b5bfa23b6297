-- name: record
-- $1 bodies; one statement, so an entry and its place among the pending ones appear together.
WITH written AS (
    INSERT INTO audit_entry (body)
    SELECT body FROM unnest($1::text []) WITH ORDINALITY AS given (body, place) ORDER BY place
    RETURNING entry_id
)
INSERT INTO audit_pending (entry_id)
SELECT entry_id FROM written;

-- name: lock_head
SELECT size, frontier FROM audit_head FOR UPDATE SKIP LOCKED;

-- name: take_pending
-- $1 limit. A pending id without its entry stays where it is, for verify to name.
WITH taken AS (
    DELETE FROM audit_pending
    WHERE entry_id IN (
        SELECT p.entry_id
        FROM audit_pending AS p
        INNER JOIN audit_entry AS e ON e.entry_id = p.entry_id
        ORDER BY p.entry_id
        LIMIT $1
    )
    RETURNING entry_id
)
SELECT e.entry_id, e.body
FROM taken AS t
INNER JOIN audit_entry AS e ON e.entry_id = t.entry_id
ORDER BY e.entry_id;

-- name: append_leaves
-- $1 the first leaf's number, $2 entry ids, $3 leaf hashes.
INSERT INTO audit_leaf (seq, entry_id, hash)
SELECT $1::bigint + place - 1, entry_id, hash
FROM unnest($2::bigint [], $3::bytea []) WITH ORDINALITY AS leaf (entry_id, hash, place);

-- name: move_head
UPDATE audit_head SET size = $1, frontier = $2;

-- name: set_checkpoint
INSERT INTO audit_checkpoint (size, root, sealed_at) VALUES ($1, $2, $3);

-- name: last_checkpoint
SELECT size, root, sealed_at FROM audit_checkpoint ORDER BY size DESC LIMIT 1;

-- name: entries
-- $1 after, $2 limit.
SELECT e.entry_id, l.seq, l.hash, e.body
FROM audit_entry AS e
LEFT JOIN audit_leaf AS l ON l.entry_id = e.entry_id
WHERE e.entry_id > $1
ORDER BY e.entry_id
LIMIT $2;

-- name: entries_of_subject
-- $1 after, $2 limit, $3 subject, $4 kind or NULL.
SELECT e.entry_id, l.seq, l.hash, e.body
FROM audit_entry AS e
LEFT JOIN audit_leaf AS l ON l.entry_id = e.entry_id
WHERE e.subject = $3 AND e.entry_id > $1 AND ($4::text IS NULL OR e.kind = $4)
ORDER BY e.entry_id
LIMIT $2;

-- name: entries_of_kind
-- $1 after, $2 limit, $3 kind.
SELECT e.entry_id, l.seq, l.hash, e.body
FROM audit_entry AS e
LEFT JOIN audit_leaf AS l ON l.entry_id = e.entry_id
WHERE e.kind = $3 AND e.entry_id > $1
ORDER BY e.entry_id
LIMIT $2;

-- name: isolation
SELECT current_setting('transaction_isolation');

-- name: counts
SELECT
    (SELECT count(*) FROM audit_entry) AS entries,
    (SELECT count(*) FROM audit_leaf) AS sealed,
    (SELECT count(*) FROM audit_pending) AS pending,
    (SELECT count(*) FROM audit_checkpoint) AS checkpoints;

-- name: leaves
-- Every leaf in order, with its entry's body. OFFSET 0 has the bodies looked up leaf by leaf: a hash join would
-- sort all of them on disk before the first row comes.
SELECT l.seq, l.entry_id, l.hash, e.body
FROM audit_leaf AS l
LEFT JOIN LATERAL (SELECT body FROM audit_entry WHERE entry_id = l.entry_id OFFSET 0) AS e ON true
ORDER BY l.seq;

-- name: checkpoints_between
-- $1 a size, not included, $2 a size, included.
SELECT size, root FROM audit_checkpoint WHERE size > $1 AND size <= $2;

-- name: stray
-- The first entry that is not exactly one of pending and sealed, or is pending without being there.
SELECT entry_id, e.entry_id IS NOT NULL AS written, l.seq
FROM audit_entry AS e
FULL JOIN audit_leaf AS l USING (entry_id)
FULL JOIN audit_pending AS p USING (entry_id)
WHERE e.entry_id IS NULL OR (l.entry_id IS NULL) = (p.entry_id IS NULL)
ORDER BY entry_id
LIMIT 1;

-- name: sealed_twice
SELECT entry_id, min(seq) AS first, max(seq) AS last
FROM audit_leaf
GROUP BY entry_id
HAVING count(*) > 1
ORDER BY first
LIMIT 1;

-- name: checkpoint_outside
-- $1 the number of leaves.
SELECT size FROM audit_checkpoint WHERE size NOT BETWEEN 1 AND $1 ORDER BY size LIMIT 1;

-- name: head
SELECT size, frontier FROM audit_head;
