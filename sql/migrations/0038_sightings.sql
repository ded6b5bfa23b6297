-- What a person should look at now. While nobody has, the same thing raises no second alert, but counts on the first.
CREATE TABLE alert (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind <> ''),
    subject text NOT NULL CHECK (subject <> ''),
    -- who should look, as the audit log names him; '': whoever is there
    concerns text NOT NULL,
    detail jsonb NOT NULL,
    times integer NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    seen_at timestamptz,
    seen_by text,
    CHECK ((seen_at IS NULL) = (seen_by IS NULL))
);
CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE seen_at IS NULL;

-- Somebody from outside asked about an identifier that is claimed, or that should still be in stock, or reported it.
CREATE TABLE sighting (
    sighting_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bigint NOT NULL,
    -- what he was told, as the listing has it; 0: clear, of a device that is in stock
    told smallint NOT NULL CHECK (told BETWEEN 0 AND 2),
    asked_by text NOT NULL,
    way text NOT NULL,
    place text NOT NULL,
    note text NOT NULL DEFAULT '',
    incident_id bigint,
    device_id bigint,
    times bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    -- of a device in stock: when it was looked at once more, and was still there
    judged_at timestamptz,
    UNIQUE (key, told, asked_by, way, place),
    CHECK (told = 0 OR incident_id IS NOT NULL),
    CHECK (told > 0 OR device_id IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX sighting_incident ON sighting (incident_id, sighting_id) WHERE incident_id IS NOT NULL;
CREATE INDEX sighting_in_stock ON sighting (first_at) WHERE told = 0 AND way <> 'report' AND judged_at IS NULL;

-- Whether a site tells what leaves it at all: where it does not, nothing can be said to be in stock.
CREATE INDEX device_left ON device (site) WHERE left_at IS NOT NULL;

-- Which of a hundred numbers in a row a key has asked for lately. Not logged: after a crash it begins anew.
CREATE UNLOGGED TABLE enumeration (
    key_id text NOT NULL,
    hundred bigint NOT NULL,
    asked bit (100) NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (key_id, hundred)
);
CREATE INDEX enumeration_at ON enumeration (at);
