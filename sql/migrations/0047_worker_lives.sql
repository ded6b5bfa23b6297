-- Whether somebody whose connection has this name, on whatever machine, has used it within so many seconds. A connection
-- of a machine that is gone stands for hours, but says nothing. Run as the owner of the tables: PostgreSQL tells nobody
-- when others did something, and whoever serves is not whom he logged in as.
CREATE FUNCTION worker_lives(application text, seconds double precision) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_stat_activity AS a
        WHERE
            a.datname = current_database() AND a.application_name = application
            AND (
                a.state_change IS NULL OR a.state = 'active'
                OR a.state_change > clock_timestamp() - seconds * interval '1 second'
            )
    )
$$;
ALTER FUNCTION worker_lives SET search_path = pg_catalog, pg_temp;
