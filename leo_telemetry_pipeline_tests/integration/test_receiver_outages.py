"""The receiver while its database or spool is unavailable: it keeps what it acknowledged."""

import asyncio
import json
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.web.receiver.app import build_app
from leo_telemetry_pipeline.web.receiver.span_keeper import Away, _Connection
from leo_telemetry_pipeline_tests.builders import one
from leo_telemetry_pipeline_tests.receiver_client import (
    COUNT,
    PROTOBUF,
    Client,
    Talk,
    as_json,
    as_protobuf,
    close_database,
    notices,
    serving,
    until,
)
from leo_telemetry_pipeline_tests.servers import Server


def test_while_the_database_is_away_spans_wait_on_disk(talk: Talk, settings: Settings, server: Server, target: Target):
    """Lost: everything sent while the database restarts."""
    folder = spool.folder_of(str(settings.home))

    async def say(client: Client) -> None:
        assert (await client.post(as_json(1))).status == 200
        close_database(server, target, closed=True)
        for first in (10, 20, 30):
            assert (await client.post(as_json(first, 2))).status == 200
        assert spool.usage(folder)[0] == 3
        ready = await client.ask("GET", "/readyz")
        assert (ready.status, json.loads(ready.body)["database"]) == (200, "away")
        assert await client.number("spans_spooled_total") == 6
        assert await client.number("database_up") == 0
        close_database(server, target, closed=False)
        await until(lambda: spool.usage(folder)[0] == 0)
        with closing(Database(target)) as db:
            assert one(db, COUNT) == 7
        await until(lambda: True)
        assert (await client.post(as_json(40))).status == 200

    talk(say)


def test_without_database_and_spool_nothing_is_acknowledged(
    talk: Talk, settings: Settings, server: Server, target: Target
):
    """Lost: spans are acknowledged with 200 but stored nowhere."""

    async def say(client: Client) -> None:
        Path(spool.folder_of(str(settings.home))).touch()
        close_database(server, target, closed=True)
        answer = await client.post(as_json())
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.ask("GET", "/readyz")).status == 503
        assert (await client.ask("GET", "/healthz")).status == 200
        close_database(server, target, closed=False)

    talk(say)


def test_a_hanging_database_does_not_delay_clients_for_long(talk: Talk, settings: Settings, db: Database):
    """Lost: every exporter waits until it gives up and drops its spans."""
    folder = spool.folder_of(str(settings.home))

    async def say(client: Client) -> None:
        assert (await client.post(as_json(1))).status == 200
        with db.transaction() as cursor:
            cursor.execute("LOCK TABLE workflow_trace_log")
            assert (await client.post(as_json(10))).status == 200
            assert (await client.post(as_protobuf(20), PROTOBUF)).status == 200
            assert spool.usage(folder)[0] == 2
        await until(lambda: one(db, COUNT) == 3)

    talk(say)


def test_spans_are_stored_in_the_database_although_the_spool_is_refused(
    talk: Talk, settings: Settings, db: Database, caplog: pytest.LogCaptureFixture
):
    """Lost: every span, although the database works, because others may write to the spool folder."""
    folder = Path(spool.folder_of(str(settings.home)))

    async def say(client: Client) -> None:
        spool.Spool(str(folder), settings.spool_bytes).write([])
        folder.chmod(0o777)
        await until(lambda: "could not be drained" in caplog.text)
        await asyncio.sleep(2.5)  # another attempt is not logged again
        assert caplog.text.count("could not be drained") == 1
        assert "is away" not in caplog.text
        assert (await client.post(as_json())).status == 200
        assert one(db, COUNT) == 1
        ready = await client.ask("GET", "/readyz")
        assert (ready.status, json.loads(ready.body)["database"]) == (200, "up")

    talk(say)


def test_a_database_that_comes_back_is_used_although_the_spool_is_refused(
    talk: Talk, settings: Settings, server: Server, target: Target
):
    """Lost: the receiver accepts nothing any more until somebody restarts it."""
    folder = Path(spool.folder_of(str(settings.home)))

    async def say(client: Client) -> None:
        spool.Spool(str(folder), settings.spool_bytes).write([])
        folder.chmod(0o777)
        close_database(server, target, closed=True)
        assert (await client.post(as_json(1))).status == 503
        assert (await client.ask("GET", "/readyz")).status == 503
        close_database(server, target, closed=False)
        give_up = time.monotonic() + 30
        while (await client.post(as_json(2))).status != 200:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.1)
        with closing(Database(target)) as db:
            assert one(db, COUNT) == 1

    talk(say)


def test_a_receiver_that_begins_without_its_database_finds_it(settings: Settings, server: Server, target: Target):
    """Lost: everything sent after the machine has started and before the database has."""
    settings.home.mkdir(mode=0o700)

    async def say() -> None:
        close_database(server, target, closed=True)
        async with serving(build_app(settings, target, away=True)) as client:
            assert (await client.post(as_json())).status == 200
            assert await client.number("spans_spooled_total") == 1
            close_database(server, target, closed=False)
            await until(lambda: spool.usage(spool.folder_of(str(settings.home)))[0] == 0)
            with closing(Database(target)) as db:
                assert one(db, COUNT) == 1

    asyncio.run(say())


def test_a_task_that_is_cancelled_ends_also_at_the_moment_of_an_answer(target: Target):
    """Lost: a receiver that is stopped while it drains its spool runs forever."""

    async def say(turns: int) -> bool:
        line, goes_on = _Connection(target, "test"), threading.Event()
        asked = asyncio.ensure_future(line.ask(lambda _: goes_on.wait(10)))
        await asyncio.sleep(0)
        goes_on.set()
        # The answer has come, and the event loop gets this many turns to deliver it.
        line._thread.submit(int).result()
        for _ in range(turns):
            await asyncio.sleep(0)
        in_time = asked.cancel()
        await asyncio.wait([asked])
        line.close()
        assert asked.cancelled() == in_time
        return in_time

    in_time = [asyncio.run(say(turns)) for turns in range(10)]
    assert in_time[0]
    assert not in_time[-1]


def test_a_connection_that_fails_on_close_counts_as_lost(target: Target, monkeypatch: pytest.MonkeyPatch):
    """Lost: the reconnecting task ends with a traceback, and the database stays unused."""

    def cut(database: Database) -> None:
        raise psycopg2.InterfaceError("connection already closed")

    monkeypatch.setattr(Database, "cut", cut)

    async def say() -> None:
        line = _Connection(target, "test")
        with pytest.raises(Away):
            await line.ask(lambda db: db.rows("SELECT pg_sleep(0.5)"), patience_s=0.1)
        line.close()

    asyncio.run(say())


def test_refusals_during_an_outage_are_counted_when_the_database_is_back(
    settings: Settings, server: Server, target: Target, db: Database
):
    """Lost: refusals during an outage go unnoticed."""
    settings.home.mkdir(mode=0o700)

    async def say() -> None:
        async with serving(build_app(settings, target, away=True)) as client:
            close_database(server, target, closed=True)
            for _ in range(3):
                assert (await client.post(as_json(1, name=""))).status == 200
            assert (await client.post(b"{}}")).status == 400
            close_database(server, target, closed=False)
            with closing(Database(target)) as again:
                await until(
                    lambda: notices(again) == {"name is missing or empty": 3, "400 not OTLP/JSON: unexpected byte": 1}
                )
                for _ in range(2):
                    assert (await client.post(as_json(2, name=""))).status == 200
        # The last notices are written at the end.
        with closing(Database(target)) as again:
            assert notices(again)["name is missing or empty"] == 5

    asyncio.run(say())
