-- What was sold to a customer, and what came back: as with movement, the latest by the time it happened holds.
CREATE TABLE sale (
    sale_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id bigint NOT NULL,
    sold boolean NOT NULL,
    at timestamptz NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    withdrawn boolean NOT NULL DEFAULT false
);
CREATE INDEX sale_device ON sale (device_id, at, sale_id);
CREATE INDEX sale_source ON sale (source);

-- sold_at: by the latest sale, null for what is not sold (any more). erased_at: when it was forgotten whose it was and
-- where it stood.
ALTER TABLE device ADD COLUMN sold_at timestamptz, ADD COLUMN erased_at timestamptz;
