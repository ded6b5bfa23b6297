-- What a TAC stands for, by the user's own files: none is ever shipped. Rows of millions of devices are not
-- touched by it; brand and model are looked up where they are shown, and where a decision is turned into work.
CREATE TABLE tac_import (
    import_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL CHECK (source <> ''),
    -- what stands above the header of the file: its title, its licence
    title text NOT NULL,
    format text NOT NULL,
    replaces boolean NOT NULL,
    imported_at timestamptz NOT NULL,
    imported_by text NOT NULL,
    digest bytea NOT NULL,
    lines integer NOT NULL DEFAULT 0,
    imported integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    updated integer NOT NULL DEFAULT 0,
    rejected integer NOT NULL DEFAULT 0,
    warnings integer NOT NULL DEFAULT 0
);

-- What an import's reader should look at: lines that were rejected, lines that changed what was known, and
-- warnings. Neither these nor TACs carry foreign keys: one statement writes hundreds of thousands.
CREATE TABLE tac_finding (
    import_id bigint NOT NULL,
    finding bigint GENERATED ALWAYS AS IDENTITY,
    line integer NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('rejected', 'updated', 'warning')),
    field text NOT NULL,
    value text NOT NULL,
    code text NOT NULL,
    sentence text NOT NULL,
    PRIMARY KEY (import_id, finding)
);

-- The import is the one that had the last word on the row. Brands are compared in their folded form; those
-- that a TAC had before are kept, so that who was told to block by one of them is told to release as well.
-- No row is ever deleted.
CREATE TABLE tac (
    tac integer PRIMARY KEY CHECK (tac BETWEEN 1 AND 99999999),
    brand text NOT NULL,
    brand_folded text NOT NULL,
    former_brands text [] NOT NULL DEFAULT '{}',
    model text NOT NULL,
    import_id bigint NOT NULL,
    CHECK (brand <> '' OR model <> ''),
    CHECK ((brand = '') = (brand_folded = ''))
);
CREATE INDEX tac_brand ON tac (brand_folded);

-- Folded. Beside tacs: a partner with brands is told of the IMEIs whose TAC is of one of them.
ALTER TABLE partner ADD COLUMN brands text [];
