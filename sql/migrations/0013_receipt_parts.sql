-- A submission takes thousands of numbers at once; asking for each by itself takes longer than using it.
ALTER SEQUENCE device_device_id_seq CACHE 1000;
ALTER SEQUENCE serial_number_serial_id_seq CACHE 1000;

-- Senders repeat themselves: a time-out, and the same file comes again. The rows of a file that became new devices
-- together are known again by one digest, and say what is registered as long as no device of theirs was touched.
CREATE TABLE receipt_part (
    receipt_id bigint NOT NULL REFERENCES receipt,
    part integer NOT NULL,
    digest bytea NOT NULL,
    device_ids bigint [] NOT NULL,
    PRIMARY KEY (receipt_id, part)
);
CREATE INDEX receipt_part_digest ON receipt_part (digest);
-- Whether a device says something else than the row that registered it.
ALTER TABLE device ADD COLUMN touched boolean NOT NULL DEFAULT false;
