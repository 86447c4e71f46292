"""Behind pgbouncer in transaction mode, with one server connection for all clients."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.spool.spool import Spool, folder_of
from leo_telemetry_pipeline.store import runs, spans, spool_drain
from leo_telemetry_pipeline.store.server import dagster_home
from leo_telemetry_pipeline.store.server.database import Database, Target, outside, prepare_for_dagster
from leo_telemetry_pipeline.store.sink import connect
from leo_telemetry_pipeline.tracing.tracer import Tracer
from leo_telemetry_pipeline.web.receiver.app import build_app
from leo_telemetry_pipeline.writer.writer import Writer
from leo_telemetry_pipeline_tests.builders import midnight, one, queued, row, span, spans_of
from leo_telemetry_pipeline_tests.draining import drain
from leo_telemetry_pipeline_tests.processes import command, environment, finished, has_line, until
from leo_telemetry_pipeline_tests.receiver_client import COUNT, as_json, serving
from leo_telemetry_pipeline_tests.servers import POOLER, Server

only_the_pooler = pytest.mark.only_on(POOLER, reason="about the behaviour of a pooler")


def direct(server: Server, database_url: str) -> str:
    """Return the address of the same database past the pooler."""
    return server.direct_url(outside(database_url, "dagster").dsn.partition("dbname=")[2].split()[0])


@only_the_pooler
def test_settings_of_a_transaction_end_with_it(db: Database, database_url: str):
    """Lost: the next program on the same server connection would inherit our time limits or time zone."""
    with closing(psycopg2.connect(database_url)) as other:
        other.autocommit = True
        with other.cursor() as cursor:
            names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")

            def settings() -> list[str]:
                found = []
                for name in names:
                    cursor.execute(f"SHOW {name}")
                    found.append((cursor.fetchone() or ("",))[0])
                cursor.execute("SELECT pg_backend_pid()")
                return [*found, (cursor.fetchone() or ("",))[0]]

            before = settings()
            with db.transaction(seconds=7) as mine:
                mine.execute("SELECT current_setting('statement_timeout'), pg_backend_pid()")
                assert mine.fetchone() == ("7s", before[-1])
            assert settings() == before


@only_the_pooler
def test_a_statement_is_cancelled_through_the_pooler(db: Database):
    """Lost: a run that lost its row goes on until its statement ends."""
    began = threading.Event()

    def ask() -> str:
        try:
            with db.transaction() as cursor:
                began.set()
                cursor.execute("SELECT pg_sleep(60)")
        except psycopg2.errors.QueryCanceled:
            return "cancelled"
        return "slept"

    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask)
        assert began.wait(10)
        until(lambda: db.cancel() or asked.done(), "the statement ends")
        assert asked.result() == "cancelled"
    assert one(db, "SELECT 1") == 1


def test_many_concurrent_writers_lose_nothing(settings: Settings, target: Target, db: Database):
    """Lost: spans of a program that waits for the connection."""
    settings.home.mkdir(mode=0o700)
    folders = [folder_of(str(settings.home)), *(str(settings.home / f"spool{number}") for number in range(4))]
    Spool(folders[0], 1 << 28).write(spans_of("gate", "spooled", [5] * 3_000), {}, sync=False)

    def trace(folder: str) -> dict:
        writer = Writer(lambda: connect(settings), folder=folder)
        try:
            tracer = Tracer(writer)
            for _ in range(3_000):
                with tracer.gate("traced"):
                    pass
            assert writer.flush(60)
        finally:
            writer.close()
        return writer.counters()

    async def post() -> None:
        async with serving(build_app(settings, target)) as client:
            answers = await asyncio.gather(*(client.post(as_json(1 + 100 * number, 100)) for number in range(30)))
            assert {answer.status for answer in answers} == {200}

    with ThreadPoolExecutor(6) as threads, closing(Database(target)) as draining:
        traced = [threads.submit(trace, folder) for folder in folders[1:]]
        others = [
            threads.submit(spool_drain.drain, draining, settings.home, "TEST"),
            threads.submit(lambda: asyncio.run(post())),
        ]
        assert [done.result()["dropped"] for done in traced] == [{}] * 4
        for done in others:
            done.result()
    # Writers that waited too long spooled their spans.
    for folder in folders:
        drain(folder, lambda found, removed: spans.store(db, found, removed), note=lambda done: None)
    assert one(db, COUNT) == 18_000


@only_the_pooler
def test_a_run_beats_while_its_own_statements_take_turns(db: Database, target: Target):
    """Lost: the heartbeat, which waits for the run's own statements if both share one connection."""
    run_id = queued(db)
    assert runs.claim(db, run_id, "mine", 900)[0] == "CLAIMED"
    before = row(db, run_id).heartbeat_at
    with closing(Database(target)) as beating, ThreadPoolExecutor(1) as threads:
        with db.transaction() as cursor:
            cursor.execute("SELECT pg_sleep(0.2)")
            beat = threads.submit(runs.beat, beating, run_id, "mine")
            cursor.execute("SELECT pg_sleep(0.2)")
        assert beat.result(30) == "RUNNING"
    assert row(db, run_id).heartbeat_at > before  # type: ignore[operator]


@only_the_pooler
def test_without_a_direct_address_the_missing_variable_is_named(database_url: str):
    """Lost: an hour over a page of SQLAlchemy errors."""
    with pytest.raises(UserError) as raised:
        prepare_for_dagster(outside(database_url, "dagster"), "dagster")
    assert raised.value.exit_code == NO_DATABASE
    assert PREFIX + "DAGSTER_DATABASE_URL" in raised.value.message
    assert "\n" not in raised.value.message


def test_dagsters_tables_may_have_an_address_of_their_own(server: Server, database_url: str, db: Database):
    """Lost: Dagster could not be used behind a transaction pooler."""
    target = outside(database_url, "theirs", direct(server, database_url))
    prepare_for_dagster(target, "theirs")
    assert not dagster_home.has_tables(target)
    assert db.rows("SELECT count(*) FROM pg_namespace WHERE nspname = 'theirs'") == [(1,)]


def test_a_wrong_address_for_dagster_is_named(database_url: str):
    """Lost: nobody learns which of the two addresses is wrong."""
    variable = PREFIX + "DAGSTER_DATABASE_URL"
    with pytest.raises(UserError, match=variable):
        outside(database_url, "dagster", "mysql://somewhere/else")
    nowhere = outside(database_url, "dagster", "postgresql://leo@127.0.0.1:1/none")
    with pytest.raises(UserError, match=variable) as raised:
        prepare_for_dagster(nowhere, "dagster")
    assert "127.0.0.1:1/none does not answer" in raised.value.message


@only_the_pooler
def test_the_commands_work_through_a_pooler(server: Server, empty_database_url: str, home: Path, tmp_path: Path):
    """Lost: every command, for users with a pooler."""
    pooled = environment(home, LEO_TELEMETRY_DATABASE_URL=empty_database_url)
    has_line(finished(command("migrate"), pooled), PREFIX + "DAGSTER_DATABASE_URL")
    both = pooled | {PREFIX + "DAGSTER_DATABASE_URL": direct(server, empty_database_url)}
    file = tmp_path / "spans.jsonl"
    made = [span("gate", "A", 100, at=midnight(1)) for _ in range(20)]
    columns = ("trace_id", "span_id", "span_type", "span_name", "start_time_ms", "duration_ms")
    file.write_text("".join(json.dumps({name: getattr(each, name) for name in columns}) + "\n" for each in made))
    for line in (["migrate"], ["import", str(file)], ["analyze"], ["findings"]):
        done = finished(command(*line), both)
        assert done.code == 0, done
    assert "20 traces" in done.out
