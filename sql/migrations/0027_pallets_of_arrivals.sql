-- Whether a device got its pallet from the row by which it arrived: its announcement had left it open. A device that
-- arrived so before counts as announced for that pallet.
ALTER TABLE device ADD COLUMN pallet_by_arrival boolean NOT NULL DEFAULT false;
