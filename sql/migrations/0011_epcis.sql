-- What moved, as others told it (EPCIS 2.0). A capture is one submission; its events wait in epcis_pending until
-- a worker stores them. Nothing that is stored is ever changed: an event that was wrong is declared so by another.
CREATE TABLE epcis_capture (
    capture_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    behaviour text NOT NULL CHECK (behaviour IN ('rollback', 'proceed')),
    digest bytea NOT NULL,
    events integer NOT NULL,
    stored integer NOT NULL DEFAULT 0,
    known integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    -- who captured it, in whose name the worker acts
    key_id text NOT NULL,
    key_name text NOT NULL,
    key_role text NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK (stored + known + failed <= events)
);
CREATE INDEX epcis_capture_open ON epcis_capture (capture_id) WHERE finished_at IS NULL;

CREATE TABLE epcis_capture_error (
    capture_id bigint NOT NULL REFERENCES epcis_capture,
    place integer NOT NULL,
    failure jsonb NOT NULL,
    PRIMARY KEY (capture_id, place)
);

CREATE TABLE epcis_pending (
    capture_id bigint NOT NULL,
    place integer NOT NULL,
    body text NOT NULL,
    context text NOT NULL,
    PRIMARY KEY (capture_id, place)
);

-- `body` is the JSON as it came, with eventID and recordTime. Identifiers stand here by our names for them, so
-- that an event is found whatever form of its identifiers is asked for.
CREATE TABLE epcis_event (
    event_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL,
    is_error boolean NOT NULL,
    digest bytea NOT NULL,
    capture_id bigint NOT NULL,
    place integer NOT NULL,
    event_type text NOT NULL,
    event_time timestamptz NOT NULL,
    record_time timestamptz NOT NULL,
    action text NOT NULL,
    step text NOT NULL,
    disposition text NOT NULL,
    persists text [] NOT NULL,
    ceases text [] NOT NULL,
    read_point text NOT NULL,
    location text NOT NULL,
    parents text [] NOT NULL,
    epcs text [] NOT NULL,
    others text [] NOT NULL,
    body text NOT NULL
);
-- An event and the declaration that it was wrong bear the same identity.
CREATE UNIQUE INDEX epcis_event_identity ON epcis_event (event_id, is_error);
CREATE INDEX epcis_event_time ON epcis_event (event_time);
CREATE INDEX epcis_event_record_time ON epcis_event (record_time);
CREATE INDEX epcis_event_epcs ON epcis_event USING gin (epcs);
CREATE INDEX epcis_event_parents ON epcis_event USING gin (parents);
CREATE INDEX epcis_event_others ON epcis_event USING gin (others);
