"""Privileges in a database whose default privileges grant everything to everyone, as on Supabase.

The roles are those of docs/deployment.md, with its grants, and those of Supabase's web API.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from urllib.parse import quote

import psycopg2
import pytest

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import runs, spans
from leo_telemetry_pipeline.store.retention import partitions
from leo_telemetry_pipeline.store.server import access, migrations
from leo_telemetry_pipeline.store.server.database import Database, outside, prepare_for_dagster
from leo_telemetry_pipeline_tests.builders import configure, execute, midnight, one, slow, span, with_newer_columns
from leo_telemetry_pipeline_tests.lints import LINTS, WRONG
from leo_telemetry_pipeline_tests.roles import API, NOBODY, OURS, as_owner, blocks, supabase_template
from leo_telemetry_pipeline_tests.schema_dump import earlier
from leo_telemetry_pipeline_tests.servers import DEBIAN, EMBEDDED, Server, as_role

pytestmark = pytest.mark.only_on(DEBIAN, EMBEDDED, reason="a pooler does not change privileges")

_numbers = count(1)
Row = tuple[str, str, str]
As = Callable[[str], Database]

# Every privilege on tables, columns, sequences, views and functions, by role, including PUBLIC.
PRIVILEGES = """
WITH relations AS (SELECT c.* FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace),
lists AS (
    SELECT c.relname::text AS name, c.relowner AS owner,
        coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS acl
    FROM relations AS c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL SELECT c.relname || '.' || a.attname, c.relowner, a.attacl
    FROM relations AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    UNION ALL SELECT p.proname, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
)
SELECT coalesce(r.rolname::text, 'PUBLIC'), l.name, e.privilege_type
FROM lists AS l CROSS JOIN LATERAL aclexplode(l.acl) AS e LEFT JOIN pg_roles AS r ON r.oid = e.grantee
WHERE e.grantee <> l.owner
"""
NAMES = (
    "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = ANY(%s::\"char\"[])"
)
CALLS = """
SELECT p.proname::text, format('SELECT public.%I(%s)', p.proname, (
    SELECT string_agg('NULL::' || t::regtype, ', ' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n)))
FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
"""
TABLES, VIEWS, SEQUENCES = list("rp"), list("v"), list("S")


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """Create a database like Supabase's for this test, with our tables and the grants of the guide."""
    name = f"hosted_{next(_numbers)}"
    server.administer(f"CREATE DATABASE {name} TEMPLATE {supabase_template(server)} OWNER leo_owner")
    try:
        yield name
    finally:
        server.administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def owner(server: Server, database: str) -> Iterator[Database]:
    """Open a connection as the owner, who is not a superuser."""
    with closing(Database(as_owner(server, database))) as connection:
        yield connection


@pytest.fixture
def as_(server: Server, database: str) -> Iterator[As]:
    """Return connections as one of the login roles, or as the superuser."""
    opened: list[Database] = []

    def connect(role: str) -> Database:
        url = server.direct_url(database)
        opened.append(Database(outside(url if role == "superuser" else as_role(url, role), "dagster")))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def found(database: Database) -> dict[str, list[str]]:
    """Return the findings of each lint that has any."""
    rows = {name: [str(row[0]) for row in database.rows(sql)] for name, sql in LINTS.items()}
    return {name: sorted(each) for name, each in rows.items() if each}


def new_partitions(owner: Database, writer: Database) -> list[str]:
    """Create a day's partition in each possible way: by a writer, and by moving a day out of the default partition."""
    days = [midnight(1), midnight(50)]
    spans.ensure_partitions(writer, days[0], days[0])
    spans.insert(owner, [span(at=days[1] + timedelta(hours=3))])
    assert partitions.move(owner, days[1].date()) == 1
    return [partitions.name_of(day.date()) for day in days]


def tried(superuser: Database, role: str, *statements: str) -> list[str]:
    """Return the outcome of each statement for a role: refused, done (with the number of rows), or the error."""
    ends = []
    with superuser.transaction() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        for statement in statements:
            cursor.execute("SAVEPOINT before")
            try:
                cursor.execute(statement)
                ends.append(f"done: {cursor.rowcount}")
            except psycopg2.errors.InsufficientPrivilege:
                ends.append("refused")
            except psycopg2.Error as error:
                ends.append(type(error).__name__)
            cursor.execute("ROLLBACK TO SAVEPOINT before")
    return ends


def test_each_lint_finds_its_violation(owner: Database):
    """Lost: a lint that never finds anything would pass unnoticed."""
    for _, wrong in WRONG.values():
        execute(owner, wrong)
    rows = found(owner)
    assert [name for name, (row, _) in WRONG.items() if row not in rows.get(name, [])] == []


def test_the_lints_find_nothing_before_and_after_a_new_partition(owner: Database, as_: As):
    """Lost: on Supabase, our tables are open to every browser, and the advisor shows fifty warnings."""
    assert found(owner) == {}
    names = new_partitions(owner, as_("leo_writer"))
    assert {name for (name,) in owner.rows(NAMES, (TABLES,))}.issuperset(names)
    assert found(owner) == {}


def granted(owner: Database) -> set[Row]:
    """Return the grants of the guide: role, object, privilege."""
    relations = {name for (name,) in owner.rows(NAMES, (TABLES + VIEWS,))}
    table = "workflow_trace_log"
    reads = ("trace_id", "span_id", "start_time_ms", "end_time_ms", "duration_ms", "queue_wait_ms")
    writes = ("end_time_ms", "duration_ms", "duration_rest_us", "queue_wait_ms", "status", "attributes")
    return {
        *(("leo_reader", name, "SELECT") for name in relations),
        ("leo_reader", "telemetry_effective_threshold", "EXECUTE"),
        *(("leo_writer", name, "INSERT") for name in (table, "telemetry_quarantine", "telemetry_drains")),
        *(("leo_writer", f"{table}.{column}", "SELECT") for column in reads),
        *(("leo_writer", f"{table}.{column}", "UPDATE") for column in writes),
        ("leo_writer", "ensure_trace_partitions", "EXECUTE"),
        ("leo_enqueuer", "enqueue_telemetry_analysis", "EXECUTE"),
    }


def test_each_role_has_what_the_guide_grants_it_and_no_other_role_has_anything(owner: Database, as_: As):
    """Lost: one table among many is open to everyone, who may read or even truncate it."""
    superuser = as_("superuser")
    execute(owner, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
    new_partitions(owner, as_("leo_writer"))
    expected = granted(owner)
    assert set(owner.rows(PRIVILEGES)) == expected
    # The server must enforce the same.
    attempts = attempts_at_everything(owner)
    for role in (*OURS, *API, NOBODY):
        ends = tried(superuser, role, *(statement for _, _, statement in attempts))
        may = {attempt for attempt, end in zip(attempts, ends, strict=True) if end != "refused"}
        assert may == {
            attempt for attempt in attempts if role == "leo_owner" or (role, attempt[0], attempt[1]) in expected
        }, role


def attempts_at_everything(owner: Database) -> list[Row]:
    """Return statements that each need one privilege on one object: object, privilege, statement."""
    on_tables = {
        "SELECT": "SELECT * FROM {}",
        "INSERT": "INSERT INTO {} DEFAULT VALUES",
        "DELETE": "DELETE FROM {}",
        "TRUNCATE": "TRUNCATE {}",
    }
    tables, views, sequences = ([name for (name,) in owner.rows(NAMES, (kind,))] for kind in (TABLES, VIEWS, SEQUENCES))
    return [
        *((name, privilege, sql.format(name)) for name in tables for privilege, sql in on_tables.items()),
        *((name, "SELECT", f"SELECT * FROM {name}") for name in views),
        *((name, "USAGE", f"SELECT nextval('{name}')") for name in sequences),
        *((name, "EXECUTE", call) for name, call in owner.rows(CALLS)),
    ]


def test_a_later_grant_to_a_browser_key_neither_shows_nor_accepts_rows(owner: Database, as_: As):
    """Lost: one GRANT on all tables of the schema, as web guides advise, and every span is public."""
    superuser = as_("superuser")
    slow(owner, "A")
    execute(owner, "GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated, PUBLIC")
    relations = [name for (name,) in superuser.rows(NAMES, (TABLES + VIEWS,))]
    for role in ("anon", "authenticated"):
        assert set(tried(superuser, role, *(f"SELECT FROM {name}" for name in relations))) <= {"done: 0", "refused"}
        assert tried(
            superuser,
            role,
            "SELECT FROM workflow_trace_log",
            "SELECT FROM telemetry_thresholds",
            "DELETE FROM workflow_trace_log",
            "UPDATE telemetry_thresholds SET multiplier = 9",
            "INSERT INTO telemetry_thresholds (dimension_type) VALUES ('x')",
        ) == ["done: 0"] * 4 + ["refused"]
    assert tried(superuser, "leo_reader", "SELECT FROM workflow_trace_log") == ["done: 10"]


def test_the_doctor_reports_objects_that_are_open_to_others(owner: Database):
    """Lost: tables that a GRANT on all tables opened stay open, and nobody learns of it."""
    assert access.open_to_strangers(owner) == {}
    execute(owner, "CREATE TABLE theirs (id int); CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1")
    assert access.open_to_strangers(owner) == {}
    execute(owner, "GRANT SELECT (span_name) ON workflow_trace_log TO anon; GRANT SELECT ON p50_by_gate TO PUBLIC")
    assert access.open_to_strangers(owner) == {"PUBLIC": ["p50_by_gate"], "anon": ["workflow_trace_log"]}
    for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        execute(owner, f"GRANT ALL ON ALL {kind} IN SCHEMA public TO authenticated")
    every = {name for (name,) in owner.rows(NAMES, (TABLES + VIEWS + SEQUENCES,))} | {
        name for name, _ in owner.rows(CALLS)
    }
    assert set(access.open_to_strangers(owner)["authenticated"]) == every - {"theirs", "f"}


# What was open in early versions, by default privileges and by grants of that time.
OPENED = """
GRANT SELECT (span_name) ON workflow_trace_log TO anon, PUBLIC;
GRANT ALL ON telemetry_thresholds TO authenticated WITH GRANT OPTION;
GRANT INSERT ON workflow_trace_log, telemetry_quarantine TO leo_writer;
GRANT EXECUTE ON FUNCTION ensure_trace_partitions TO leo_writer;
GRANT EXECUTE ON FUNCTION enqueue_telemetry_analysis TO leo_enqueuer;
GRANT SELECT ON p50_by_gate, telemetry_thresholds TO leo_nobody;
"""


def test_carrying_over_an_early_unreleased_version_closes_what_was_open_and_keeps_what_was_granted(
    owner: Database, as_: As, server: Server, database: str
):
    """Lost: programs are locked out, or browsers are not."""
    target = as_owner(server, database)
    fresh = state(owner)
    owner.close()
    migrations.migrate(target, "base")
    # The default privileges of such a database open everything.
    execute(owner, f"DROP TABLE alembic_version; {earlier('0002')} {OPENED}")
    spans.ensure_partitions(owner, midnight(3), midnight(3))
    with with_newer_columns(owner):
        slow(owner, "A")
    assert len(found(owner)["0013_rls_disabled_in_public"]) > 10
    migrations.migrate(target, carry_over=True)
    assert found(owner) == {}
    assert state(owner) - fresh == {row for row in state(owner) if row[0].startswith("workflow_trace_log_2")}
    kept = {
        ("leo_writer", "workflow_trace_log", "INSERT"), ("leo_writer", "telemetry_quarantine", "INSERT"),
        ("leo_writer", "ensure_trace_partitions", "EXECUTE"),
        ("leo_enqueuer", "enqueue_telemetry_analysis", "EXECUTE"),
        (NOBODY, "p50_by_gate", "SELECT"), (NOBODY, "telemetry_thresholds", "SELECT"),
    }  # fmt: skip
    # The reader's privileges come from the default privileges that the guide grants it.
    assert {row for row in owner.rows(PRIVILEGES) if row[0] != "leo_reader"} == kept
    execute(owner, blocks()[1])
    assert granted(owner) <= set(owner.rows(PRIVILEGES))
    assert spans.store(as_("leo_writer"), [span(duration_ms=None)]) == spans.Stored(1, 0)
    assert runs.enqueue(as_("leo_enqueuer"))[1] == "ENQUEUED"
    assert one(as_("leo_reader"), "SELECT count(*) FROM workflow_trace_log") == 11


# A user's views on top of ours, nested, in their own schema.
BOARDS = """
CREATE SCHEMA boards;
GRANT USAGE ON SCHEMA boards TO PUBLIC;
CREATE VIEW boards.phases AS SELECT * FROM p50_by_phase;
CREATE VIEW boards.slow_phases AS SELECT * FROM boards.phases WHERE p50_ms > 0;
CREATE VIEW boards.thresholds AS SELECT * FROM telemetry_effective_thresholds;
CREATE MATERIALIZED VIEW boards.stored AS SELECT * FROM p50_by_phase;
GRANT SELECT ON boards.slow_phases TO leo_nobody, anon, service_role;
GRANT SELECT (dimension_key) ON boards.thresholds TO leo_enqueuer, leo_writer;
GRANT SELECT ON telemetry_thresholds, telemetry_baselines TO leo_enqueuer;
GRANT SELECT ON boards.stored TO leo_writer;
GRANT SELECT ON boards.phases TO PUBLIC;
"""


def test_carrying_over_the_last_unreleased_version_keeps_every_grant_and_every_view_of_a_user(
    owner: Database, as_: As, server: Server, database: str
):
    """Lost: every dashboard on a view that a user built on top of ours."""
    target = as_owner(server, database)
    configure(owner, "gate", "old", 5, 2)
    spans.ensure_partitions(owner, midnight(3), midnight(3))
    # That version had the same tables, functions and views: see test_carry_over.
    execute(owner, f"UPDATE alembic_version SET version_num = '0007'; {BOARDS}")
    execute(owner, "GRANT SELECT ON workflow_trace_log TO authenticated; GRANT SELECT ON p50_by_gate TO PUBLIC")
    privileges, had = set(owner.rows(PRIVILEGES)), state(owner)
    superuser = as_("superuser")
    reads = {
        NOBODY: ["SELECT * FROM boards.slow_phases", "SELECT * FROM boards.phases"],
        "leo_reader": ["SELECT * FROM boards.thresholds", "SELECT * FROM telemetry_effective_thresholds"],
        "leo_enqueuer": ["SELECT dimension_key FROM boards.thresholds"],
        "leo_writer": ["SELECT * FROM boards.stored", "SELECT dimension_key FROM boards.thresholds"],
    }
    before = {role: tried(superuser, role, *statements) for role, statements in reads.items()}
    migrations.migrate(target, carry_over=True)
    assert {role: tried(superuser, role, *statements) for role, statements in reads.items()} == before
    assert before["leo_writer"] == ["done: 0", "refused"]
    assert set(owner.rows(PRIVILEGES)) == privileges
    assert state(owner) == had


STATE = """
SELECT c.relname::text, c.relrowsecurity::text, c.reloptions::text,
    ARRAY(SELECT p.polname || pg_get_expr(p.polqual, p.polrelid) FROM pg_policy AS p WHERE p.polrelid = c.oid)::text
FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT p.oid::regprocedure::text, p.prosecdef::text, p.proconfig::text, md5(p.prosrc)
FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
"""


def state(database: Database) -> set[tuple]:
    """Return owner, options and privileges of tables, views and functions."""
    return set(database.rows(STATE))


def test_dagsters_schema_is_closed_too(owner: Database, server: Server, database: str):
    """Lost: Dagster's runs and logs are open to every role with default privileges on all schemas."""
    execute(
        owner,
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon;"
        " ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon, service_role, PUBLIC",
    )
    for _ in range(2):
        prepare_for_dagster(as_owner(server, database), "dagster")
    may_use = "SELECT has_schema_privilege(%s, 'dagster', 'USAGE')"
    assert [role for role in (*API, NOBODY, "leo_owner") if one(owner, may_use, (role,))] == ["leo_owner"]


def test_a_schema_that_is_open_by_default_is_refused_for_dagster(server: Server, database: str):
    """Lost: Dagster's tables are in public, where every browser may write them."""
    target = outside(as_role(server.direct_url(database), "leo_owner"), "public")
    with pytest.raises(UserError, match="to anon, authenticated: set LEO_TELEMETRY_DAGSTER_SCHEMA") as raised:
        prepare_for_dagster(target, "public")
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("role", ["John.Doe", "Owner", "john@example.com", "a\"b' c"])
def test_any_name_of_a_database_user_works(server: Server, role: str):
    """Lost: for a database user called John.Doe, every command that prepares Dagster fails with a page of SQL."""
    name, quoted = f"owned_{next(_numbers)}", '"' + role.replace('"', '""') + '"'
    server.administer(f"CREATE ROLE {quoted} LOGIN PASSWORD 'pw'")
    server.administer(f"CREATE DATABASE {name} OWNER {quoted}")
    try:
        target = outside(as_role(server.direct_url(name), quote(role, safe="")), "dagster")
        with closing(Database(target)) as database:
            # The first schema of the default search_path, so our tables are created there.
            execute(database, f"CREATE SCHEMA {quoted}")
        prepare_for_dagster(target, "dagster")
        migrations.migrate(target)
    finally:
        server.administer(f"DROP DATABASE {name} WITH (FORCE)")
        server.administer(f"DROP ROLE {quoted}")
