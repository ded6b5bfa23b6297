-- The engine. Work is kept in chunks that all partners share; what changes all the time is small:
-- sixteen lanes a partner, and one row a chunk and partner. Only the database's clock judges leases.
CREATE TABLE partner (
    partner_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    adapter text NOT NULL,
    settings jsonb NOT NULL,
    enrols boolean NOT NULL,
    kinds text [] NOT NULL CHECK (cardinality(kinds) > 0),
    -- what it is told of: these TACs and GTINs, or (both null) everything
    tacs integer [],
    gtins text [],
    max_inflight integer NOT NULL CHECK (max_inflight BETWEEN 1 AND 64),
    rate double precision CHECK (rate > 0), -- calls a second; null: no limit
    burst integer NOT NULL CHECK (burst >= 1),
    paused boolean NOT NULL DEFAULT false,
    pause_reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL
);

-- A partner's pace, shared by all workers: token bucket, and the breaker.
CREATE TABLE partner_pace (
    partner_id integer PRIMARY KEY REFERENCES partner,
    tokens double precision NOT NULL,
    tokens_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    resume_at timestamptz NOT NULL,
    last_fault text NOT NULL DEFAULT ''
) WITH (fillfactor = 40);

CREATE TABLE partner_lane (
    partner_id integer NOT NULL REFERENCES partner,
    lane smallint NOT NULL CHECK (lane BETWEEN 0 AND 15),
    pending integer NOT NULL DEFAULT 0 CHECK (pending >= 0),
    next_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    lease_token bigint NOT NULL DEFAULT 0,
    served_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (partner_id, lane)
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE command (
    command_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    op text NOT NULL CHECK (op IN ('enrol', 'block', 'release')),
    incident_id bigint REFERENCES incident,
    receipt_id bigint REFERENCES receipt,
    identifiers integer NOT NULL,
    ordered_at timestamptz NOT NULL,
    ordered_by text NOT NULL,
    CHECK ((op = 'enrol') = (incident_id IS NULL))
);
CREATE INDEX command_incident ON command (incident_id);

CREATE TABLE chunk (
    chunk_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command_id bigint NOT NULL REFERENCES command,
    lane smallint NOT NULL,
    partners integer [] NOT NULL,
    keys bigint [] NOT NULL,
    versions bigint [] NOT NULL,
    CHECK (cardinality(keys) BETWEEN 1 AND 500 AND cardinality(keys) = cardinality(versions))
);

-- A chunk for one partner. open_at holds the places (1…) of the chunk that are not settled (null: all), in
-- the order in which they are tried; the first `untried` of them (null: all) have not had their turn in this
-- round, so one that fails again and again never stands before the others.
CREATE TABLE delivery (
    partner_id integer NOT NULL REFERENCES partner,
    lane smallint NOT NULL,
    chunk_id bigint NOT NULL REFERENCES chunk,
    command_id bigint NOT NULL,
    state smallint NOT NULL DEFAULT 0 CHECK (state IN (0, 1)), -- 0 open, 1 done
    open_at smallint [],
    untried smallint,
    tries integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    PRIMARY KEY (partner_id, lane, chunk_id)
) WITH (fillfactor = 70);
CREATE INDEX delivery_open ON delivery (partner_id, lane, chunk_id) WHERE state = 0;

-- What is not simply done: accepted and waiting for a confirmation, confirmed, or refused.
CREATE TABLE delivery_item (
    partner_id integer NOT NULL,
    key bigint NOT NULL,
    version bigint NOT NULL,
    op text NOT NULL,
    command_id bigint,
    state text NOT NULL CHECK (state IN ('accepted', 'confirmed', 'refused', 'superseded')),
    code text NOT NULL,
    words text NOT NULL,
    ref text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (partner_id, key, version, op)
);

-- Where a command stands at a partner: counted as it happens, so that nobody counts rows to watch it.
CREATE TABLE progress (
    command_id bigint NOT NULL REFERENCES command,
    partner_id integer NOT NULL REFERENCES partner,
    wanted integer NOT NULL,
    done integer NOT NULL DEFAULT 0,
    already integer NOT NULL DEFAULT 0,
    accepted integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    superseded integer NOT NULL DEFAULT 0,
    calls integer NOT NULL DEFAULT 0,
    failed_calls integer NOT NULL DEFAULT 0,
    last_fault text NOT NULL DEFAULT '',
    first_at timestamptz,
    last_at timestamptz,
    PRIMARY KEY (command_id, partner_id),
    CHECK (done + already + accepted + refused + superseded <= wanted)
) WITH (fillfactor = 40);
