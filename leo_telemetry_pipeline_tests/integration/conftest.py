"""Fixtures that several features share: databases with counted days, a second connection, a receiver."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from typing import Any

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import dimensions
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.history import blocks, histograms
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.web.receiver.app import build_app
from leo_telemetry_pipeline_tests.builders import midnight
from leo_telemetry_pipeline_tests.conftest import made_once
from leo_telemetry_pipeline_tests.receiver_client import Client, Talk, serving
from leo_telemetry_pipeline_tests.servers import Server


@pytest.fixture
def template(request: pytest.FixtureRequest, server: Server, template: str) -> str:
    """Return the name of the template; with the marker counted_days, one whose empty days are already counted.

    Counting 90 days takes most of the time of a first analysis; the tests of history cover the counting.
    """
    if request.node.get_closest_marker("counted_days"):
        return made_once(server, "template_counted", template, _count_days)
    return template


def _count_days(target: Target) -> None:
    days = Window(midnight(97), midnight(-1)).days
    types = dimensions.types_to_judge([], [])
    with closing(Database(target)) as db:
        histograms.rebuild(db, days, types, [])
        blocks.make(db, days[0], days[-1], types)


@pytest.fixture
def other(target: Target) -> Iterator[Database]:
    """Open a second connection to the test's database."""
    with closing(Database(target)) as second:
        yield second


@pytest.fixture
def talk(settings: Settings, target: Target) -> Talk:
    """Run a conversation with a receiver that stores into the test's database."""
    settings.home.mkdir(mode=0o700)

    async def conversation(say: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        async with serving(build_app(settings, target)) as client:
            await say(client)

    return lambda say: asyncio.run(conversation(say))
