-- The one order that a worker was about to tell when it was careful: if it dies, that one is to blame and no other.
ALTER TABLE partner_lane
ADD COLUMN told_chunk bigint,
ADD COLUMN told_place smallint;
