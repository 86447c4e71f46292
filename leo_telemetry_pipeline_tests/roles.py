"""The roles of docs/deployment.md, read from that page, and the roles of every Supabase database.

Belongs here: creating them, and a database with Supabase's default privileges. Does not: what each may do (test_roles,
test_closed).
"""

import re
from pathlib import Path

from leo_telemetry_pipeline.store.server import migrations
from leo_telemetry_pipeline.store.server.database import Target, outside
from leo_telemetry_pipeline_tests.servers import Server, as_role

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "deployment.md"
OURS = ("leo_owner", "leo_writer", "leo_enqueuer", "leo_reader")
API = ("anon", "authenticated", "service_role")
# A role without any grant has the privileges of PUBLIC.
NOBODY = "leo_nobody"

_SUPABASE = """
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD 'pw';
GRANT anon, authenticated, service_role TO authenticator;
"""
# Supabase grants them to the role of its SQL editor and migrations, here leo_owner.
_DEFAULTS = "ALTER DEFAULT PRIVILEGES FOR ROLE leo_owner IN SCHEMA public GRANT ALL ON"
OPEN_TO_ALL = f"""
GRANT USAGE ON SCHEMA public TO {", ".join(API)};
{_DEFAULTS} TABLES TO {", ".join(API)};
{_DEFAULTS} SEQUENCES TO {", ".join(API)};
{_DEFAULTS} FUNCTIONS TO {", ".join(API)};
"""
_made: set[str] = set()


def blocks() -> list[str]:
    """Return the SQL blocks of the guide: create the roles, grant what they need, grant more."""
    found = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 3
    return [found[0].partition("CREATE DATABASE")[0].replace("change me", "pw"), *found[1:]]


def supabase_template(server: Server) -> str:
    """Return the name of a database with Supabase's roles and default privileges, migrated by ``leo_owner``."""
    name = "template_supabase"
    if server.direct not in _made:
        # A failed attempt may have left it.
        server.administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for role in (*OURS, NOBODY, "authenticator", *API):
            server.administer(f"DROP ROLE IF EXISTS {role}")
        for statement in f"{_SUPABASE} {blocks()[0]} CREATE ROLE {NOBODY};".split(";")[:-1]:
            server.administer(statement)
        server.administer(f"CREATE DATABASE {name} OWNER leo_owner")
        _execute(server, name, OPEN_TO_ALL)
        migrations.migrate(as_owner(server, name))
        _execute(server, name, blocks()[1])
        _made.add(server.direct)
    return name


def as_owner(server: Server, database: str) -> Target:
    """Return a database connected as its owner, who is not a superuser."""
    return outside(as_role(server.direct_url(database), "leo_owner"), "dagster")


def _execute(server: Server, database: str, sql: str) -> None:
    connection = as_owner(server, database).connect()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
    finally:
        connection.close()
