-- name: add
INSERT INTO incident (
    title, kind, site, occurred_from, occurred_to, police_reference, scope, state, drafted_by, drafted_at,
    preview, reported_by, country, include_sold
)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'draft', $8, $9, $10, $11, $12, $13)
RETURNING incident_id;

-- name: reported
-- Drafts that this source reported, and that nobody has submitted.
SELECT incident_id FROM incident WHERE reported_by = $1 AND state = 'draft' ORDER BY incident_id FOR UPDATE;

-- name: find
SELECT * FROM incident WHERE incident_id = $1;

-- name: glance
-- A row of fixed size: neither scope nor preview.
SELECT
    incident_id,
    title,
    kind,
    site,
    country,
    occurred_from,
    occurred_to,
    police_reference,
    reference,
    state,
    drafted_by,
    drafted_at,
    submitted_by,
    submitted_at,
    approved_by,
    approved_at,
    assents,
    lacking,
    demand,
    approve_until,
    glass_broken_by,
    review_until,
    reviewed_by,
    reviewed_at,
    verdict,
    ended_by,
    ended_at,
    reason,
    named_pallets,
    named_receipts,
    named_imeis,
    named_serials,
    shown_devices,
    shown_identifiers,
    identifiers,
    devices,
    lifted_identifiers,
    lifted_devices
FROM incident
WHERE incident_id = $1;

-- name: hold
SELECT * FROM incident WHERE incident_id = $1 FOR UPDATE;

-- name: latest
-- $1 before this number (null: from the newest), $2 state (null: any), $3 limit, $4 the reference that is quoted (null: any)
SELECT
    incident_id,
    title,
    kind,
    site,
    country,
    occurred_from,
    occurred_to,
    police_reference,
    reference,
    state,
    drafted_by,
    drafted_at,
    submitted_by,
    submitted_at,
    approved_by,
    approved_at,
    assents,
    lacking,
    demand,
    approve_until,
    glass_broken_by,
    review_until,
    reviewed_by,
    reviewed_at,
    verdict,
    ended_by,
    ended_at,
    reason,
    named_pallets,
    named_receipts,
    named_imeis,
    named_serials,
    shown_devices,
    shown_identifiers
FROM incident
WHERE
    ($1::bigint IS NULL OR incident_id < $1) AND ($2::text IS NULL OR state = $2)
    AND ($4::text IS NULL OR reference = $4)
ORDER BY incident_id DESC
LIMIT $3;

-- name: submit
UPDATE incident SET
    state = 'submitted', submitted_by = $2, submitted_at = $3, preview = $4, frozen = $5, identifiers = $6, devices = $7,
    acknowledged = $8, include_sold = $9
WHERE incident_id = $1;

-- name: count_lifted
UPDATE incident SET lifted_identifiers = lifted_identifiers + $2, lifted_devices = lifted_devices + $3
WHERE incident_id = $1
RETURNING identifiers - lifted_identifiers AS active;

-- name: sites
-- Of the devices that an incident claims.
SELECT coalesce(array_agg(site ORDER BY site), '{}') FROM incident_site WHERE incident_id = $1;

-- name: begin_round
-- $1 incident, $2 what is demanded, $3 until when approvals count: those of the rounds before count no more; $4 whom it
-- takes, in words.
UPDATE incident SET
    round = round + 1, demand = $2, approve_until = $3, lacking = $4, assents = '{}', reminders = 0
WHERE incident_id = $1;

-- name: assented
-- $1 incident, $2 who has approved, $3 what is demanded by now, $4 whom it still takes.
UPDATE incident SET assents = $2, demand = $3, lacking = $4 WHERE incident_id = $1;

-- name: break_glass
-- $1 incident, $2 who, $3 until when it is to be reviewed.
UPDATE incident SET glass_broken_by = $2, review_until = $3, reminders = 0 WHERE incident_id = $1;

-- name: unreviewed
-- $1 who has broken the glass before, and nobody has reviewed it.
SELECT incident_id FROM incident
WHERE split_part(glass_broken_by, ' ', 1) = $1 AND reviewed_at IS NULL
ORDER BY incident_id
LIMIT 1;

-- name: review
UPDATE incident SET verdict = $2, reviewed_by = $3, reviewed_at = $4 WHERE incident_id = $1;

-- name: remind
-- $1 now. Submitted ones of whose time three quarters are over, or all of it; and emergencies that nobody reviewed in
-- time. Each is told of once.
WITH late AS (
    SELECT
        incident_id,
        CASE WHEN state = 'submitted' AND $1 <= approve_until THEN 1 ELSE 2 END::smallint AS stage
    FROM incident
    WHERE
        state = 'submitted' AND $1 > approve_until - (approve_until - submitted_at) / 4
        OR glass_broken_by IS NOT NULL AND reviewed_at IS NULL AND $1 > review_until
    FOR UPDATE SKIP LOCKED
)
UPDATE incident AS i SET reminders = late.stage
FROM late
WHERE i.incident_id = late.incident_id AND i.reminders < late.stage
RETURNING
    i.incident_id, i.title, i.state, i.submitted_by, i.approve_until, i.glass_broken_by, i.review_until, late.stage;

-- name: approve
UPDATE incident SET state = 'approved', approved_by = $2, approved_at = $3 WHERE incident_id = $1;

-- name: finish
UPDATE incident SET state = $2, ended_by = $3, ended_at = $4, reason = $5 WHERE incident_id = $1;

-- name: open_scope
-- The identifiers that a scope names, for the rest of this transaction.
CREATE TEMPORARY TABLE IF NOT EXISTS scoped (key bigint PRIMARY KEY, device_id bigint, pallet text) ON COMMIT DROP;

-- name: clear_scope
TRUNCATE scoped;

-- name: fill_scope
-- $1 devices on the named pallets and $2 which, $3 receipts, $4 IMEI keys, $5 devices of named serials. A device
-- that is named in any way comes with all of its identifiers.
WITH stood AS (
    SELECT * FROM unnest($1::bigint [], $2::text []) AS stood (device_id, pallet)
),
named AS (
    SELECT device_id FROM stood
    UNION
    SELECT device_id FROM device WHERE receipt_id = ANY ($3::bigint [])
    UNION
    SELECT unnest(device_ids) FROM receipt_repeat WHERE receipt_id = ANY ($3::bigint [])
    UNION
    SELECT device_id FROM device_imei WHERE key = ANY ($4::bigint [])
    UNION
    SELECT unnest($5::bigint [])
)
INSERT INTO scoped (key, device_id, pallet)
SELECT key, d.device_id, coalesce(stood.pallet, d.pallet)
FROM named
JOIN device AS d USING (device_id)
LEFT JOIN stood USING (device_id)
CROSS JOIN unnest(d.keys) AS key
ON CONFLICT DO NOTHING;

-- name: hold_scoped
-- The devices of the scope get no further IMEIs before this transaction ends.
SELECT count(*)
FROM (
    SELECT d.device_id
    FROM device AS d
    WHERE d.device_id IN (SELECT s.device_id FROM scoped AS s)
    ORDER BY d.device_id
    FOR KEY SHARE
) AS held;

-- name: outgrown
-- Whether one of them had got some by the time it was held.
SELECT EXISTS (
    SELECT FROM device AS d
    CROSS JOIN unnest(d.keys) AS k (key)
    WHERE
        d.device_id IN (SELECT s.device_id FROM scoped AS s)
        AND NOT EXISTS (SELECT FROM scoped AS s WHERE s.key = k.key)
);

-- name: fill_unknown_imeis
INSERT INTO scoped (key)
SELECT key FROM unnest($1::bigint []) AS key
ON CONFLICT DO NOTHING
RETURNING key;

-- name: unknown_imeis
SELECT key FROM unnest($1::bigint []) AS key
WHERE NOT EXISTS (SELECT FROM scoped AS s WHERE s.key = key.key);

-- name: unknown_receipts
SELECT DISTINCT receipt_id FROM unnest($1::bigint []) AS asked (receipt_id)
WHERE NOT EXISTS (SELECT FROM receipt AS r WHERE r.receipt_id = asked.receipt_id)
ORDER BY receipt_id;

-- name: fill_serials
-- $1 serials, $2 GTINs, in step: their own numbers, which those have that were declared.
INSERT INTO scoped (key)
SELECT -n.serial_id
FROM unnest($1::text [], $2::text []) AS asked (serial, gtin)
JOIN serial_number AS n USING (serial, gtin)
ON CONFLICT DO NOTHING;

-- name: scope_keys
SELECT coalesce(array_agg(key ORDER BY key), '{}') FROM scoped;

-- name: preview_totals
SELECT
    count(DISTINCT s.device_id) AS devices,
    count(*) FILTER (WHERE s.key >= 0) AS imeis,
    count(*) FILTER (WHERE s.key < 0) AS serials
FROM scoped AS s;

-- name: preview_pallets
SELECT s.pallet, count(DISTINCT s.device_id)::integer AS devices, count(*)::integer AS identifiers
FROM scoped AS s
WHERE s.device_id IS NOT NULL
GROUP BY s.pallet
ORDER BY devices DESC, s.pallet
LIMIT 1000;

-- name: forget_tacs
DROP TABLE IF EXISTS scoped_tac;

-- name: look_up_tacs
-- What is known of each device, for the rest of this transaction: by its first IMEI whose TAC says something.
CREATE TEMPORARY TABLE scoped_tac ON COMMIT DROP AS
SELECT DISTINCT ON (s.device_id) s.device_id, t.brand, t.brand_folded, t.model
FROM scoped AS s
JOIN tac AS t ON t.tac = s.key / 1000000
WHERE s.key >= 0 AND s.device_id IS NOT NULL
ORDER BY s.device_id, t.brand = '', s.key;

-- name: preview_brands
-- Spellings of one brand are one, shown as most devices have it.
SELECT
    coalesce(mode() WITHIN GROUP (ORDER BY t.brand), '') AS brand,
    count(*)::integer AS devices,
    sum(cardinality(d.keys))::integer AS identifiers
FROM (SELECT DISTINCT device_id FROM scoped) AS s
JOIN device AS d USING (device_id)
LEFT JOIN scoped_tac AS t USING (device_id)
GROUP BY coalesce(t.brand_folded, '')
ORDER BY devices DESC, 1
LIMIT 1000;

-- name: preview_models
SELECT
    coalesce(mode() WITHIN GROUP (ORDER BY t.brand), '') AS brand,
    CASE
        WHEN d.model <> '' THEN d.model
        WHEN t.model <> '' THEN t.model
        WHEN d.keys[1] >= 0 THEN 'TAC ' || lpad((d.keys[1] / 1000000)::text, 8, '0')
        ELSE 'GTIN ' || d.gtin
    END AS model,
    count(*)::integer AS devices
FROM (SELECT DISTINCT device_id FROM scoped) AS s
JOIN device AS d USING (device_id)
LEFT JOIN scoped_tac AS t USING (device_id)
GROUP BY coalesce(t.brand_folded, ''), 2
ORDER BY devices DESC, 2, 1
LIMIT 1000;

-- name: preview_value
SELECT
    d.currency,
    coalesce(sum(d.unit_value), 0) AS amount,
    count(d.unit_value)::integer AS devices,
    count(*)::integer - count(d.unit_value)::integer AS unvalued
FROM (SELECT DISTINCT device_id FROM scoped) AS s
JOIN device AS d USING (device_id)
GROUP BY d.currency
ORDER BY amount DESC, d.currency;

-- name: preview_claimed
-- $1 this incident (null for a draft that is being made): who else holds what the scope names.
SELECT i.incident_id, i.title, i.state, count(*)::integer AS identifiers
FROM scoped AS s
JOIN claim AS c ON c.key = s.key AND c.state IN (0, 1)
JOIN incident AS i USING (incident_id)
WHERE i.incident_id IS DISTINCT FROM $1
GROUP BY i.incident_id
ORDER BY i.incident_id;

-- name: claim_scope
INSERT INTO claim (incident_id, key, device_id, state)
SELECT $1, key, device_id, 0 FROM scoped ORDER BY key;

-- name: unclaim
-- What an incident suspects, before it is submitted anew.
DELETE FROM claim WHERE incident_id = $1 AND state = 0 RETURNING key;

-- name: turn_claims
-- $1 incident, $2 from state, $3 to state, $4 now: all of the incident's claims. Their keys, and on how many registered
-- devices they are.
WITH turned AS (
    UPDATE claim SET state = $3, lifted_at = CASE WHEN $3::smallint = 2 THEN $4::timestamptz END
    WHERE incident_id = $1 AND state = $2
    RETURNING key, device_id
)
SELECT coalesce(array_agg(key ORDER BY key), '{}') AS keys, count(DISTINCT device_id) AS devices FROM turned;

-- name: lifted_unregistered
-- $1 incident, $2 now: how many identifiers of no registered device it has let go of just now.
SELECT count(*)::integer FROM claim WHERE incident_id = $1 AND device_id IS NULL AND state = 2 AND lifted_at = $2;

-- name: lift_scope
-- $1 incident, $2 now: lifts its active claims on what the scope names. As above.
WITH lifted AS (
    UPDATE claim AS c SET state = 2, lifted_at = $2 FROM scoped AS s
    WHERE c.incident_id = $1 AND c.key = s.key AND c.state = 1
    RETURNING c.key, c.device_id
)
SELECT coalesce(array_agg(key ORDER BY key), '{}') AS keys, count(DISTINCT device_id) AS devices FROM lifted;

-- name: not_claimed
-- $1 incident: what the scope names and the incident does not actively hold.
SELECT s.key, n.serial
FROM scoped AS s
LEFT JOIN claim AS c ON c.incident_id = $1 AND c.key = s.key
LEFT JOIN serial_number AS n ON s.key < 0 AND n.serial_id = -s.key
WHERE c.key IS NULL OR c.state <> 1
ORDER BY s.key;
