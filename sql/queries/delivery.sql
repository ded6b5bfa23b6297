-- name: add_partner
WITH added AS (
    INSERT INTO partner (
        name, adapter, settings, enrols, kinds, tacs, gtins, brands, max_inflight, rate, burst, created_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    RETURNING partner_id
),
pace AS (
    INSERT INTO partner_pace (partner_id, tokens, tokens_at, resume_at)
    SELECT partner_id, $11, now(), now() FROM added
),
lanes AS (
    INSERT INTO partner_lane (partner_id, lane, next_at)
    SELECT partner_id, lane, now() FROM added, generate_series(0, 15) AS lane
)
SELECT partner_id FROM added;

-- name: change_partner
UPDATE partner SET
    settings = $2, tacs = $3, gtins = $4, brands = $5, max_inflight = $6, rate = $7, burst = $8
WHERE partner_id = $1;

-- name: wake_partner
-- With other limits it need not rest as long as the old ones asked; one whose breaker is open ($2) rests on.
UPDATE partner_pace SET resume_at = now() WHERE partner_id = $1 AND resume_at > now() AND failures < $2;

-- name: partners
SELECT
    p.*,
    pace.failures,
    pace.last_fault,
    pace.resume_at > now() AS resting
FROM partner AS p
JOIN partner_pace AS pace USING (partner_id)
WHERE $1::bigint IS NULL OR p.partner_id = $1
ORDER BY p.partner_id;

-- name: hold_partner
SELECT partner_id FROM partner WHERE partner_id = $1::bigint FOR UPDATE;

-- name: partner_named
SELECT partner_id FROM partner WHERE name = $1 OR partner_id::text = $1;

-- name: set_paused
UPDATE partner SET paused = $2, pause_reason = $3 WHERE partner_id = $1 AND paused <> $2
RETURNING partner_id;

-- name: forgive
UPDATE partner_pace SET failures = 0, resume_at = now(), last_fault = '' WHERE partner_id = $1;

-- name: hold_lanes
SELECT lane FROM partner_lane WHERE partner_id = $1 ORDER BY lane FOR UPDATE;

-- name: all_due
-- Everything that waits for its next try is due now.
WITH due AS (
    UPDATE delivery SET next_at = now() WHERE partner_id = $1 AND state = 0 AND next_at > now()
)
UPDATE partner_lane SET next_at = now() WHERE partner_id = $1 AND next_at > now();

-- name: has_enrolling
SELECT EXISTS (SELECT FROM partner WHERE enrols);

-- name: add_command
INSERT INTO command (op, incident_id, receipt_id, identifiers, ordered_at, ordered_by)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING command_id;

-- name: enqueue
-- $1 command, $2 op, $3 keys, $4 versions. Identifiers are grouped by who is to be told, so a chunk has
-- one audience; the audience of a TAC or GTIN is worked out once for all identifiers that share it. A TAC is
-- of the brand that is known now; a release goes to those of its former brands too, who were told to block.
WITH item AS MATERIALIZED (
    SELECT
        i.key,
        i.version,
        CASE WHEN i.key >= 0 THEN (i.key / 1000000)::integer ELSE -1 END AS tac,
        coalesce(s.gtin, '') AS gtin
    FROM unnest($3::bigint [], $4::bigint []) AS i (key, version)
    LEFT JOIN serial_number AS s ON i.key < 0 AND s.serial_id = -i.key
),
audience AS MATERIALIZED (
    SELECT class.tac, class.gtin, array_agg(p.partner_id ORDER BY p.partner_id) AS partners
    FROM (SELECT DISTINCT tac, gtin FROM item) AS class
    LEFT JOIN tac AS t ON t.tac = class.tac
    JOIN partner AS p ON CASE
        WHEN num_nonnulls(p.tacs, p.gtins, p.brands) = 0
            THEN CASE WHEN class.tac >= 0 THEN 'imei' ELSE 'serial' END = ANY (p.kinds)
        WHEN class.tac >= 0
            THEN 'imei' = ANY (p.kinds) AND (
                class.tac = ANY (p.tacs) OR t.brand_folded = ANY (p.brands)
                OR $2 = 'release' AND t.former_brands && p.brands
            )
        ELSE 'serial' = ANY (p.kinds) AND class.gtin = ANY (p.gtins)
    END
    WHERE $2 <> 'enrol' OR p.enrols
    GROUP BY class.tac, class.gtin
),
placed AS (
    SELECT
        item.key,
        item.version,
        audience.partners,
        abs(item.key) % 16 AS lane,
        (row_number() OVER (PARTITION BY abs(item.key) % 16, audience.partners ORDER BY item.key) - 1)
        / 500 AS part
    FROM item
    JOIN audience ON audience.tac = item.tac AND audience.gtin = item.gtin
),
chunks AS (
    INSERT INTO chunk (command_id, lane, partners, keys, versions)
    SELECT $1, lane, partners, array_agg(key ORDER BY key), array_agg(version ORDER BY key)
    FROM placed
    GROUP BY lane, partners, part
    RETURNING chunk_id, lane, partners, cardinality(keys) AS size
),
counted AS (
    INSERT INTO progress (command_id, partner_id, wanted)
    SELECT $1, partner_id, sum(size) FROM chunks, unnest(partners) AS partner_id GROUP BY partner_id
),
deliveries AS (
    INSERT INTO delivery (partner_id, lane, chunk_id, command_id, next_at)
    SELECT partner_id, lane, chunk_id, $1, now() FROM chunks, unnest(partners) AS partner_id
    RETURNING partner_id, lane
)
SELECT partner_id, lane, count(*)::integer AS chunks FROM deliveries GROUP BY partner_id, lane;

-- name: wake
-- $1 partners, $2 lanes, $3 chunks added. Locked in key order, so two decisions never deadlock here.
WITH added AS (
    SELECT * FROM unnest($1::integer [], $2::smallint [], $3::integer []) AS a (partner_id, lane, chunks)
),
held AS MATERIALIZED (
    SELECT l.partner_id, l.lane, added.chunks
    FROM partner_lane AS l
    JOIN added USING (partner_id, lane)
    ORDER BY l.partner_id, l.lane
    FOR UPDATE OF l
)
UPDATE partner_lane AS l SET pending = l.pending + held.chunks, next_at = least(l.next_at, now())
FROM held
WHERE l.partner_id = held.partner_id AND l.lane = held.lane;

-- name: claim
-- $1 free slots, $2 seconds of lease. One lane of every partner comes before anyone's second; a partner
-- that keeps failing gets one lane, its probe. MATERIALIZED keeps LIMIT from being evaluated twice.
WITH busy AS (
    SELECT partner_id, count(*) AS lanes FROM partner_lane WHERE lease_until >= now() GROUP BY partner_id
),
candidate AS (
    SELECT
        l.partner_id,
        l.lane,
        pace.failures >= $3 AS probing,
        CASE WHEN pace.failures >= $3 THEN 1 ELSE p.max_inflight END AS cap,
        row_number() OVER (PARTITION BY l.partner_id ORDER BY l.served_at) + coalesce(busy.lanes, 0) AS turn
    FROM partner_lane AS l
    JOIN partner AS p USING (partner_id)
    JOIN partner_pace AS pace USING (partner_id)
    LEFT JOIN busy USING (partner_id)
    WHERE
        l.pending > 0 AND l.next_at <= now() AND l.lease_until < now()
        AND NOT p.paused AND pace.resume_at <= now()
),
picked AS MATERIALIZED (
    SELECT l.partner_id, l.lane, candidate.probing
    FROM partner_lane AS l
    JOIN candidate USING (partner_id, lane)
    WHERE
        candidate.turn <= candidate.cap
        AND l.pending > 0 AND l.next_at <= now() AND l.lease_until < now()
    ORDER BY candidate.turn, l.served_at
    LIMIT $1
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE partner_lane AS l SET
    lease_until = now() + $2::double precision * interval '1 second',
    lease_token = l.lease_token + 1,
    served_at = now()
FROM picked
WHERE l.partner_id = picked.partner_id AND l.lane = picked.lane
RETURNING l.partner_id, l.lane, l.lease_token AS token, picked.probing;

-- name: next_delivery
-- $1 partner, $2 lane, $3 token. What concerns a theft comes before enrolment, new work before what is
-- being tried again; nothing for a partner that was paused or asked for rest meanwhile.
SELECT
    d.chunk_id,
    d.tries,
    d.open_at,
    d.untried,
    d.command_id,
    c.op,
    i.incident_id,
    i.kind AS reason,
    i.occurred_from AS since
FROM partner_lane AS l
JOIN delivery AS d USING (partner_id, lane)
JOIN command AS c USING (command_id)
LEFT JOIN incident AS i USING (incident_id)
JOIN partner AS p USING (partner_id)
JOIN partner_pace AS pace USING (partner_id)
WHERE
    l.partner_id = $1 AND l.lane = $2 AND l.lease_token = $3 AND l.lease_until > now()
    AND d.state = 0 AND d.next_at <= now()
    AND NOT p.paused AND pace.resume_at <= now()
ORDER BY c.op = 'enrol', d.tries > 0, d.chunk_id
LIMIT 1;

-- name: orders
-- $1 chunk, $2 open places (null: all), $3 op. An order whose version is no longer the listing's is
-- superseded: something newer was decided, and that is what the partner will be told.
SELECT
    i.place::smallint AS place,
    i.key,
    i.version,
    s.serial,
    s.gtin,
    ($3 <> 'enrol' AND l.version IS DISTINCT FROM i.version) AS superseded
FROM chunk AS c
CROSS JOIN unnest(c.keys, c.versions) WITH ORDINALITY AS i (key, version, place)
LEFT JOIN unnest($2::smallint []) WITH ORDINALITY AS o (place, turn) ON o.place = i.place
LEFT JOIN listing AS l ON l.key = i.key
LEFT JOIN serial_number AS s ON i.key < 0 AND s.serial_id = -i.key
WHERE c.chunk_id = $1 AND ($2 IS NULL OR o.place IS NOT NULL)
ORDER BY o.turn, i.place;

-- name: take_tokens
-- $1 partner, $2 calls wanted. The bucket is filled for the time that has passed, then as much is taken
-- as there is; with nothing in it the partner rests until one call's worth has come in. A statement that
-- waited for the row has an older now() than the row: time is never counted twice.
WITH filled AS (
    SELECT
        pace.partner_id,
        p.rate,
        least(p.burst, pace.tokens + p.rate * greatest(0, extract(EPOCH FROM now() - pace.tokens_at))) AS tokens
    FROM partner_pace AS pace
    JOIN partner AS p USING (partner_id)
    WHERE pace.partner_id = $1
    FOR UPDATE OF pace
)
UPDATE partner_pace AS pace SET
    tokens = filled.tokens - least(floor(filled.tokens), $2::integer),
    tokens_at = greatest(pace.tokens_at, now()),
    resume_at = CASE
        WHEN filled.tokens < 1
            THEN greatest(pace.resume_at, now() + (1 - filled.tokens) / filled.rate * interval '1 second')
        ELSE pace.resume_at
    END
FROM filled
WHERE pace.partner_id = filled.partner_id
RETURNING least(floor(filled.tokens), $2::integer)::integer AS granted;

-- name: hold
-- The fence: no row means that the lease has passed to somebody else, and nothing may be written.
SELECT true FROM partner_lane WHERE partner_id = $1 AND lane = $2 AND lease_token = $3 FOR UPDATE;

-- name: settle_delivery
-- $1 partner, $2 lane, $3 chunk, $4 open places, $5 tries to add, $6 seconds until the next try, $7 how many
-- of the open places have not had their turn (null: a new round begins with all of them)
UPDATE delivery SET
    state = CASE WHEN cardinality($4::smallint []) = 0 THEN 1 ELSE 0 END,
    open_at = $4,
    untried = $7,
    tries = tries + $5,
    next_at = now() + $6::double precision * interval '1 second'
WHERE partner_id = $1 AND lane = $2 AND chunk_id = $3 AND state = 0
RETURNING state;

-- name: settle_lane
-- $1 partner, $2 lane, $3 deliveries closed, $4 seconds of lease to keep (0: hand it back). A statement of
-- its own, so that its snapshot is younger than the lock and sees every delivery that has been added.
UPDATE partner_lane AS l SET
    pending = l.pending - $3,
    lease_until = CASE WHEN $4 > 0 THEN now() + $4 * interval '1 second' ELSE '-infinity' END,
    next_at = coalesce(
        (
            SELECT min(d.next_at) FROM delivery AS d
            WHERE d.partner_id = $1 AND d.lane = $2 AND d.state = 0
        ),
        l.next_at
    )
WHERE l.partner_id = $1 AND l.lane = $2;

-- name: settle_items
-- $1 partner, $2 op, $3 command, $4 now, then arrays: keys, versions, states, codes, words, refs. A
-- confirmation may have come before its own order was settled: it stands, and is given back.
INSERT INTO delivery_item AS i (
    partner_id, op, command_id, changed_at, key, version, state, code, words, ref
)
SELECT $1, $2, $3, $4, a.key, a.version, a.state, a.code, a.words, a.ref
FROM unnest(
    $5::bigint [], $6::bigint [], $7::text [], $8::text [], $9::text [], $10::text []
) AS a (key, version, state, code, words, ref)
ORDER BY a.key
ON CONFLICT (partner_id, key, version, op) DO UPDATE SET
    command_id = excluded.command_id,
    state = CASE WHEN i.state = 'accepted' THEN excluded.state ELSE i.state END,
    code = CASE WHEN i.state = 'accepted' THEN excluded.code ELSE i.code END,
    words = CASE WHEN i.state = 'accepted' THEN excluded.words ELSE i.words END,
    ref = CASE WHEN i.state = 'accepted' THEN excluded.ref ELSE i.ref END,
    changed_at = excluded.changed_at
RETURNING key, state;

-- name: supersede_accepted
-- $1 partner, then arrays: keys, versions that are settled now. What the partner had accepted of older
-- decisions is not waited for any longer.
UPDATE delivery_item AS i SET state = 'superseded', changed_at = now()
FROM unnest($2::bigint [], $3::bigint []) AS a (key, version)
WHERE i.partner_id = $1 AND i.key = a.key AND i.version < a.version AND i.state = 'accepted' AND i.op <> 'enrol'
RETURNING i.command_id;

-- name: supersede_progress
UPDATE progress SET accepted = accepted - $3, superseded = superseded + $3, last_at = $4
WHERE command_id = $1 AND partner_id = $2;

-- name: settle_progress
UPDATE progress SET
    done = done + $3,
    already = already + $4,
    accepted = accepted + $5,
    refused = refused + $6,
    superseded = superseded + $7,
    calls = calls + $8,
    failed_calls = failed_calls + $9,
    last_fault = CASE WHEN $10 = '' THEN last_fault ELSE $10 END,
    first_at = CASE WHEN $8 > 0 THEN coalesce(first_at, $11) ELSE first_at END,
    last_at = $11
WHERE command_id = $1 AND partner_id = $2;

-- name: note_success
UPDATE partner_pace SET failures = 0, last_fault = ''
WHERE partner_id = $1 AND (failures > 0 OR last_fault <> '');

-- name: note_fault
-- $1 partner, $2 what, $3 failures to add, $4 seconds of rest, $5 failures from which the breaker opens,
-- $6 its longest rest. The rest doubles with each failed probe; calls that were still under way when the
-- breaker opened tell nothing new.
UPDATE partner_pace SET
    failures = CASE WHEN failures >= $5 AND resume_at > now() THEN failures ELSE failures + $3 END,
    last_fault = $2,
    resume_at = greatest(
        resume_at,
        now() + interval '1 second' * CASE
            WHEN failures + $3 >= $5 AND NOT (failures >= $5 AND resume_at > now())
                THEN greatest($4::double precision, least($6::double precision, 2 ^ least(failures + $3 - $5, 20)))
            ELSE $4::double precision
        END
    )
WHERE partner_id = $1;

-- name: open_lane
-- Hands a lane back without having settled anything.
UPDATE partner_lane SET lease_until = '-infinity'
WHERE partner_id = $1 AND lane = $2 AND lease_token = $3;

-- name: hold_lanes_of
-- The lanes of these keys: whoever settles an order of theirs has done so, or waits until the word is booked.
SELECT lane FROM partner_lane
WHERE partner_id = $1 AND lane IN (SELECT abs(key) % 16 FROM unnest($2::bigint []) AS key)
ORDER BY lane
FOR UPDATE;

-- name: confirm
-- $1 partner, $2 now, then arrays: keys, ops, states, codes, words, refs. Books onto what was accepted: of
-- one identifier a partner has one accepted order at most, for settling a newer one supersedes it.
UPDATE delivery_item AS i SET state = a.state, code = a.code, words = a.words, ref = a.ref, changed_at = $2
FROM unnest(
    $3::bigint [], $4::text [], $5::text [], $6::text [], $7::text [], $8::text []
) AS a (key, op, state, code, words, ref)
WHERE
    i.partner_id = $1 AND i.key = a.key AND i.op = a.op AND i.state = 'accepted'
    AND (a.ref = i.ref OR '' IN (a.ref, i.ref))
RETURNING i.key, i.op, i.command_id, i.state;

-- name: confirm_early
-- The same, for what comes before its order was settled: kept for the settling to find, but only while the
-- identifier's lane is being worked. Otherwise the word is a late one, about a decision that is past.
INSERT INTO delivery_item (
    partner_id, changed_at, key, version, op, command_id, state, code, words, ref
)
SELECT $1, $2, a.key, l.version, a.op, NULL, a.state, a.code, a.words, a.ref
FROM unnest(
    $3::bigint [], $4::text [], $5::text [], $6::text [], $7::text [], $8::text []
) AS a (key, op, state, code, words, ref)
JOIN listing AS l ON l.key = a.key AND (l.blocked_by > 0) = (a.op = 'block')
JOIN partner_lane AS lane
    ON lane.partner_id = $1 AND lane.lane = abs(a.key) % 16 AND lane.lease_until > now()
ORDER BY a.key
ON CONFLICT DO NOTHING
RETURNING key;

-- name: confirm_progress
UPDATE progress SET
    accepted = accepted - ($3::integer + $4::integer), done = done + $3, refused = refused + $4, last_at = $5
WHERE command_id = $1 AND partner_id = $2;

-- name: serial_keys
SELECT -serial_id AS key, serial FROM serial_number WHERE serial = ANY ($1::text []);
