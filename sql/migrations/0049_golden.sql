-- Golden identifiers: those of 14 digits, of a TAC (8) or of a reporting body (2), which are never suspect or blocked.
CREATE TABLE golden (
    digits text PRIMARY KEY CHECK (digits ~ '^([0-9]{2}|[0-9]{8}|[0-9]{14})$'),
    places smallint GENERATED ALWAYS AS (length(digits)) STORED,
    number bigint GENERATED ALWAYS AS (digits::bigint) STORED,
    why text NOT NULL CHECK (why <> ''),
    added_at timestamptz NOT NULL,
    added_by text NOT NULL
);
CREATE UNIQUE INDEX golden_number ON golden (places, number);

INSERT INTO golden (digits, why, added_at, added_by)
VALUES ('00990099', 'test IMEIs of this gateway, which nobody''s device has', now(), 'migration');

-- Whoever writes the block list, by whatever way, lists none of them. A serial's key is negative, and none of them.
CREATE FUNCTION listing_refuse_golden() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Looked over once, each row against three hashes: joins are planned for an early hit, and there is none.
    IF EXISTS (
        SELECT FROM listed AS l
        WHERE
            l.blocked_by + l.suspected_by > 0 AND l.key >= 0
            AND (
                l.key IN (SELECT g.number FROM golden AS g WHERE g.places = 14)
                OR l.key / 1000000 IN (SELECT g.number FROM golden AS g WHERE g.places = 8)
                OR l.key / 1000000000000 IN (SELECT g.number FROM golden AS g WHERE g.places = 2)
            )
    ) THEN
        RAISE EXCEPTION 'a golden identifier is never suspect or blocked'
            USING ERRCODE = 'check_violation', TABLE = 'listing', CONSTRAINT = 'golden';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER golden_inserted AFTER INSERT ON listing
REFERENCING NEW TABLE AS listed FOR EACH STATEMENT EXECUTE FUNCTION listing_refuse_golden();
CREATE TRIGGER golden_updated AFTER UPDATE ON listing
REFERENCING NEW TABLE AS listed FOR EACH STATEMENT EXECUTE FUNCTION listing_refuse_golden();
