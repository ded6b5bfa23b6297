-- Pallets on pallets: on which SSCC (the parent; '': on none) a carton (the child) stood from a moment on. One that
-- nothing is told of stands on none. As with movement, the latest by the time it happened holds.
CREATE TABLE nesting (
    nesting_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    child text NOT NULL CHECK (child <> ''),
    parent text NOT NULL CHECK (parent <> child),
    moved_at timestamptz NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    withdrawn boolean NOT NULL DEFAULT false
);
CREATE INDEX nesting_child ON nesting (child, moved_at, nesting_id) WHERE NOT withdrawn;
CREATE INDEX nesting_parent ON nesting (parent, child) WHERE parent <> '' AND NOT withdrawn;
CREATE INDEX nesting_source ON nesting (source);
