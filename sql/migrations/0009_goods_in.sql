-- Goods-in as warehouses live it: announced before it arrives, corrected where something was left open, moved
-- from pallet to pallet. A device without arrived_in was announced and has not been seen yet.
ALTER TABLE device ADD COLUMN arrived_in bigint;
UPDATE device SET arrived_in = receipt_id;

ALTER TABLE receipt
ADD COLUMN kind text NOT NULL DEFAULT 'arrival' CHECK (kind IN ('announcement', 'arrival')),
ADD COLUMN supplier text NOT NULL DEFAULT '',
ADD COLUMN declared integer,
ADD COLUMN columns text [] NOT NULL DEFAULT '{}',
ADD COLUMN updated integer NOT NULL DEFAULT 0,
ADD COLUMN arrived integer NOT NULL DEFAULT 0;
CREATE INDEX receipt_supplier ON receipt (supplier, receipt_id);

-- A finding rejects its row, warns of it, or says what it has changed.
ALTER TABLE receipt_finding
ADD COLUMN kind text NOT NULL DEFAULT 'rejection' CHECK (kind IN ('rejection', 'warning', 'update'));
UPDATE receipt_finding SET kind = 'warning' WHERE NOT rejected;
ALTER TABLE receipt_finding DROP COLUMN rejected, ALTER COLUMN kind DROP DEFAULT;

-- Rejected rows as they came, to be given back for fixing: cells of a table, or the one text of a JSON object.
CREATE TABLE receipt_reject (
    receipt_id bigint NOT NULL REFERENCES receipt,
    reject bigint GENERATED ALWAYS AS IDENTITY,
    line integer NOT NULL,
    cells text [] NOT NULL,
    PRIMARY KEY (receipt_id, reject)
);
CREATE INDEX receipt_finding_line ON receipt_finding (receipt_id, line);

-- How a supplier's (or anybody's) columns are to be read: a name of a column → a field.
CREATE TABLE column_mapping (
    name text PRIMARY KEY CHECK (name <> ''),
    columns jsonb NOT NULL,
    saved_at timestamptz NOT NULL,
    saved_by text NOT NULL
);

-- Where a device was: its whole life once it has moved, beginning with the pallet of its registration (at
-- -infinity). A device without movements is on its pallet still. device.pallet is always the latest.
CREATE TABLE movement (
    movement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id bigint NOT NULL,
    pallet text NOT NULL,
    moved_at timestamptz NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    withdrawn boolean NOT NULL DEFAULT false
);
CREATE INDEX movement_device ON movement (device_id, moved_at);
CREATE INDEX movement_pallet ON movement (pallet, device_id) WHERE pallet <> '';
CREATE INDEX movement_source ON movement (source);
