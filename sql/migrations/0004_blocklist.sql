-- What is blocked now, one row per identifier that was ever claimed. The version grows by one each time
-- the identifier becomes blocked or stops being it; partners are told states at their version.
CREATE TABLE listing (
    key bigint PRIMARY KEY,
    blocked_by integer NOT NULL CHECK (blocked_by >= 0),
    suspected_by integer NOT NULL CHECK (suspected_by >= 0),
    version bigint NOT NULL,
    since timestamptz NOT NULL,
    status smallint GENERATED ALWAYS AS (
        CASE WHEN blocked_by > 0 THEN 2 WHEN suspected_by > 0 THEN 1 ELSE 0 END
    ) STORED
) WITH (fillfactor = 80);
