-- Whether an incident claims sold devices too, and which warnings the one who submitted it has acknowledged.
ALTER TABLE incident
ADD COLUMN include_sold boolean NOT NULL DEFAULT false,
ADD COLUMN acknowledged text [] NOT NULL DEFAULT '{}';

-- How many devices an incident claimed of each site, so that the next one can be held against it; those of no site, and
-- identifiers that nobody registered, are those of ''.
CREATE TABLE incident_site (
    incident_id bigint NOT NULL REFERENCES incident,
    site text NOT NULL,
    devices integer NOT NULL,
    PRIMARY KEY (site, incident_id)
);
INSERT INTO incident_site (incident_id, site, devices)
SELECT c.incident_id, coalesce(d.site, ''), count(DISTINCT c.device_id) + count(*) FILTER (WHERE c.device_id IS NULL)
FROM claim AS c
LEFT JOIN device AS d USING (device_id)
GROUP BY c.incident_id, coalesce(d.site, '');
