-- What could be said and meant nothing: countries that are none, and words for kinds of incidents and for orders that
-- are none. What is a word of nobody's would now keep its partner from being told.
UPDATE partner SET countries = array_replace(countries, 'UK', 'GB') WHERE 'UK' = ANY (countries);

UPDATE incident SET country = 'GB' WHERE country = 'UK';

UPDATE partner SET settings = settings || jsonb_build_object('reasons', (
    SELECT coalesce(jsonb_object_agg(word.key, word.value), '{}')
    FROM jsonb_each_text(settings -> 'reasons') AS word
    WHERE word.key IN ('theft', 'robbery', 'loss', 'fraud') AND length(word.value) BETWEEN 1 AND 100
))
WHERE adapter IN ('ceir', 'sftp_csv') AND jsonb_typeof(settings -> 'reasons') = 'object';

UPDATE partner SET settings = settings || jsonb_build_object('ops', (
    SELECT coalesce(jsonb_object_agg(word.key, word.value), '{}')
    FROM jsonb_each_text(settings -> 'ops') AS word
    WHERE word.key IN ('block', 'release') AND length(word.value) BETWEEN 1 AND 100
))
WHERE adapter = 'sftp_csv' AND jsonb_typeof(settings -> 'ops') = 'object';
