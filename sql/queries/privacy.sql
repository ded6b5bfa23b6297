-- Each part of what is held on one device, as JSON objects.

-- name: device
SELECT to_jsonb(d) FROM device AS d WHERE d.device_id = $1;

-- name: device_of_key
SELECT device_id FROM device_imei WHERE key = $1;

-- name: receipts
-- $1 device: those that registered it, by which it arrived, and that named it again.
SELECT
    jsonb_build_object(
        'receipt_id', r.receipt_id, 'source', r.source, 'kind', r.kind, 'supplier', r.supplier,
        'received_at', r.received_at, 'received_by', r.received_by
    )
FROM receipt AS r
WHERE
    r.receipt_id IN (
        SELECT unnest(ARRAY[d.receipt_id, d.arrived_in]) FROM device AS d WHERE d.device_id = $1
        UNION
        SELECT again.receipt_id FROM receipt_repeat AS again WHERE again.device_ids @> ARRAY[$1::bigint]
    )
ORDER BY r.receipt_id;

-- name: rejected
-- $1 what it is called: rows of files that were not taken, as they came.
SELECT jsonb_build_object('receipt_id', j.receipt_id, 'line', j.line, 'cells', j.cells)
FROM receipt_reject AS j
WHERE j.cells && $1::text []
ORDER BY j.receipt_id, j.line
LIMIT 1000;

-- name: movements
SELECT to_jsonb(m) FROM movement AS m WHERE m.device_id = $1 ORDER BY m.movement_id;

-- name: sales
SELECT to_jsonb(s) FROM sale AS s WHERE s.device_id = $1 ORDER BY s.sale_id;

-- name: events
-- $1 its names in events.
SELECT
    jsonb_build_object('event_id', e.event_id, 'record_time', e.record_time, 'capture_id', e.capture_id, 'event', e.body::jsonb)
FROM epcis_event AS e
WHERE e.epcs && $1::text [] OR e.parents && $1 OR e.others && $1
ORDER BY e.event_no;

-- name: claims
-- $1 keys.
SELECT
    to_jsonb(c) || jsonb_build_object(
        'title', i.title, 'kind', i.kind, 'reference', i.reference, 'incident_state', i.state,
        'submitted_at', i.submitted_at, 'approved_at', i.approved_at, 'police_reference', i.police_reference
    )
FROM claim AS c
JOIN incident AS i USING (incident_id)
WHERE c.key = ANY ($1::bigint [])
ORDER BY c.incident_id, c.key;

-- name: listings
SELECT to_jsonb(l) FROM listing AS l WHERE l.key = ANY ($1::bigint []) ORDER BY l.key;

-- name: changes
-- $1 keys: what those who follow the block list were told, as long as it is kept.
SELECT
    jsonb_build_object(
        'key', told.key, 'at', c.at, 'status', c.status, 'before', c.before, 'incident_id', c.incident_id,
        'version', told.version
    )
FROM blocklist_change AS c
CROSS JOIN unnest(c.keys, c.versions) AS told (key, version)
WHERE
    c.incident_id IN (SELECT incident_id FROM claim WHERE key = ANY ($1::bigint [])) AND told.key = ANY ($1)
ORDER BY c.first;

-- name: told
-- $1 keys, $2 device: what each partner was ordered to be told of it, and where that stands.
SELECT
    jsonb_build_object(
        'partner', p.name, 'op', c.op, 'incident_id', c.incident_id, 'ordered_at', c.ordered_at, 'key', said.key,
        'version', said.version, 'code', i.code, 'words', i.words, 'ref', i.ref, 'changed_at', i.changed_at,
        'state', CASE
            WHEN said.place = ANY (d.untold) THEN 'not told'
            WHEN d.state = 0 AND (d.open_at IS NULL OR said.place = ANY (d.open_at)) THEN 'waiting'
            ELSE coalesce(i.state, 'told')
        END
    )
FROM command AS c
JOIN chunk AS ch USING (command_id)
CROSS JOIN unnest(ch.keys, ch.versions) WITH ORDINALITY AS said (key, version, place)
CROSS JOIN partner AS p
JOIN delivery AS d ON d.partner_id = p.partner_id AND d.lane = ch.lane AND d.chunk_id = ch.chunk_id
LEFT JOIN delivery_item AS i
    ON i.partner_id = p.partner_id AND i.key = said.key AND i.version = said.version AND i.op = c.op
WHERE
    said.key = ANY ($1::bigint [])
    AND (
        c.incident_id IN (SELECT incident_id FROM claim WHERE key = ANY ($1))
        OR c.receipt_id IN (SELECT receipt_id FROM device WHERE device_id = $2)
    )
ORDER BY c.command_id, p.name, said.key;

-- name: sightings
SELECT
    to_jsonb(s) || jsonb_build_object('asked_by', format('key:%s (%s)', k.key_id, k.name))
FROM sighting AS s
JOIN api_key AS k ON k.key_id = s.asked_by
WHERE s.key = ANY ($1::bigint [])
ORDER BY s.sighting_id;

-- name: alerts
-- $1 the device as alerts name it.
SELECT to_jsonb(a) FROM alert AS a WHERE a.detail ->> 'last' = $1 ORDER BY a.alert_id;

-- name: entries
-- $1 subject.
SELECT a.body::jsonb FROM audit_entry AS a WHERE a.subject = $1 ORDER BY a.entry_id;
