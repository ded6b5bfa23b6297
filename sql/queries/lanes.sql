-- name: open_pace
-- $1 partner, $2 burst of calls
INSERT INTO partner_pace (partner_id, tokens, tokens_at, resume_at) VALUES ($1, $2, now(), now());

-- name: open_lanes
INSERT INTO partner_lane (partner_id, lane, next_at) SELECT $1, lane, now() FROM generate_series(0, 15) AS lane;

-- name: hold_lanes
SELECT lane FROM partner_lane WHERE partner_id = $1 ORDER BY lane FOR UPDATE;

-- name: claim_all
-- $1 partner, $2 seconds of lease. All of its lanes, where nobody works any of them and none was left in doubt: what
-- lapsed with nothing left to be told is in none. A statement of its own, after they are held, so that it sees who has
-- just let go of one.
UPDATE partner_lane SET
    lease_until = now() + $2::double precision * interval '1 second',
    lease_token = lease_token + 1,
    served_at = now()
WHERE
    partner_id = $1
    AND NOT EXISTS (
        SELECT FROM partner_lane AS l
        WHERE l.partner_id = $1 AND (l.lease_until > now() OR l.lease_until > '-infinity' AND l.pending > 0)
    )
RETURNING lane, lease_token AS token;

-- name: lanes_due
UPDATE partner_lane SET next_at = now() WHERE partner_id = $1 AND next_at > now();

-- name: wake_partner
-- With other limits it need not rest as long as the old ones asked; one whose breaker is open ($2) rests on.
UPDATE partner_pace SET resume_at = now() WHERE partner_id = $1 AND resume_at > now() AND failures < $2;

-- name: forgive
-- Whoever asks the partner now is not waited for, and books nothing any more.
UPDATE partner_pace SET
    failures = 0, resume_at = now(), last_fault = '', asking_until = '-infinity', asking_token = asking_token + 1
WHERE partner_id = $1;

-- name: wake
-- $1 partners, $2 lanes, $3 chunks added. Locked in key order, so two decisions never deadlock here. A lease that lapsed
-- when nothing was left to be told casts no doubt on what comes now.
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
UPDATE partner_lane AS l SET
    pending = l.pending + held.chunks,
    next_at = least(l.next_at, now()),
    lease_until = CASE WHEN l.pending = 0 AND l.lease_until < now() THEN '-infinity' ELSE l.lease_until END
FROM held
WHERE l.partner_id = held.partner_id AND l.lane = held.lane;

-- name: claim
-- $1 free slots, $2 seconds of lease. One lane of every partner comes before anyone's second; a partner
-- that keeps failing gets one lane, its probe. MATERIALIZED keeps LIMIT from being evaluated twice. A lease that was
-- not handed back has lapsed: whoever held it may have made calls that nobody settled. Of lanes whose lease has lapsed
-- $4 times in a row, the longest unserved $5 only: when a worker dies of one order, the lanes beside it lapse as well.
WITH busy AS (
    SELECT partner_id, count(*) AS lanes FROM partner_lane WHERE lease_until >= now() GROUP BY partner_id
),
ready AS (
    SELECT
        l.partner_id,
        l.lane,
        l.served_at,
        p.max_inflight,
        pace.failures,
        l.lapses + (l.lease_until > '-infinity')::integer >= $4 AS suspect,
        row_number() OVER (
            PARTITION BY l.lapses + (l.lease_until > '-infinity')::integer >= $4 ORDER BY l.served_at
        ) AS place
    FROM partner_lane AS l
    JOIN partner AS p USING (partner_id)
    JOIN partner_pace AS pace USING (partner_id)
    WHERE
        l.pending > 0 AND l.next_at <= now() AND l.lease_until < now()
        AND NOT p.paused AND pace.resume_at <= now()
),
candidate AS (
    SELECT
        l.partner_id,
        l.lane,
        l.failures >= $3 AS probing,
        CASE WHEN l.failures >= $3 THEN 1 ELSE l.max_inflight END AS cap,
        row_number() OVER (PARTITION BY l.partner_id ORDER BY l.served_at) + coalesce(busy.lanes, 0) AS turn
    FROM ready AS l
    LEFT JOIN busy USING (partner_id)
    WHERE NOT l.suspect OR l.place <= $5
),
picked AS MATERIALIZED (
    SELECT l.partner_id, l.lane, candidate.probing, (l.lease_until > '-infinity')::integer AS lapsed
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
    lapses = least(l.lapses + picked.lapsed, 100),
    served_at = now()
FROM picked
WHERE l.partner_id = picked.partner_id AND l.lane = picked.lane
RETURNING
    l.partner_id,
    l.lane,
    l.lease_token AS token,
    picked.probing,
    picked.lapsed > 0 AS lapsed,
    l.lapses,
    l.told_chunk,
    l.told_place;

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

-- name: give_tokens
-- $1 partner, $2 calls that were allowed and not made.
UPDATE partner_pace SET tokens = tokens + $2 WHERE partner_id = $1;

-- name: hold
-- The fence: no row means that the lease has passed to somebody else, and nothing may be written.
SELECT true FROM partner_lane WHERE partner_id = $1 AND lane = $2 AND lease_token = $3 FOR UPDATE;

-- name: settle_lane
-- $1 partner, $2 lane, $3 deliveries closed, $4 seconds of lease to keep (0: hand it back), $5 lapses from now on. A
-- statement of its own, so that its snapshot is younger than the lock and sees every delivery that has been added.
UPDATE partner_lane AS l SET
    pending = l.pending - $3,
    lapses = $5,
    lease_until = CASE WHEN $4 > 0 THEN now() + $4 * interval '1 second' ELSE '-infinity' END,
    next_at = coalesce(
        (
            SELECT min(d.next_at) FROM delivery AS d
            WHERE d.partner_id = $1 AND d.lane = $2 AND d.state = 0
        ),
        l.next_at
    )
WHERE l.partner_id = $1 AND l.lane = $2;

-- name: about_to_tell
-- $1 partner, $2 lane, $3 token, $4 chunk, $5 place
UPDATE partner_lane SET told_chunk = $4, told_place = $5
WHERE partner_id = $1 AND lane = $2 AND lease_token = $3;

-- name: open_lane
-- Hands a lane back without having settled anything.
UPDATE partner_lane SET lease_until = '-infinity'
WHERE partner_id = $1 AND lane = $2 AND lease_token = $3;

-- name: let_lapse
-- Whoever claims it next counts a lapse, which would be one of a worker that died: this one lives.
UPDATE partner_lane SET lease_until = now(), lapses = greatest(lapses - 1, 0)
WHERE partner_id = $1 AND lane = $2 AND lease_token = $3 AND lease_until > now();

-- name: hold_lanes_of
-- The lanes of these keys: whoever settles an order of theirs has done so, or waits until the word is booked.
SELECT lane FROM partner_lane
WHERE partner_id = $1 AND lane IN (SELECT abs(key) % 16 FROM unnest($2::bigint []) AS key)
ORDER BY lane
FOR UPDATE;

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

-- name: close_lanes
UPDATE partner_lane SET pending = 0 WHERE partner_id = $1;

-- name: claim_asking
-- $1 adapters whose partners leave results, $2 adapters whose partners can be asked what they hold, $3 seconds of
-- lease, $4 failures from which the breaker is open, $5 adapters whose partners take whole lists. One partner that is
-- to be asked, or given its list, now.
WITH due AS MATERIALIZED (
    SELECT
        pace.partner_id,
        p.adapter = ANY ($1::text []) AND pace.poll_at <= now() AS polls,
        p.adapter = ANY ($2::text []) AND pace.reconcile_at <= now() AS reconciles,
        p.adapter = ANY ($5::text []) AND pace.list_wanted AND pace.reconcile_at <= now() AS lists
    FROM partner_pace AS pace
    JOIN partner AS p USING (partner_id)
    WHERE
        NOT p.paused AND p.removed_at IS NULL AND pace.resume_at <= now() AND pace.failures < $4
        AND pace.asking_until < now()
        AND (
            p.adapter = ANY ($1::text []) AND pace.poll_at <= now()
            OR p.adapter = ANY ($2::text []) AND pace.reconcile_at <= now()
            OR p.adapter = ANY ($5::text []) AND pace.list_wanted AND pace.reconcile_at <= now()
        )
    ORDER BY least(
        CASE WHEN p.adapter = ANY ($1::text []) THEN pace.poll_at END,
        CASE WHEN p.adapter = ANY ($2::text []) OR pace.list_wanted THEN pace.reconcile_at END
    )
    LIMIT 1
    FOR UPDATE OF pace SKIP LOCKED
)
UPDATE partner_pace AS pace SET
    asking_until = now() + $3::double precision * interval '1 second',
    asking_token = pace.asking_token + 1
FROM due
WHERE pace.partner_id = due.partner_id
RETURNING due.partner_id, due.polls, due.reconciles, due.lists, now() AS began, pace.asking_token AS token;

-- name: renew_asking
-- $1 partner, $2 token, $3 seconds of lease. No row means that somebody else asks the partner now.
UPDATE partner_pace SET asking_until = now() + $3::double precision * interval '1 second'
WHERE partner_id = $1 AND asking_token = $2
RETURNING true;

-- name: hold_asking
-- The fence of what came of asking, until the transaction ends. Lanes are locked before it.
SELECT true FROM partner_pace WHERE partner_id = $1 AND asking_token = $2 FOR SHARE;

-- name: stop_asking
UPDATE partner_pace SET asking_until = '-infinity' WHERE partner_id = $1 AND asking_token = $2;

-- name: asked
-- $1 partner, seconds until it is asked again $2 for results (null: as before) and $3 for what it holds or until its
-- list is tried again, $4 what came of that, $5 whether it was given its list, $6 when that began: who has asked for it
-- since then asks for another, $7 token. No row means that somebody else asks the partner now.
UPDATE partner_pace SET
    asking_until = '-infinity',
    poll_at = CASE WHEN $2::double precision IS NULL THEN poll_at ELSE now() + $2 * interval '1 second' END,
    reconcile_at = CASE
        WHEN $3::double precision IS NULL OR reconcile_at > $6 THEN reconcile_at
        ELSE now() + $3 * interval '1 second'
    END,
    reconciled = coalesce($4::jsonb, reconciled),
    list_wanted = list_wanted AND NOT ($5 AND reconcile_at <= $6)
WHERE partner_id = $1 AND asking_token = $7
RETURNING true;

-- name: ask_soon
-- $1 partner, $2 whether it takes whole lists
UPDATE partner_pace SET reconcile_at = now(), list_wanted = $2 WHERE partner_id = $1;
