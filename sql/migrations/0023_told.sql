-- What a partner has been told, so that only what is ours is released, and what cannot be told stops holding others up.
ALTER TABLE delivery
-- places that were dropped before the partner had heard of them
ADD COLUMN untold smallint [] NOT NULL DEFAULT '{}',
-- calls may have been made that nobody has settled: the worker went, or all of it is told again
ADD COLUMN doubtful boolean NOT NULL DEFAULT false,
-- what fails as a whole is told in ever smaller calls
ADD COLUMN halved smallint NOT NULL DEFAULT 0,
-- when calls about it may last have reached the partner (null: only what `doubtful` says, before it was ordered)
ADD COLUMN tried_at timestamptz,
-- since when it has been tried, or could have been
ADD COLUMN waits_since timestamptz NOT NULL DEFAULT now();

-- What had been tried, or was under way, before this could be known.
UPDATE delivery SET doubtful = true WHERE state = 0;

CREATE INDEX chunk_command ON chunk (command_id, lane);

-- How often in a row a lease on this lane has lapsed without anything having been settled.
ALTER TABLE partner_lane ADD COLUMN lapses smallint NOT NULL DEFAULT 0;

-- done: with a reference of the partner's own; foreign: somebody else had blocked it there before we did; parked: given
-- up, until a person has it told again.
ALTER TABLE delivery_item DROP CONSTRAINT delivery_item_state_check;
ALTER TABLE delivery_item ADD CONSTRAINT delivery_item_state_check CHECK (
    state IN ('accepted', 'confirmed', 'refused', 'superseded', 'done', 'foreign', 'parked')
);

-- not_ours: releases that the partner was not told of, for it holds no block of ours.
ALTER TABLE progress
ADD COLUMN parked integer NOT NULL DEFAULT 0,
ADD COLUMN not_ours integer NOT NULL DEFAULT 0,
DROP CONSTRAINT progress_check,
ADD CONSTRAINT progress_check CHECK (done + already + accepted + refused + superseded + parked + not_ours <= wanted);
