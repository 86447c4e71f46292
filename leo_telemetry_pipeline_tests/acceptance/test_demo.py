"""`make demo` finds what was planted, today and on later days, and touches nothing of its user's own.

The days are moved on the database's clock, which is the only clock that the rules ask.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leo_telemetry_pipeline.collect.manifest import manifest
from leo_telemetry_pipeline_tests.libpq_variables import NONSENSE
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, environment, run

LATER_DAYS = range(1, 11)

# Keeps the database running, with whatever clock its environment gives it, until it is told to end.
KEEPER = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import database
with database.opened(Settings()):
    print(os.getpid(), flush=True)
    signal.sigwait({signal.SIGTERM})
"""


@contextmanager
def database_on_day(home: Path, day: int) -> Iterator[None]:
    """Let the home's database believe that it is some days later."""
    command = ["faketime", "-f", f"+{day}d", sys.executable, "-P", "-c", KEEPER]
    with subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True, cwd="/") as faketime:
        assert faketime.stdout is not None
        keeper = faketime.stdout.readline().strip()
        assert keeper.isdigit(), "the database did not start"
        try:
            yield
        finally:
            # Not faketime itself: left to end, it removes what it shares, which would refuse another of its number.
            os.kill(int(keeper), signal.SIGTERM)
            assert faketime.wait(PATIENCE_S) == 0


PLANTED = {"gate:GATE_PRD_REQUIRED", "subagent:DESIGN", "gate+sd_type:GATE_TEST_COVERAGE:refactor"}


def name(one: dict) -> str:
    """Return the name of the dimension that something is about."""
    return f"{one['dimension_type']}:{one['dimension_key']}"


def said(home: Path, *words: str) -> Any:
    """Return what a command says about the demo's home, as data."""
    done = run(home / "demo", *words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def check(home: Path, midnight: datetime) -> None:
    """Compare items and bottlenecks with what was planted, worked out from the spans by plain Python."""
    planted = manifest(midnight)["planted"]
    slowed_by = {name(slow): name(one) for one in planted for slow in one["slows"]}
    items = [one["source_detail"] for one in said(home, "items") if one["status"] == "OPEN"]
    assert sorted(name(one) for one in items) == sorted(PLANTED) == sorted(name(one) for one in planted), midnight
    for item in items:
        # A gate of which one SD type in two is slower has a P50 between two modes, which may hide in its noise.
        assert item["members"] or item["dimension_type"] == "gate+sd_type", (midnight, name(item))
        for member in item["members"]:
            assert slowed_by.get(name(member)) == name(item), (midnight, name(member))
    bottlenecks = {name(one) for one in said(home, "findings")["last_analysis"]["bottlenecks"]}
    assert bottlenecks <= set(slowed_by), midnight
    assert bottlenecks >= PLANTED, midnight
    assert bottlenecks == {name(one) for item in items for one in (item, *item["members"])}, midnight


def today() -> datetime:
    """Return the last UTC midnight."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def test_the_demo_finds_exactly_what_was_planted_and_leaves_the_real_home_alone(home: Path) -> None:
    """Lost: the first thing a newcomer sees would be wrong, or mix sample data into their own."""
    done = run(home, "demo")
    assert done.code == 0, done.err
    check(home, today())
    assert "WORKFLOW TELEMETRY" in done.out
    assert "3 improvement item(s) are open" in done.out
    assert "exactly the 3 slowdowns that were planted" in done.out
    again = run(home, "demo")
    assert again.code == 0, again.err
    assert "from an earlier run today" in again.out
    check(home, today())
    real = run(home, "findings")
    assert real.out.endswith("  No workflow telemetry analysis available yet\n")


def test_the_demo_ignores_the_databases_that_its_user_works_with(home: Path) -> None:
    """Lost: the first command fails with PGPASSWORD exported, or writes generated spans into a production database."""
    theirs = NONSENSE | {"DAGSTER_MODULE_NAME": "theirs", "DAGSTER_HOME": "/nowhere"}
    done = run(home, "demo", LEO_TELEMETRY_DATABASE_URL="postgresql://nobody@127.0.0.1:1/production", **theirs)
    assert done.code == 0, done.err
    check(home, today())


@pytest.mark.skipif(
    shutil.which("faketime") is None and not os.environ.get("CI"), reason="faketime moves the clock: install it"
)
def test_the_demo_finds_what_was_planted_on_ten_later_days_too(home: Path) -> None:
    """Lost: the demo would work on the day it was written and embarrass its author ever after."""
    for day in LATER_DAYS:
        with database_on_day(home / "demo", day):
            done = run(home, "demo")
            assert done.code == 0, done.err
            assert day == LATER_DAYS[0] or "of an earlier day is replaced" in done.out
            check(home, today() + timedelta(days=day))
