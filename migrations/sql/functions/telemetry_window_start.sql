-- UTC midnight at which a window of the given number of days begins.
CREATE OR REPLACE FUNCTION telemetry_window_start(window_end timestamptz, days integer) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT (date_trunc('day', window_end AT TIME ZONE 'UTC') - make_interval(days => days)) AT TIME ZONE 'UTC'
$$;
