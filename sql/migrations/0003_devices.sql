-- The registry. An identifier's key is the first 14 digits of an IMEI, or minus the number of a serial
-- (devices without IMEI). device.keys holds what partners block the device by. Rows of millions carry no
-- foreign keys: one statement writes them with the ids that it has just made, and none is ever deleted.
CREATE TABLE receipt (
    receipt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    received_at timestamptz NOT NULL,
    received_by text NOT NULL,
    digest bytea NOT NULL,
    rows integer NOT NULL DEFAULT 0,
    registered integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    rejected integer NOT NULL DEFAULT 0,
    warnings integer NOT NULL DEFAULT 0
);

-- What a receipt's reader should look at: rows that were rejected, and warnings on rows that were not.
CREATE TABLE receipt_finding (
    receipt_id bigint NOT NULL REFERENCES receipt,
    finding bigint GENERATED ALWAYS AS IDENTITY,
    line integer NOT NULL,
    rejected boolean NOT NULL,
    field text NOT NULL,
    value text NOT NULL,
    code text NOT NULL,
    sentence text NOT NULL,
    PRIMARY KEY (receipt_id, finding)
);

-- Devices that a receipt names again without change, so that it can scope an incident as well.
CREATE TABLE receipt_repeat (
    receipt_id bigint NOT NULL REFERENCES receipt,
    part integer NOT NULL,
    device_ids bigint [] NOT NULL,
    PRIMARY KEY (receipt_id, part)
);

CREATE TABLE device (
    device_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    keys bigint [] NOT NULL CHECK (cardinality(keys) BETWEEN 1 AND 4),
    serial text NOT NULL,
    gtin text NOT NULL,
    pallet text NOT NULL,
    site text NOT NULL,
    owner text NOT NULL,
    model text NOT NULL,
    unit_value numeric(14, 2),
    currency text NOT NULL,
    receipt_id bigint NOT NULL,
    registered_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX device_serial ON device (serial, gtin) WHERE serial <> '';
CREATE INDEX device_pallet ON device (pallet) WHERE pallet <> '';
CREATE INDEX device_receipt ON device (receipt_id);

CREATE TABLE device_imei (
    key bigint PRIMARY KEY CHECK (key BETWEEN 0 AND 99999999999999),
    device_id bigint NOT NULL
);

-- Serials that stand for a device in the block list: of devices without IMEI, and of declared serials
-- that were never registered (their GTIN is then empty).
CREATE TABLE serial_number (
    serial_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial text NOT NULL CHECK (serial <> ''),
    gtin text NOT NULL,
    UNIQUE (serial, gtin)
);
