-- How often in a row, and since when, a step of a capture ended in a fault that was to pass: one that never passes
-- must not hold up the captures behind it for ever.
ALTER TABLE epcis_capture ADD COLUMN hindered integer NOT NULL DEFAULT 0;
ALTER TABLE epcis_capture ADD COLUMN hindered_since timestamptz;
