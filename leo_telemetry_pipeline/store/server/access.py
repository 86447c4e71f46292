"""Access check: what PUBLIC and the web API roles of hosted databases may use.

Belongs here: privilege queries, and closing Dagster's schema. Does not: closing our own tables (migrations), what
each of our roles may do (docs/deployment.md).
"""

from typing import TYPE_CHECKING, Any, Protocol

from leo_telemetry_pipeline.store.server import schema_objects

if TYPE_CHECKING:
    import psycopg2.extensions

# Roles of the web API of a hosted PostgreSQL (Supabase, Neon), whose keys are in browsers.
STRANGERS = ("anon", "anonymous", "authenticated")
# The same plus the server-side role: default privileges open every new object in ``public`` to these roles.
API_ROLES = (*STRANGERS, "service_role")
# Our policy identifies our tables; a partition attached by hand may lack it.
_OPEN = """
WITH spans AS (
    SELECT c.oid, c.relnamespace FROM pg_class AS c WHERE c.oid = 'workflow_trace_log'::regclass
), tables AS (
    SELECT p.polrelid AS oid FROM pg_policy AS p WHERE p.polname = 'telemetry_granted'
    UNION SELECT i.inhrelid FROM pg_inherits AS i JOIN spans AS s ON s.oid = i.inhparent
), relations AS (
    SELECT t.oid FROM tables AS t
    UNION SELECT d.objid FROM pg_depend AS d JOIN tables AS t ON t.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    UNION SELECT c.oid FROM pg_class AS c JOIN spans AS s ON s.relnamespace = c.relnamespace
        WHERE c.relname = ANY(%(views)s)
), lists AS (
    SELECT c.relname AS name, c.relacl AS acl FROM pg_class AS c JOIN relations AS r ON r.oid = c.oid
    UNION ALL SELECT c.relname, a.attacl FROM pg_attribute AS a JOIN relations AS r ON r.oid = a.attrelid
        JOIN pg_class AS c ON c.oid = r.oid
    UNION ALL SELECT p.proname, coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc AS p
        JOIN spans AS s ON s.relnamespace = p.pronamespace WHERE p.proname = ANY(%(functions)s)
)
SELECT DISTINCT coalesce(r.rolname::text, 'PUBLIC'), l.name::text
FROM lists AS l CROSS JOIN LATERAL aclexplode(l.acl) AS entry LEFT JOIN pg_roles AS r ON r.oid = entry.grantee
WHERE entry.grantee = 0 OR r.rolname = ANY(%(strangers)s)
ORDER BY 1, 2
"""
# Roles that could use a table created by us in a schema, by default privileges of that schema or of all schemas.
_OPEN_BY_DEFAULT = """
SELECT DISTINCT coalesce(r.rolname::text, 'PUBLIC')
FROM pg_default_acl AS d CROSS JOIN LATERAL aclexplode(d.defaclacl) AS entry
LEFT JOIN pg_roles AS r ON r.oid = entry.grantee
JOIN pg_namespace AS n ON n.nspname = %(schema)s
WHERE d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND d.defaclobjtype = 'r'
  AND (d.defaclnamespace = 0 OR d.defaclnamespace = n.oid)
  AND (entry.grantee = 0 OR r.rolname = ANY(%(strangers)s))
  AND has_schema_privilege(coalesce(r.rolname, 'public'), n.oid, 'USAGE')
ORDER BY 1
"""


class _Database(Protocol):
    def rows(self, sql: str, parameters: Any = None, /) -> list[tuple]: ...


def open_to_strangers(database: _Database) -> dict[str, list[str]]:
    """Return our tables, views, sequences and functions that PUBLIC and STRANGERS may use, per role."""
    views, functions = schema_objects.names("views"), schema_objects.names("functions")
    parameters = {"views": views, "functions": functions, "strangers": list(STRANGERS)}
    names_by_role: dict[str, list[str]] = {}
    for role, name in database.rows(_OPEN, parameters):
        names_by_role.setdefault(role, []).append(name)
    return names_by_role


def close_schema(cursor: "psycopg2.extensions.cursor", schema: str) -> None:
    """Revoke what default privileges grant on a schema that we created."""
    cursor.execute(
        "SELECT format('REVOKE ALL ON SCHEMA %%I FROM PUBLIC', %s::text)"
        " || coalesce(string_agg(format(', %%I', rolname), ''), '') FROM pg_roles WHERE rolname = ANY(%s)",
        (schema, list(API_ROLES)),
    )
    [(revoke,)] = cursor.fetchall()
    cursor.execute(revoke)


def open_by_default(cursor: "psycopg2.extensions.cursor", schema: str) -> list[str]:
    """Return the roles that could use a table that we create in a schema."""
    cursor.execute(_OPEN_BY_DEFAULT, {"schema": schema, "strangers": list(STRANGERS)})
    return [role for (role,) in cursor.fetchall()]
