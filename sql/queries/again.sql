-- name: failed
-- $1 partner, $2 incident, $3 from and $4 until it was ordered (null: any), $5 states of what is meant
SELECT DISTINCT i.key
FROM delivery_item AS i
JOIN command AS c USING (command_id)
WHERE
    i.partner_id = $1 AND i.state = ANY ($5::text []) AND c.op <> 'enrol'
    AND ($2::bigint IS NULL OR c.incident_id = $2)
    AND ($3::timestamptz IS NULL OR c.ordered_at >= $3)
    AND ($4::timestamptz IS NULL OR c.ordered_at < $4);

-- name: told
-- The same of all that it was, or is to be, told; of an incident, all that it ever held, by whichever it was told.
SELECT DISTINCT said.key
FROM command AS c
JOIN chunk AS ch USING (command_id)
CROSS JOIN unnest(ch.keys) AS said (key)
WHERE
    $1 = ANY (ch.partners) AND c.op <> 'enrol'
    AND ($2::bigint IS NULL OR EXISTS (SELECT FROM claim AS k WHERE k.incident_id = $2 AND k.key = said.key))
    AND ($3::timestamptz IS NULL OR c.ordered_at >= $3)
    AND ($4::timestamptz IS NULL OR c.ordered_at < $4);

-- name: everything
-- All that is blocked now, and all that was released since this partner was added. $1 partner
SELECT l.key
FROM listing AS l
JOIN partner AS p ON p.partner_id = $1
WHERE l.blocked_by > 0 OR (l.version > 0 AND l.since >= p.created_at);

-- name: as_decided
-- $1 partner, $2 keys: how each of them stands, and by which incident (of several the latest). None that this partner
-- is still to be told at that version anyway, unless $3.
SELECT DISTINCT ON (l.key)
    l.key,
    l.version,
    CASE WHEN l.blocked_by > 0 THEN 'block' ELSE 'release' END AS op,
    c.incident_id
FROM listing AS l
JOIN claim AS c ON c.key = l.key AND CASE WHEN l.blocked_by > 0 THEN c.state = 1 ELSE c.state = 2 END
WHERE
    l.key = ANY ($2::bigint []) AND l.version > 0
    AND ($3 OR (l.key, l.version) NOT IN (
        SELECT said.key, said.version
        FROM delivery AS d
        JOIN chunk AS ch USING (chunk_id)
        CROSS JOIN unnest(ch.keys, ch.versions) AS said (key, version)
        WHERE d.partner_id = $1 AND d.state = 0
    ))
ORDER BY l.key, c.incident_id DESC;

-- name: holds
-- $1 partner: how many incidents that are still in force it was told to block for.
SELECT count(DISTINCT c.incident_id)
FROM progress AS g
JOIN command AS c USING (command_id)
JOIN incident AS i USING (incident_id)
WHERE g.partner_id = $1 AND c.op = 'block' AND i.state = 'approved' AND g.done + g.already + g.accepted > 0;

-- name: differing
-- $1 partner, $2 keys that it holds, by whosoever's word. Of what it was told: what is blocked and it does not hold, and
-- what is released and it holds still. Nothing whose last word is awaited, or was another; nothing of somebody else's.
WITH told AS MATERIALIZED (
    SELECT DISTINCT said.key
    FROM chunk AS ch
    JOIN command AS c USING (command_id)
    JOIN delivery AS d ON d.partner_id = $1 AND d.lane = ch.lane AND d.chunk_id = ch.chunk_id
    CROSS JOIN unnest(ch.keys) WITH ORDINALITY AS said (key, place)
    WHERE $1 = ANY (ch.partners) AND c.op <> 'enrol' AND said.place <> ALL (d.untold)
),
held AS MATERIALIZED (
    SELECT DISTINCT key FROM unnest($2::bigint []) AS key
)
SELECT l.key, l.blocked_by > 0 AS blocked
FROM told
JOIN listing AS l USING (key)
LEFT JOIN held USING (key)
WHERE
    (l.blocked_by > 0) = (held.key IS NULL)
    AND NOT EXISTS (
        SELECT FROM delivery_item AS i
        WHERE
            i.partner_id = $1 AND i.key = l.key AND i.op <> 'enrol'
            AND (
                i.state = 'foreign'
                OR i.version = l.version AND i.state IN ('accepted', 'refused', 'parked')
            )
    );

-- name: listed
-- $1 partner: what it holds by our word, as keys and versions. Of each identifier the last that was settled with it
-- counts, where that is a block which it did not refuse, we did not give up, and nobody else had set before.
WITH settled AS (
    SELECT DISTINCT ON (said.key)
        said.key,
        said.version,
        c.op,
        coalesce(i.state, '') AS state
    FROM delivery AS d
    JOIN chunk AS ch USING (chunk_id)
    JOIN command AS c ON c.command_id = d.command_id
    CROSS JOIN unnest(ch.keys, ch.versions) WITH ORDINALITY AS said (key, version, place)
    LEFT JOIN delivery_item AS i
        ON i.partner_id = $1 AND i.key = said.key AND i.version = said.version AND i.op = c.op
    WHERE
        d.partner_id = $1 AND c.op <> 'enrol' AND said.place <> ALL (d.untold)
        AND (d.state = 1 OR said.place <> ALL (d.open_at))
        AND coalesce(i.state, '') NOT IN ('refused', 'parked', 'superseded')
    ORDER BY said.key, said.version DESC, d.command_id DESC
)
SELECT coalesce(array_agg(key ORDER BY key), '{}') AS keys, coalesce(array_agg(version ORDER BY key), '{}') AS versions
FROM settled
WHERE op = 'block' AND state <> 'foreign';

-- name: is_incident
SELECT EXISTS (SELECT FROM incident WHERE incident_id = $1);
