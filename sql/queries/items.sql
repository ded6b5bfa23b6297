-- name: settle_items
-- $1 partner, $2 op, $3 command, $4 now, then arrays: keys, versions, states, codes, words, refs. A confirmation may
-- have come before its own order was settled (it is of no command yet): it stands, as does what was confirmed when it
-- is told again, and that somebody else had blocked it. What stands is given back. $11: the partner may have heard of
-- these before, $12: by an earlier round of these very orders. It may have taken then what it refuses now, unless it
-- refused it then, too.
INSERT INTO delivery_item AS i (
    partner_id, op, command_id, changed_at, key, version, state, code, words, ref, heard
)
SELECT $1, $2, $3, $4, a.key, a.version, a.state, a.code, a.words, a.ref, a.state = 'refused' AND $11::boolean
FROM unnest(
    $5::bigint [], $6::bigint [], $7::text [], $8::text [], $9::text [], $10::text []
) AS a (key, version, state, code, words, ref)
ORDER BY a.key
ON CONFLICT (partner_id, key, version, op) DO UPDATE SET
    command_id = coalesce(i.command_id, excluded.command_id),
    state = CASE WHEN i.command_id IS NULL OR i.state IN ('confirmed', 'foreign') THEN i.state ELSE excluded.state END,
    code = CASE WHEN i.command_id IS NULL OR i.state IN ('confirmed', 'foreign') THEN i.code ELSE excluded.code END,
    words = CASE WHEN i.command_id IS NULL OR i.state IN ('confirmed', 'foreign') THEN i.words ELSE excluded.words END,
    ref = CASE WHEN excluded.ref = '' THEN i.ref ELSE excluded.ref END,
    heard = CASE
        WHEN i.command_id IS NULL OR i.state IN ('confirmed', 'foreign') THEN i.heard
        ELSE excluded.heard AND ($12::boolean OR i.heard OR i.state <> 'refused')
    END,
    changed_at = excluded.changed_at
RETURNING key, state;

-- name: doubt_refusals
-- $1 partner, $2 lane, whose worker went: what is told there again may have been taken by now, though it was refused.
UPDATE delivery_item AS i SET heard = true
FROM delivery AS d
JOIN command AS c USING (command_id)
JOIN chunk AS ch USING (chunk_id)
CROSS JOIN unnest(ch.keys, ch.versions) WITH ORDINALITY AS said (key, version, place)
WHERE
    d.partner_id = $1 AND d.lane = $2 AND d.state = 0 AND c.again
    AND (d.open_at IS NULL OR said.place = ANY (d.open_at))
    AND i.partner_id = $1 AND i.key = said.key AND i.version = said.version AND i.op = c.op AND i.state = 'refused';

-- name: heal
-- $1 partner, $2 op, then arrays: keys, versions. What had been refused or given up has been taken after all.
DELETE FROM delivery_item AS i
USING unnest($3::bigint [], $4::bigint []) AS a (key, version)
WHERE
    i.partner_id = $1 AND i.op = $2 AND i.key = a.key AND i.version = a.version AND i.state IN ('refused', 'parked')
    AND i.command_id IS NOT NULL
RETURNING i.command_id, i.state;

-- name: pass_over
-- $1 partner, $2 op, $3 command, then arrays: keys, versions. What was told again and only accepted, refused or given up
-- again counts for the command that told it last, and for no other.
WITH before AS MATERIALIZED (
    SELECT i.key, i.version, i.command_id, i.state
    FROM unnest($4::bigint [], $5::bigint []) AS a (key, version)
    JOIN delivery_item AS i
        ON i.partner_id = $1 AND i.key = a.key AND i.version = a.version AND i.op = $2
    WHERE i.state IN ('accepted', 'refused', 'parked') AND i.command_id <> $3
)
UPDATE delivery_item AS i SET command_id = $3
FROM before
WHERE i.partner_id = $1 AND i.key = before.key AND i.version = before.version AND i.op = $2
RETURNING before.command_id, before.state;

-- name: supersede
-- $1 partner, then arrays: keys, versions that are settled now. What the partner had accepted of older decisions is not
-- waited for any longer, and what was given up of them need not be told any more.
WITH before AS MATERIALIZED (
    SELECT i.key, i.version, i.op, i.command_id, i.state
    FROM unnest($2::bigint [], $3::bigint []) AS a (key, version)
    JOIN delivery_item AS i ON i.partner_id = $1 AND i.key = a.key AND i.version < a.version
    WHERE i.state IN ('accepted', 'parked') AND i.op <> 'enrol'
)
UPDATE delivery_item AS i SET state = 'superseded', changed_at = now()
FROM before
WHERE i.partner_id = $1 AND i.key = before.key AND i.version = before.version AND i.op = before.op
RETURNING before.command_id, before.state;

-- name: confirm
-- $1 partner, $2 now, then arrays: keys, ops, states, codes, words, refs. Books onto what was accepted: of
-- one identifier a partner has one accepted order at most, for settling a newer one supersedes it. A word that repeats
-- no reference takes none away: the release will need it.
UPDATE delivery_item AS i SET
    state = a.state,
    code = a.code,
    words = a.words,
    ref = coalesce(nullif(a.ref, ''), i.ref),
    changed_at = $2
FROM unnest(
    $3::bigint [], $4::text [], $5::text [], $6::text [], $7::text [], $8::text []
) AS a (key, op, state, code, words, ref)
WHERE
    i.partner_id = $1 AND i.key = a.key AND i.op = a.op AND i.state = 'accepted'
    AND (a.ref = i.ref OR '' IN (a.ref, i.ref))
RETURNING i.key, i.op, i.command_id, i.state;

-- name: confirm_early
-- The same, for what comes before its order was settled: kept for the settling to find, but only while the
-- identifier's lane is being worked, or was when its worker died. Otherwise the word is a late one, about a decision
-- that is past.
INSERT INTO delivery_item (
    partner_id, changed_at, key, version, op, command_id, state, code, words, ref
)
SELECT $1, $2, a.key, l.version, a.op, NULL, a.state, a.code, a.words, a.ref
FROM unnest(
    $3::bigint [], $4::text [], $5::text [], $6::text [], $7::text [], $8::text []
) AS a (key, op, state, code, words, ref)
JOIN listing AS l ON l.key = a.key AND (l.blocked_by > 0) = (a.op = 'block')
JOIN partner_lane AS lane
    ON lane.partner_id = $1 AND lane.lane = abs(a.key) % 16 AND lane.lease_until > '-infinity'
ORDER BY a.key
ON CONFLICT DO NOTHING
RETURNING key;

-- name: serial_keys
SELECT -serial_id AS key, serial FROM serial_number WHERE serial = ANY ($1::text []);
