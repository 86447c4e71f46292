"""The lints of Supabase's database advisor as queries, written from its documentation.

Belongs here: the queries on the schema public, by lint name. Lints on Supabase's own schemas and extensions and on
usage (unused indexes, bloat) are left out. The advisor reports some objects only if a role of its web API may read
them; these queries always report them.
"""

_PUBLIC = "'public'::regnamespace"
_RELATIONS = f"FROM pg_class AS c WHERE c.relnamespace = {_PUBLIC}"
_TABLES = f"{_RELATIONS} AND c.relkind IN ('r', 'p')"
_POLICIES = f"FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = {_PUBLIC}"
_FUNCTIONS = f"FROM pg_proc AS f WHERE f.pronamespace = {_PUBLIC}"


def _executable_by(role: str) -> str:
    may = f"has_function_privilege('{role}', f.oid, 'EXECUTE')"
    return f"SELECT f.oid::regprocedure {_FUNCTIONS} AND f.prosecdef AND {may}"


def _visible_to(role: str) -> str:
    # The lint is about an extension that shows a table to every role that may read one of its columns. This query finds
    # such tables even if the extension is not installed.
    return f"""
        SELECT c.relname {_RELATIONS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND EXISTS (
            SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              AND has_column_privilege('{role}', c.oid, a.attnum, 'SELECT'))"""


# Each query returns the objects at fault, one name per row.
LINTS = {
    "0001_unindexed_foreign_keys": f"""
        SELECT k.conrelid::regclass::text || ' ' || k.conname FROM pg_constraint AS k
        WHERE k.contype = 'f' AND k.connamespace = {_PUBLIC} AND NOT EXISTS (
            SELECT FROM pg_index AS i WHERE i.indrelid = k.conrelid AND i.indisvalid
              AND (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] = k.conkey)""",
    "0004_no_primary_key": f"""
        SELECT c.relname {_TABLES}
          AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)""",
    "0006_multiple_permissive_policies": f"""
        SELECT c.relname || ' ' || r.rolname || ' ' || command::text
        FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
        JOIN pg_roles AS r ON p.polroles = '{{0}}' OR r.oid = ANY(p.polroles)
        CROSS JOIN unnest(CASE p.polcmd WHEN '*' THEN '{{r,a,w,d}}'::"char"[] ELSE ARRAY[p.polcmd] END) AS command
        WHERE c.relnamespace = {_PUBLIC} AND p.polpermissive AND NOT r.rolbypassrls AND r.rolname NOT LIKE 'pg\\_%'
        GROUP BY c.relname, r.rolname, command HAVING count(*) > 1""",
    "0007_policy_exists_rls_disabled": f"SELECT DISTINCT c.relname {_POLICIES} AND NOT c.relrowsecurity",
    "0008_rls_enabled_no_policy": f"""
        SELECT c.relname {_TABLES} AND c.relrowsecurity
          AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)""",
    "0009_duplicate_index": """
        SELECT i.tablename || ': ' || string_agg(i.indexname, ', ' ORDER BY i.indexname)
        FROM pg_indexes AS i WHERE i.schemaname = 'public'
        GROUP BY i.tablename, replace(i.indexdef, i.indexname, '') HAVING count(*) > 1""",
    "0010_security_definer_view": f"""
        SELECT c.relname {_RELATIONS} AND c.relkind = 'v' AND NOT EXISTS (
            SELECT FROM unnest(c.reloptions) AS option
            WHERE lower(option) IN ('security_invoker=true', 'security_invoker=on', 'security_invoker=1'))""",
    "0011_function_search_path_mutable": f"""
        SELECT f.oid::regprocedure {_FUNCTIONS}
          AND NOT EXISTS (SELECT FROM unnest(f.proconfig) AS setting WHERE setting LIKE 'search\\_path=%')""",
    "0013_rls_disabled_in_public": f"SELECT c.relname {_TABLES} AND NOT c.relrowsecurity",
    "0014_extension_in_public": f"SELECT e.extname FROM pg_extension AS e WHERE e.extnamespace = {_PUBLIC}",
    "0016_materialized_view_in_api": f"SELECT c.relname {_RELATIONS} AND c.relkind = 'm'",
    "0017_foreign_table_in_api": f"SELECT c.relname {_RELATIONS} AND c.relkind = 'f'",
    "0018_unsupported_reg_types": f"""
        SELECT c.relname || '.' || a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        WHERE c.relnamespace = {_PUBLIC} AND a.atttypid = ANY (
            '{{regcollation,regconfig,regdictionary,regnamespace,regoper,regoperator,regproc,regprocedure}}'::regtype[])""",
    "0024_permissive_rls_policy": f"""
        SELECT c.relname || ' ' || p.polname {_POLICIES} AND p.polpermissive AND p.polcmd <> 'r'
          AND (p.polroles = '{{0}}' OR EXISTS (
              SELECT FROM pg_roles AS r WHERE r.oid = ANY(p.polroles) AND r.rolname IN ('anon', 'authenticated')))
          AND (coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') IN ('true', '(1 = 1)') AND p.polcmd <> 'a'
               OR coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid), 'true')
                  IN ('true', '(1 = 1)'))""",
    "0026_pg_graphql_anon_table_exposed": _visible_to("anon"),
    "0027_pg_graphql_authenticated_table_exposed": _visible_to("authenticated"),
    "0028_anon_security_definer_function_executable": _executable_by("anon"),
    "0029_authenticated_security_definer_function_executable": _executable_by("authenticated"),
}

# One violation per lint that we could violate, and the row it gives.
WRONG = {
    "0001_unindexed_foreign_keys": ("w1 w1_of_fkey", "CREATE TABLE w1 (id int PRIMARY KEY, of int REFERENCES w1)"),
    "0004_no_primary_key": ("w4", "CREATE TABLE w4 (id int)"),
    "0006_multiple_permissive_policies": (
        "w6 anon r",
        """CREATE TABLE w6 (id int);
        CREATE POLICY a ON w6 FOR SELECT TO anon USING (id = 1);
        CREATE POLICY b ON w6 TO anon USING (id = 2)""",
    ),
    "0007_policy_exists_rls_disabled": ("w7", "CREATE TABLE w7 (id int); CREATE POLICY a ON w7 USING (id = 1)"),
    "0008_rls_enabled_no_policy": ("w8", "CREATE TABLE w8 (id int); ALTER TABLE w8 ENABLE ROW LEVEL SECURITY"),
    "0009_duplicate_index": (
        "w9: w9_a, w9_b",
        "CREATE TABLE w9 (id int); CREATE INDEX w9_a ON w9 (id); CREATE INDEX w9_b ON w9 (id)",
    ),
    "0010_security_definer_view": ("w10", "CREATE VIEW w10 AS SELECT 1 AS one"),
    "0011_function_search_path_mutable": ("w11()", "CREATE FUNCTION w11() RETURNS int LANGUAGE sql RETURN 1"),
    "0013_rls_disabled_in_public": ("w13", "CREATE TABLE w13 (id int)"),
    "0016_materialized_view_in_api": ("w16", "CREATE MATERIALIZED VIEW w16 AS SELECT 1 AS one"),
    "0018_unsupported_reg_types": ("w18.id", "CREATE TABLE w18 (id regproc)"),
    "0024_permissive_rls_policy": ("w24 a", "CREATE TABLE w24 (id int); CREATE POLICY a ON w24 USING (true)"),
    "0026_pg_graphql_anon_table_exposed": ("w26", "CREATE TABLE w26 (id int); GRANT SELECT (id) ON w26 TO anon"),
    "0027_pg_graphql_authenticated_table_exposed": (
        "w27",
        "CREATE TABLE w27 (id int); GRANT SELECT ON w27 TO authenticated",
    ),
    "0028_anon_security_definer_function_executable": (
        "w28()",
        "CREATE FUNCTION w28() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1",
    ),
    "0029_authenticated_security_definer_function_executable": (
        "w29()",
        """CREATE FUNCTION w29() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1;
        REVOKE ALL ON FUNCTION w29() FROM PUBLIC; GRANT EXECUTE ON FUNCTION w29() TO authenticated""",
    ),
}
