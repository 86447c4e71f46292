"""`make demo` finds what was planted, today and on later days, and touches none of its user's data.

The days are moved by moving the database's clock, the only clock that the rules read.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leo_telemetry_pipeline import execution
from leo_telemetry_pipeline.cli import demo
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import items, runs
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import schema_dump
from leo_telemetry_pipeline_tests.builders import execute, insert, one, row, span, with_newer_columns
from leo_telemetry_pipeline_tests.libpq_variables import NONSENSE
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, Done, environment, run

LATER_DAYS = range(1, 11)

# Keeps the database running, with the clock that its environment sets, until it gets a signal.
KEEPER = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server import database
with database.opened(Settings()):
    print(os.getpid(), flush=True)
    signal.sigwait({signal.SIGTERM})
"""


@contextmanager
def database_on_day(home: Path, day: int) -> Iterator[None]:
    """Run the home's database with a clock that is some days ahead."""
    command = ["faketime", "-f", f"+{day}d", sys.executable, "-P", "-c", KEEPER]
    with subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True, cwd="/") as faketime:
        assert faketime.stdout is not None
        keeper = faketime.stdout.readline().strip()
        assert keeper.isdigit(), "the database did not start"
        try:
            yield
        finally:
            # Signal the keeper, not faketime: at its exit, faketime removes shared memory that a later one with the
            # same number needs.
            os.kill(int(keeper), signal.SIGTERM)
            assert faketime.wait(PATIENCE_S) == 0


PLANTED = {"gate:GATE_PRD_REQUIRED", "subagent:DESIGN", "gate+sd_type:GATE_TEST_COVERAGE:refactor"}


def name(one: dict) -> str:
    """Return the dimension of an item or bottleneck as text."""
    return f"{one['dimension_type']}:{one['dimension_key']}"


def said(home: Path, *words: str) -> Any:
    """Return the JSON output of a command in the demo's home."""
    done = run(home / "demo", *words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def check(home: Path, midnight: datetime) -> None:
    """Compare the output of commands in the demo's home with what was planted."""
    items = [one["source_detail"] for one in said(home, "items") if one["status"] == "OPEN"]
    compare(home, midnight, items, said(home, "findings")["last_analysis"]["bottlenecks"])


def compare(home: Path, midnight: datetime, items: Sequence[dict], bottlenecks: Sequence[dict]) -> None:
    """Compare items and bottlenecks with what was planted, computed from the spans by plain Python."""
    planned = json.loads((home / "demo" / "manifest.json").read_text())
    assert planned["generated"] == midnight.isoformat()
    planted = planned["planted"]
    slowed_by = {name(slow): name(one) for one in planted for slow in one["slows"]}
    assert sorted(name(one) for one in items) == sorted(PLANTED) == sorted(name(one) for one in planted), midnight
    for item in items:
        # A gate that is slower for half of its SD types has a P50 between two modes, and so may hide in noise.
        assert item["members"] or item["dimension_type"] == "gate+sd_type", (midnight, name(item))
        for member in item["members"]:
            assert slowed_by.get(name(member)) == name(item), (midnight, name(member))
    found = {name(one) for one in bottlenecks}
    assert found <= set(slowed_by), midnight
    assert found >= PLANTED, midnight
    assert found == {name(one) for item in items for one in (item, *item["members"])}, midnight


def today() -> datetime:
    """Return the last UTC midnight."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def shown(short_folder: Path) -> tuple[Path, Done]:
    """Run the demo with variables for databases of its user; return the real home and the output."""
    home = short_folder / "shown"
    theirs = NONSENSE | {"DAGSTER_MODULE_NAME": "theirs", "DAGSTER_HOME": "/nowhere"}
    done = run(home, "demo", LEO_TELEMETRY_DATABASE_URL="postgresql://nobody@127.0.0.1:1/production", **theirs)
    return home, done


def test_the_demo_ignores_the_databases_that_its_user_works_with(shown: tuple[Path, Done]) -> None:
    """Lost: with PGPASSWORD exported, the first command fails, or writes generated spans into a production database."""
    home, done = shown
    assert done.code == 0, done.err
    check(home, today())


def test_the_demo_finds_exactly_what_was_planted_and_leaves_the_real_home_alone(shown: tuple[Path, Done]) -> None:
    """Lost: a new user's first output would be wrong, or sample data would be mixed into their own."""
    home, done = shown
    assert "WORKFLOW TELEMETRY" in done.out
    assert "3 improvement item(s) are open" in done.out
    assert "exactly the 3 slowdowns that were planted" in done.out
    assert "directives show SD-LEO-FIX-PERF-SUBAGENT-DESIGN-001" in done.out
    # Noise and the day of the week decide the last digit.
    assert re.search(r"\[high\] Slow: subagent:DESIGN is 3\.[3-8]x its baseline", done.out)
    assert "leo-telemetry alerts retry" in done.out
    again = run(home, "demo")
    assert again.code == 0, again.err
    assert "from an earlier run today" in again.out
    check(home, today())
    real = run(home, "findings")
    assert real.out.endswith("  No workflow telemetry analysis available yet\n")


def analysed_here(home: Path, midnight: datetime) -> None:
    """Do what the demo does in this process, without a daemon, and compare the findings with what was planted."""
    settings = Settings({PREFIX + "HOME": str(home / "demo")})
    with database.ready(settings) as target, closing(Database(target)) as db:
        demo.load(db, settings.home)
        run_id, _, _ = runs.enqueue(db)
        with execution.instance(target, settings) as instance:
            assert execution.execute_queued(instance, target, lambda: None) == 1
        done = row(db, run_id)
        assert done.status == "SUCCEEDED"
        assert done.output_ref is not None
        open_items = [item.source_detail for item in items.all_items(db) if item.is_active]
        compare(home, midnight, open_items, done.output_ref["bottlenecks"])


@pytest.mark.skipif(
    shutil.which("faketime") is None and not os.environ.get("CI"), reason="faketime moves the clock: install it"
)
def test_the_demo_finds_what_was_planted_on_ten_later_days_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the demo would only work on some days."""
    for day in LATER_DAYS:
        with database_on_day(home / "demo", day):
            # The command runs once; it does the same on each day, and half of its time is the start of its daemon.
            if day == LATER_DAYS[0]:
                done = run(home, "demo")
                assert done.code == 0, done.err
                check(home, today() + timedelta(days=day))
            else:
                analysed_here(home, today() + timedelta(days=day))
                assert "replacing the generated history of an earlier day" in capsys.readouterr().out


def test_a_demo_of_an_unreleased_version_is_created_again_unless_it_has_spans_of_its_users(home: Path) -> None:
    """Lost: `make demo` after an upgrade, or spans that a user stored in the demo's home."""
    settings = Settings({PREFIX + "HOME": str(home / "demo")})
    manifest = settings.home / "manifest.json"
    with database.opened(settings) as target, closing(Database(target)) as db:
        execute(db, schema_dump.earlier("0007"))
        with with_newer_columns(db):
            demo.load(db, settings.home)
            insert(db, [span(project="mine")])
        db.close()
        refused = r"has 1 span.*HOME=.*/demo leo-telemetry migrate --carry-over` first"
        with pytest.raises(UserError, match=refused) as told:
            demo.replace_unreleased(target, settings.home)
        assert "\n" not in told.value.message
        assert manifest.exists()
        execute(db, "DELETE FROM workflow_trace_log WHERE project = 'mine'")
        db.close()
        demo.replace_unreleased(target, settings.home)
        assert not manifest.exists()
        with database.ready(settings):
            assert one(db, "SELECT count(*) FROM workflow_trace_log") == 0
            # A demo of the current version is left alone.
            demo.load(db, settings.home)
            demo.replace_unreleased(target, settings.home)
            assert one(db, "SELECT count(*) FROM workflow_trace_log") > 10_000
