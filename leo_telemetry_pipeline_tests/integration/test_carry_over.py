"""Databases of unreleased versions are refused in one line, with a command that carries over every row."""

import re
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET
from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.history.histograms import MEDIAN
from leo_telemetry_pipeline.store.server import database, migrations
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline_tests import schema_dump
from leo_telemetry_pipeline_tests.builders import (
    NOON,
    analyse_queued,
    configure,
    execute,
    insert,
    midnight,
    one,
    slow,
    span,
    succeeded,
    with_newer_columns,
)  # fmt: skip
from leo_telemetry_pipeline_tests.processes import command, environment, finished
from leo_telemetry_pipeline_tests.servers import DEBIAN, EMBEDDED, Server

QUARANTINE = "INSERT INTO telemetry_quarantine (source, line, reason, content, content_hash) VALUES (%s, 1, '', '', '')"
ITEM = "INSERT INTO continuous_improvements (fingerprint, title, description) VALUES ('f', 'mine', '')"


@pytest.fixture
def old(request: pytest.FixtureRequest, empty_database_url: str) -> str:
    """Return the address of a database of an earlier version."""
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(schema_dump.earlier(request.param))
    return empty_database_url


def columns(db: Database) -> dict[str, str]:
    """Return the columns of each non-empty table, except Alembic's own."""
    found = db.rows(
        "SELECT c.relname, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)"
        " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        # The status of an item says what its resolution said.
        " AND a.attname <> 'resolution'"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'"
        " GROUP BY 1"
    )
    return {table: names for table, names in found if one(db, f"SELECT EXISTS (SELECT FROM {table})")}


def contents(db: Database, of: dict[str, str]) -> dict[str, list[str]]:
    """Return all rows of some tables as text, in a stable order."""
    return {
        table: [row for (row,) in db.rows(f"SELECT s::text FROM (SELECT {names} FROM {table}) AS s ORDER BY 1")]
        for table, names in of.items()
    }


@pytest.mark.only_on(DEBIAN, EMBEDDED, reason="a pooler does not change the schema")
@pytest.mark.parametrize("old", schema_dump.EARLIER, indirect=True)
def test_a_carried_over_database_has_the_schema_of_a_migrated_empty_one(old: str):
    """Lost: leftover objects of an old version make statements fail years later."""
    migrations.migrate(outside(old, "dagster"), carry_over=True)
    assert schema_dump.dump(old) == schema_dump.REFERENCE.read_text(encoding="utf-8")


ZEROS = """
INSERT INTO duration_histograms (day, dimension_type, dimension_key, project, part, count, sum_ms, min_ms, max_ms,
                                 buckets, counts)
VALUES (current_date - 1, 'gate', 'A', '', 1, 5, 8, 0, 5, '{-1, 0, 323}', '{3, 1, 1}')
"""


@pytest.mark.only_on(EMBEDDED, reason="numbers of buckets are the same on every server")
@pytest.mark.parametrize("old", ["0001_schema"], indirect=True)
def test_durations_of_0_ms_stay_0_ms_in_history_that_was_counted_in_whole_ms(old: str):
    """Lost: three of five spans that took 0 ms would take 1 ms, in history whose spans are gone."""
    target = outside(old, "dagster")
    with closing(Database(target)) as db:
        execute(db, ZEROS)
        migrations.migrate(target)
        [row] = db.rows(f"SELECT buckets, counts, min_ms, fine_count, {MEDIAN} FROM duration_histograms")
    assert row == ([ZERO_BUCKET, 0, 323], [3, 1, 1], 0.0, 0, 0.0)


@pytest.mark.parametrize("old", [*filter(migrations.is_unreleased, schema_dump.EARLIER)], indirect=True)
def test_every_row_is_carried_over_and_an_analysis_runs_on_them(
    old: str, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Lost: weeks of spans of everyone who used the program before its first release."""
    monkeypatch.setenv(PREFIX + "DATABASE_URL", old)
    direct = server.direct_url(parse_dsn(old)["dbname"])
    environ = environment(home, **{PREFIX + "DATABASE_URL": old, PREFIX + "DAGSTER_DATABASE_URL": direct})
    with closing(Database(outside(old, "dagster"))) as db:
        spans.ensure_partitions(db, NOON, NOON)
        with with_newer_columns(db):
            slow(db, "A", "B", attributes={"sd_type": "feature"})
            # Two spans for the default partition: one before the retained days, and one without an end.
            insert(db, [span(at=midnight(400)), span(duration_ms=None, at=midnight(399))])
        configure(db, "gate", None, None, 3)
        execute(db, QUARANTINE, ("file",))
        execute(db, ITEM)
        succeeded(db)
        of = columns(db)
        before = contents(db, of)
        assert {"workflow_trace_log_default", spans_of_noon(), "telemetry_analysis_runs"} < of.keys()
        options = refused_with(environ)
        assert contents(db, columns(db)) == before
        db.close()
        done = finished(command("migrate", *options), environ)
        assert (done.code, done.err) == (0, "")
        assert f"to version {migrations.newest()}." in done.out
        assert contents(db, of) == before
        # The command can be repeated without effect.
        assert "is up to date" in finished(command("migrate", *options), environ).out
        assert contents(db, of) == before
        run = analyse_queued(db)
        assert (run.status, run.error_detail) == ("SUCCEEDED", None)
        assert one(db, "SELECT outcome FROM current_p50 WHERE dimension_key = 'A'") == "bottleneck"


def spans_of_noon() -> str:
    """Return the partition of the spans of two days ago."""
    return f"workflow_trace_log_{NOON:%Y%m%d}"


def refused_with(environ: dict[str, str]) -> list[str]:
    """Assert that commands refuse with the same line, and return the options of the `migrate` that it names."""
    with pytest.raises(UserError) as raised, database.ready(Settings(environ)):
        pass
    for words in (("migrate",), ("analyze", "--dry-run")):
        done = finished(command(*words), environ)
        assert (done.code, done.out) == (NO_DATABASE, "")
        assert done.err == f"leo-telemetry: {raised.value.message}\n"
    named = re.search("`leo-telemetry migrate (.*?)`", raised.value.message)
    assert named
    return named[1].split()
