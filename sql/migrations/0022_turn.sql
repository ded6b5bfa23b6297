-- Who tells of the same pallet, or tells the same event, does it one after another: names share these rows, which
-- are locked and never changed.
CREATE TABLE turn (
    turn smallint PRIMARY KEY
);
INSERT INTO turn (turn) SELECT generate_series(0, 255);
