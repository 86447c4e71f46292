"""The sample program with a slow gate: its spans arrive, and the edit of one line makes the gate fast."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline.actions import directive_steps
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import items
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import analyse, configure, row_of
from leo_telemetry_pipeline_tests.in_process import say

pytestmark = pytest.mark.usefixtures("settings")

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "slow_workflow" / "workflow.py"
SLOW, FIXED = "LOADS_PER_GATE = len(DOCUMENTS)", "LOADS_PER_GATE = 1"
GATE = "GATE_REQUIREMENTS"


def ran(program: Path, handoffs: int) -> None:
    """Run the program with its spans stored in the test's database; it must succeed."""
    done = subprocess.run(
        [sys.executable, str(program), str(handoffs)],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=processes.PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{5 * handoffs} spans: ")
    # On a busy machine, some spans wait on disk.
    say("drain")


def durations(db: Database) -> list[int]:
    """Return the durations of the slow gate in ms, in the order in which they were stored."""
    rows = db.rows("SELECT duration_ms FROM workflow_trace_log WHERE span_name = %s ORDER BY start_time_ms", (GATE,))
    return [duration for (duration,) in rows]


def test_the_program_stores_its_spans_and_its_slow_gate_opens_an_item(db: Database):
    """Lost: a newcomer's first sample finds nothing."""
    ran(PROGRAM, 12)
    assert dict(db.rows("SELECT span_type, count(*) FROM workflow_trace_log GROUP BY 1")) == {
        "handoff": 12,
        "phase": 24,
        "gate": 24,
    }
    configure(db, "gate", GATE, 5, 2.0)
    run = row_of(db, analyse())
    assert run.status == "SUCCEEDED", run.error_detail
    [item] = items.all_items(db)
    assert item.dimension == ("gate", GATE)


def test_the_program_as_its_page_runs_it_gets_the_directive_that_the_page_names(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: the sample's reader approves a directive that does not exist."""
    page = (PROGRAM.parent / "README.md").read_text(encoding="utf-8")
    [[handoffs]] = [line.split()[2:3] for line in page.splitlines() if line.startswith("python examples/")]
    [settings] = [line.split()[1:] for line in page.splitlines() if line.startswith("export ")]
    for setting in settings:
        monkeypatch.setenv(*setting.split("="))
    ran(PROGRAM, int(handoffs))
    configure(db, "gate", GATE, 5, 2.0)
    analyse()
    [key] = directive_steps.follow(db, Settings()).drafted
    assert f"directives approve {key}" in page


def test_the_edit_of_one_line_makes_the_gate_fast(db: Database, tmp_path: Path):
    """Lost: the fix that the sample and its directive ask for has no effect."""
    source = PROGRAM.read_text(encoding="utf-8")
    assert source.count(SLOW) == 1
    edited = tmp_path / "workflow.py"
    edited.write_text(source.replace(SLOW, FIXED), encoding="utf-8")
    ran(PROGRAM, 5)
    ran(edited, 5)
    times = durations(db)
    assert min(times[:5]) >= 40
    assert min(times[5:]) < 40
