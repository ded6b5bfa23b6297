-- When a device was last seen to leave a site, and last seen at one (counted, received, moved).
ALTER TABLE device
ADD COLUMN left_at timestamptz,
ADD COLUMN seen_at timestamptz;

-- What reported an incident, if no person drafted it: the event that said so.
ALTER TABLE incident ADD COLUMN reported_by text NOT NULL DEFAULT '';
CREATE INDEX incident_reported_by ON incident (reported_by) WHERE reported_by <> '';
