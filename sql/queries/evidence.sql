-- name: entries
-- $1 incident: the places of its entries in the log, and of those that tell of its deliveries; $2 partner (null: all of
-- them). Without its bodies, which are read page by page.
SELECT e.entry_id, l.seq
FROM audit_entry AS e
LEFT JOIN audit_leaf AS l USING (entry_id)
WHERE e.subject = 'incident:' || $1::bigint AND $2::bigint IS NULL
UNION ALL
SELECT e.entry_id, l.seq
FROM audit_entry AS e
LEFT JOIN audit_leaf AS l USING (entry_id)
WHERE
    e.kind = 'delivery.attempted' AND ((e.body::jsonb) -> 'detail' ->> 'incident')::bigint = $1
    AND ($2::bigint IS NULL OR e.subject = 'partner:' || $2::bigint)
ORDER BY entry_id;

-- name: page
-- $1 incident, $2 partner (null: all), $3 after this entry, $4 how many: the same, a page of them.
SELECT entry_id
FROM (
    SELECT entry_id FROM audit_entry WHERE subject = 'incident:' || $1::bigint AND $2::bigint IS NULL
    UNION ALL
    SELECT entry_id FROM audit_entry
    WHERE
        kind = 'delivery.attempted' AND ((body::jsonb) -> 'detail' ->> 'incident')::bigint = $1
        AND ($2::bigint IS NULL OR subject = 'partner:' || $2::bigint)
) AS e
WHERE entry_id > $3
ORDER BY entry_id
LIMIT $4;

-- name: head
-- $1 a leaf: the first signed checkpoint that is over it, else the newest that is signed, with what witnesses have put
-- under it. A longer log gives the same one.
SELECT
    c.size,
    c.root,
    c.sealed_at,
    c.note || coalesce(
        (SELECT string_agg(s.line, '' ORDER BY s.witness) FROM audit_cosignature AS s WHERE s.size = c.size), ''
    ) AS note
FROM audit_checkpoint AS c
WHERE c.note IS NOT NULL
ORDER BY c.size <= $1::bigint, CASE WHEN c.size > $1 THEN c.size ELSE -c.size END
LIMIT 1;

-- name: devices
-- $1 incident, $2 owner, $3 partner (null: all): what it claimed, by device; identifiers of none are rows of their own.
SELECT
    d.device_id, d.serial, d.gtin, d.model, d.pallet, d.site, d.owner, d.unit_value, d.currency,
    array_agg(c.key ORDER BY c.key) AS keys,
    max(c.state) AS state,
    bool_or(c.state = 1) AS is_held,
    max(c.lifted_at) AS lifted_at,
    max(n.serial) AS bare_serial,
    max(n.gtin) AS bare_gtin
FROM claim AS c
LEFT JOIN device AS d USING (device_id)
LEFT JOIN serial_number AS n ON c.key < 0 AND n.serial_id = -c.key
WHERE
    c.incident_id = $1
    AND ($2::text IS NULL OR d.owner = $2)
    AND ($3::bigint IS NULL OR c.key IN (
        SELECT unnest(k.keys)
        FROM command AS m
        JOIN delivery AS y ON y.command_id = m.command_id AND y.partner_id = $3
        JOIN chunk AS k ON k.chunk_id = y.chunk_id
        WHERE m.incident_id = $1
    ))
GROUP BY d.device_id, coalesce(d.device_id, c.key)
ORDER BY d.device_id, min(c.key);

-- name: movements
-- $1 incident, $2 owner (null: all).
SELECT d.keys[1] AS key, d.serial, d.gtin, m.pallet, m.moved_at, m.source, m.recorded_at, m.recorded_by, m.withdrawn
FROM (SELECT DISTINCT device_id FROM claim WHERE incident_id = $1 AND device_id IS NOT NULL) AS c
JOIN device AS d USING (device_id)
JOIN movement AS m USING (device_id)
WHERE $2::text IS NULL OR d.owner = $2
ORDER BY m.device_id, m.moved_at, m.movement_id;

-- name: sightings
-- $1 incident, $2 owner (null: all).
SELECT
    s.sighting_id, s.key, n.serial, n.gtin, s.told, s.way, s.place, s.note, s.times, s.first_at, s.last_at,
    format('key:%s (%s)', k.key_id, k.name) AS asked_by
FROM sighting AS s
JOIN api_key AS k ON k.key_id = s.asked_by
LEFT JOIN serial_number AS n ON n.serial_id = -s.key
LEFT JOIN device AS d USING (device_id)
WHERE s.incident_id = $1 AND ($2::text IS NULL OR d.owner = $2)
ORDER BY s.sighting_id;

-- name: own_keys
-- $1 incident, $2 owner.
SELECT c.key FROM claim AS c JOIN device AS d USING (device_id) WHERE c.incident_id = $1 AND d.owner = $2;

-- name: serials
-- $1 incident: the serials that partners were told of.
SELECT c.key, n.serial, n.gtin
FROM claim AS c JOIN serial_number AS n ON n.serial_id = -c.key
WHERE c.incident_id = $1 AND c.key < 0;

-- name: chunks
-- $1 chunks.
SELECT chunk_id, keys, versions FROM chunk WHERE chunk_id = ANY ($1::bigint []);

-- name: partners
-- $1 incident, $2 partner (null: all): where each stands, by what it was told.
SELECT
    p.partner_id, p.name, p.adapter, CASE WHEN c.again THEN 'again' ELSE c.op END AS what,
    sum(g.wanted)::bigint AS wanted, sum(g.done)::bigint AS done, sum(g.already)::bigint AS already,
    sum(g.accepted)::bigint AS accepted, sum(g.refused)::bigint AS refused, sum(g.parked)::bigint AS parked,
    sum(g.superseded + g.not_ours)::bigint AS superseded, sum(g.calls)::bigint AS calls,
    sum(g.failed_calls)::bigint AS failed_calls, min(g.first_at) AS first_at, max(g.last_at) AS last_at
FROM command AS c
JOIN progress AS g USING (command_id)
JOIN partner AS p USING (partner_id)
WHERE c.incident_id = $1 AND ($2::bigint IS NULL OR p.partner_id = $2)
GROUP BY p.partner_id, what
ORDER BY p.partner_id, what;

-- name: words
-- $1 incident, $2 partner (null: all): what is not simply done, in the partner's own words, and what it confirmed later.
SELECT i.partner_id, p.name, i.key, i.version, i.op, i.state, i.code, i.words, i.ref, i.changed_at
FROM delivery_item AS i
JOIN command AS c USING (command_id)
JOIN partner AS p USING (partner_id)
WHERE c.incident_id = $1 AND ($2::bigint IS NULL OR i.partner_id = $2)
ORDER BY i.partner_id, i.key, i.version, i.op;
