-- What was taken off a pallet, and when: asked for at every packing, as that may be told after it.
CREATE INDEX epcis_event_unpacking ON epcis_event (parents, event_time)
WHERE event_type = 'AggregationEvent' AND action = 'DELETE' AND parents[1] LIKE '00:%';
