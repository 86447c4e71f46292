-- Close a new table and its sequences to every role that is not granted them by name.
-- Besides privileges, a policy hides all rows from such roles, in case all tables of the schema are granted later to a
-- role whose key is in browsers. Citus does not accept a policy with a subquery.
CREATE OR REPLACE FUNCTION telemetry_close_table(closed regclass) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    strangers text := (
        SELECT concat_ws(', ', 'PUBLIC', string_agg(quote_ident(r.rolname), ', ')) FROM pg_roles AS r
        WHERE r.rolname IN ('anon', 'anonymous', 'authenticated', 'service_role'));
    sequence regclass;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', closed);
    EXECUTE format('CREATE POLICY telemetry_granted ON %s'
        ' USING (current_user NOT IN (''anon'', ''anonymous'', ''authenticated''))', closed);
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', closed, strangers);
    FOR sequence IN
        SELECT d.objid FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid
        WHERE d.refobjid = closed AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass
          AND c.relkind = 'S'
    LOOP
        EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM %s CASCADE', sequence, strangers);
    END LOOP;
END $$;
