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
INSERT INTO audit_checkpoint (size, root, sealed_at, note) VALUES ($1, $2, $3, $4);

-- name: add_verifier
INSERT INTO audit_verifier (verifier, since) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING verifier;

-- name: verifiers
SELECT verifier FROM audit_verifier ORDER BY since, verifier;

-- name: nodes_of_level
-- They have no gaps.
SELECT coalesce(max(number) + 1, 0) FROM audit_node WHERE level = $1;

-- name: add_nodes
-- $1 level, $2 the first one's number, $3 hashes.
INSERT INTO audit_node (level, number, hash)
SELECT $1::smallint, $2::bigint + place - 1, hash
FROM unnest($3::bytea []) WITH ORDINALITY AS node (hash, place);

-- name: hashes
-- $1 levels, $2 first numbers, $3 how many: ranges of hashes, those of level 0 being the leaves'.
SELECT asked.level, n.number, n.hash
FROM unnest($1::smallint [], $2::bigint [], $3::bigint []) AS asked (level, first, width)
CROSS JOIN LATERAL (
    SELECT seq AS number, hash FROM audit_leaf
    WHERE asked.level = 0 AND seq >= asked.first AND seq < asked.first + asked.width
    UNION ALL
    SELECT number, hash FROM audit_node
    WHERE level = asked.level AND number >= asked.first AND number < asked.first + asked.width
) AS n
ORDER BY asked.level, n.number;

-- name: bodies
-- $1 the first leaf's number, $2 how many.
SELECT e.body
FROM audit_leaf AS l
JOIN audit_entry AS e USING (entry_id)
WHERE l.seq >= $1 AND l.seq < $1 + $2::bigint
ORDER BY l.seq;

-- name: last_checkpoint
SELECT size, root, sealed_at, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1;

-- name: last_note
-- The newest checkpoint that is signed, with what witnesses have put under it.
SELECT
    c.size,
    c.note || coalesce(
        (SELECT string_agg(s.line, '' ORDER BY s.witness) FROM audit_cosignature AS s WHERE s.size = c.size), ''
    ) AS note
FROM audit_checkpoint AS c
WHERE c.note IS NOT NULL
ORDER BY c.size DESC
LIMIT 1;

-- name: last_witnessed
-- The same of the newest that a witness has signed.
SELECT
    c.size,
    c.note || (SELECT string_agg(s.line, '' ORDER BY s.witness) FROM audit_cosignature AS s WHERE s.size = c.size) AS note
FROM audit_checkpoint AS c
WHERE c.size = (SELECT max(size) FROM audit_cosignature);

-- name: claim_witness
-- $1 witness, $2 seconds that he is nobody else's. How long the log was when he signed it last.
INSERT INTO audit_witness (witness, next_at) VALUES ($1, now() + make_interval(secs => $2))
ON CONFLICT (witness) DO UPDATE SET next_at = excluded.next_at WHERE audit_witness.next_at <= now()
RETURNING size, objection, again_at <= now() AS is_due;

-- name: free_witness
UPDATE audit_witness SET next_at = now() WHERE witness = $1;

-- name: leave_witness
-- $1 witness, $2 size, $3 objection, $4 seconds until he is asked again, $5 until he is even without news.
UPDATE audit_witness SET
    size = $2, objection = $3, next_at = now() + make_interval(secs => $4), again_at = now() + make_interval(secs => $5)
WHERE witness = $1;

-- name: add_cosignature
INSERT INTO audit_cosignature (size, witness, line) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: places
-- $1 entries, each with its leaf: NULL before it is sealed.
SELECT e.entry_id, e.body, l.seq, l.hash
FROM audit_entry AS e
LEFT JOIN audit_leaf AS l USING (entry_id)
WHERE e.entry_id = ANY ($1::bigint [])
ORDER BY e.entry_id;

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
SELECT size, root, note FROM audit_checkpoint WHERE size > $1 AND size <= $2;

-- name: nodes
SELECT number, hash FROM audit_node WHERE level = $1 ORDER BY number;

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
