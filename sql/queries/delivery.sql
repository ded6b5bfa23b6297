-- name: add_command
INSERT INTO command (op, incident_id, receipt_id, identifiers, ordered_at, ordered_by, again)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING command_id;

-- name: enqueue
-- $1 command, $2 op, $3 keys, $4 versions, $5 only these partners (null: any), $6 whether it was told before.
-- Identifiers are grouped by who is to be told, so a chunk has one audience (a circle: sorting a million rows by
-- the circle's number takes a sixth of what sorting them by its partners takes); the audience of a TAC or GTIN is worked
-- out once for all identifiers that share it. A TAC is of the brand that is known now; a release goes to those of its
-- former brands too, who were told to block, and to whom incidents of this kind and country are not told: it may end
-- a block that another incident began, and who was not told of that is told nothing.
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
    SELECT class.tac, class.gtin, array_agg(p.partner_id ORDER BY p.partner_id) AS partners,
        dense_rank() OVER (ORDER BY array_agg(p.partner_id ORDER BY p.partner_id)) AS circle
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
    LEFT JOIN command AS c ON c.command_id = $1
    LEFT JOIN incident AS i ON i.incident_id = c.incident_id
    WHERE
        p.removed_at IS NULL AND ($5::integer [] IS NULL OR p.partner_id = ANY ($5))
        AND CASE $2
            WHEN 'enrol' THEN p.enrols
            WHEN 'block' THEN
                (p.incidents IS NULL OR i.kind = ANY (p.incidents))
                AND (p.countries IS NULL OR i.country = '' OR i.country = ANY (p.countries))
            ELSE true
        END
    GROUP BY class.tac, class.gtin
),
gathered AS (
    SELECT
        abs(item.key) % 16 AS lane,
        audience.circle,
        array_agg(item.key ORDER BY item.key) AS keys,
        array_agg(item.version ORDER BY item.key) AS versions
    FROM item
    JOIN audience ON audience.tac = item.tac AND audience.gtin = item.gtin
    GROUP BY abs(item.key) % 16, audience.circle
),
chunks AS (
    INSERT INTO chunk (command_id, lane, partners, keys, versions)
    SELECT
        $1,
        lane,
        (SELECT partners FROM audience WHERE audience.circle = gathered.circle LIMIT 1),
        keys[first:first + 499],
        versions[first:first + 499]
    FROM gathered, generate_series(1, cardinality(keys), 500) AS first
    RETURNING chunk_id, lane, partners, cardinality(keys) AS size
),
counted AS (
    INSERT INTO progress (command_id, partner_id, wanted)
    SELECT $1, partner_id, sum(size) FROM chunks, unnest(partners) AS partner_id GROUP BY partner_id
),
deliveries AS (
    INSERT INTO delivery (partner_id, lane, chunk_id, command_id, next_at, doubtful)
    SELECT partner_id, lane, chunk_id, $1, now(), $6 FROM chunks, unnest(partners) AS partner_id
    RETURNING partner_id, lane
)
SELECT partner_id, lane, count(*)::integer AS chunks FROM deliveries GROUP BY partner_id, lane;

-- name: all_due
-- Every delivery of this partner is due now, and is tried for as long as a new one.
UPDATE delivery SET next_at = least(next_at, now()), waits_since = now() WHERE partner_id = $1 AND state = 0;

-- name: doubt
-- $1 partner, $2 lane: calls may have been made that nobody settled.
UPDATE delivery SET doubtful = true, tried_at = now() WHERE partner_id = $1 AND lane = $2 AND state = 0;

-- name: ordered
-- $1 commands: how many identifiers they tell, over all partners.
SELECT coalesce(sum(wanted), 0)::integer FROM progress WHERE command_id = ANY ($1::bigint []);

-- name: close_open
-- $1 partner: whatever it was still to be told, or to confirm, is not waited for any more.
WITH closed AS (
    UPDATE delivery SET state = 1, open_at = '{}' WHERE partner_id = $1 AND state = 0
)
UPDATE progress SET superseded = wanted - done - already - refused - parked - not_ours, accepted = 0
WHERE partner_id = $1 AND wanted > done + already + refused + superseded + parked + not_ours;

-- name: next_deliveries
-- $1 partner, $2 lane, $3 token, $4 seconds after which one is late, $5 how many at most. What concerns a theft comes
-- before enrolment, new work before what is being tried again, and the decision of which the partner has heard least
-- before the others, so that a small theft waits for no large one; nothing for a partner that was paused or asked for rest
-- meanwhile. The first stands alone, unless nothing that is left of it has been tried: then others of its command come with
-- it of which the same is true. (A command names each identifier once, so they say nothing of each other.) They are found
-- first, so that the planner, which is asked each time, never has more than four tables to join. A
-- place whose version is no longer the listing's is superseded: something newer was decided, and that is what the
-- partner will be told. A decision holds its identifiers' listings before it draws its command's number, so of one
-- identifier the later decision has the later command, and where none came after, none is looked for; but what is told
-- again holds nothing, and may have been read before a decision whose number is lower.
WITH due AS MATERIALIZED (
    SELECT
        d.chunk_id,
        d.tries,
        d.open_at,
        d.untried,
        d.doubtful,
        d.halved,
        coalesce(d.tried_at, d.waits_since) AS tried,
        d.waits_since < now() - $4::double precision * interval '1 second' AS late,
        d.command_id,
        c.op,
        c.again,
        c.incident_id,
        row_number() OVER turn AS turn,
        first_value(d.command_id) OVER turn AS first_command,
        first_value(d.tries = 0 AND NOT d.doubtful) OVER turn AND d.tries = 0 AND NOT d.doubtful AS untouched
    FROM delivery AS d
    JOIN command AS c USING (command_id)
    JOIN progress AS heard USING (command_id, partner_id)
    WHERE
        d.partner_id = $1 AND d.lane = $2 AND d.state = 0 AND d.next_at <= now()
        AND EXISTS (
            SELECT FROM partner_lane AS l
            WHERE l.partner_id = $1 AND l.lane = $2 AND l.lease_token = $3 AND l.lease_until > now()
        )
        AND NOT (SELECT p.paused FROM partner AS p WHERE p.partner_id = $1)
        AND (SELECT pace.resume_at <= now() FROM partner_pace AS pace WHERE pace.partner_id = $1)
    WINDOW turn AS (
        ORDER BY
            c.op = 'enrol',
            d.tries > 0,
            heard.done + heard.already + heard.accepted + heard.refused + heard.parked + heard.superseded + heard.not_ours,
            d.chunk_id
    )
    ORDER BY turn
    LIMIT $5
)
SELECT
    due.*,
    (SELECT pace.failures > 0 OR pace.last_fault <> '' FROM partner_pace AS pace WHERE pace.partner_id = $1) AS ailing,
    coalesce(p.reasons ->> i.kind, i.kind) AS reason,
    i.occurred_from AS since,
    ch.keys,
    ch.versions,
    CASE
        WHEN due.op <> 'enrol' AND (
            due.again
            OR EXISTS (SELECT FROM command AS later WHERE later.command_id > due.command_id AND later.op <> 'enrol')
        )
            THEN ARRAY(
                SELECT told.place::integer
                FROM unnest(ch.keys, ch.versions) WITH ORDINALITY AS told (key, version, place)
                LEFT JOIN listing AS l USING (key)
                WHERE
                    (due.open_at IS NULL OR told.place = ANY (due.open_at))
                    AND l.version IS DISTINCT FROM told.version
            )
        ELSE '{}'
    END AS superseded
FROM due
JOIN chunk AS ch USING (chunk_id)
JOIN partner AS p ON p.partner_id = $1
LEFT JOIN incident AS i USING (incident_id)
WHERE due.turn = 1 OR due.untouched AND due.command_id = due.first_command
ORDER BY due.turn;

-- name: serials
-- $1 keys
SELECT -serial_id AS key, serial, gtin FROM serial_number
WHERE serial_id IN (SELECT -key FROM unnest($1::bigint []) AS key WHERE key < 0);

-- name: settle_delivery
-- $1 partner, $2 lane, $3 chunk, $4 open places, $5 tries to add, $6 seconds until the next try, $7 how many
-- of the open places have not had their turn (null: a new round begins with all of them), $8 places that were dropped
-- untold, $9 how often it is halved, $10 now
UPDATE delivery SET
    state = CASE WHEN cardinality($4::smallint []) = 0 THEN 1 ELSE 0 END,
    open_at = $4,
    untried = $7,
    untold = untold || $8::smallint [],
    halved = $9,
    tried_at = $10,
    tries = tries + $5,
    next_at = now() + $6::double precision * interval '1 second'
WHERE partner_id = $1 AND lane = $2 AND chunk_id = $3 AND state = 0
RETURNING chunk_id, state;

-- name: supersede_progress
-- $1 command, $2 partner, $3 accepted, $4 refused and $5 given up that gave way to what was told since, $6 now
UPDATE progress SET
    accepted = accepted - $3,
    refused = refused - $4,
    parked = parked - $5,
    superseded = superseded + ($3 + $4 + $5),
    last_at = $6
WHERE command_id = $1 AND partner_id = $2;

-- name: heal_progress
-- $1 command, $2 partner, $3 refused and $4 given up that were taken after all, $5 now
UPDATE progress SET refused = refused - $3, parked = parked - $4, done = done + ($3 + $4), last_at = $5
WHERE command_id = $1 AND partner_id = $2;

-- name: settle_progress
UPDATE progress SET
    done = done + $3,
    already = already + $4,
    accepted = accepted + $5,
    refused = refused + $6,
    superseded = superseded + $7,
    parked = parked + $12,
    not_ours = not_ours + $13,
    calls = calls + $8,
    failed_calls = failed_calls + $9,
    last_fault = CASE WHEN $10 = '' THEN last_fault ELSE $10 END,
    first_at = CASE WHEN $8 > 0 THEN coalesce(first_at, $11) ELSE first_at END,
    last_at = $11
WHERE command_id = $1 AND partner_id = $2;

-- name: confirm_progress
UPDATE progress SET
    accepted = accepted - ($3::integer + $4::integer), done = done + $3, refused = refused + $4, last_at = $5
WHERE command_id = $1 AND partner_id = $2;

-- name: told_before
-- $1 partner, $2 lane, then arrays: keys, versions. The last that this partner was told of each before that version, by
-- an order that it did not refuse: what, whether somebody else had blocked it before, and its own reference. A block that
-- it refused when it was told again may have been taken before. A block
-- counts as soon as it may have heard of it, a release only once it is known to have. (One that has not had its turn may
-- have to wait until after a later one's.) The claims on an identifier tell which commands may have named it.
WITH asked AS MATERIALIZED (
    SELECT key, version FROM unnest($3::bigint [], $4::bigint []) AS a (key, version)
),
span AS (
    SELECT min(key) AS first_key, max(key) AS last_key FROM asked
),
held AS MATERIALIZED (
    SELECT DISTINCT claim.incident_id FROM asked JOIN claim USING (key)
),
near AS MATERIALIZED (
    SELECT
        c.command_id,
        c.op,
        ch.keys,
        ch.versions,
        d.untold,
        CASE WHEN d.state = 0 THEN d.open_at ELSE '{}' END AS open_at,
        CASE WHEN d.tries = 0 AND NOT d.doubtful THEN coalesce(d.untried, 0) ELSE 0 END AS fresh,
        d.state = 0 AND d.open_at IS NULL AND NOT d.doubtful AS untouched
    FROM held
    JOIN command AS c USING (incident_id)
    JOIN chunk AS ch ON ch.command_id = c.command_id AND ch.lane = $2
    JOIN delivery AS d ON d.partner_id = $1 AND d.lane = $2 AND d.chunk_id = ch.chunk_id
    CROSS JOIN span
    WHERE ch.keys[1] <= span.last_key AND ch.keys[cardinality(ch.keys)] >= span.first_key
)
SELECT DISTINCT ON (said.key)
    said.key,
    near.op,
    coalesce(i.state = 'foreign', false) AS is_foreign,
    coalesce(i.ref, '') AS ref
FROM near
CROSS JOIN unnest(near.keys, near.versions) WITH ORDINALITY AS said (key, version, place)
JOIN asked ON asked.key = said.key AND said.version < asked.version
LEFT JOIN delivery_item AS i
    ON i.partner_id = $1 AND i.key = said.key AND i.version = said.version AND i.op = near.op
WHERE
    said.place <> ALL (near.untold) AND (coalesce(i.state, '') <> 'refused' OR near.op = 'block' AND i.heard)
    AND NOT near.untouched AND coalesce(said.place <> ALL (near.open_at[:near.fresh]), true)
    AND (
        near.op = 'block'
        OR coalesce(said.place <> ALL (near.open_at), false)
        AND coalesce(i.state, '') NOT IN ('accepted', 'superseded', 'parked')
    )
ORDER BY said.key, said.version DESC, near.command_id DESC;
