"""``leo-telemetry maintain --recount``: history is counted again after changes that cannot be detected."""

import json
from datetime import timedelta

import pytest

from leo_telemetry_pipeline.cli import commands
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import DAY, execute, insert, midnight, span
from leo_telemetry_pipeline_tests.in_process import say

pytestmark = pytest.mark.usefixtures("settings")

NOON = midnight(5) + timedelta(hours=12)
DAYS = [(NOON + n * DAY).date() for n in range(3)]


def fill(db: Database) -> None:
    insert(db, [span("gate", "A", 100, at=NOON + n * DAY) for n in range(3)])
    histograms.rebuild(db, [*DAYS, midnight().date()], ["gate"], ["gate"])


def recount(*words: str) -> str:
    return say("maintain", "--recount", *words)


def durations(db: Database) -> list[float]:
    rows = db.rows("SELECT sum_ms FROM duration_histograms WHERE dimension_type = 'gate' ORDER BY day, part")
    return [sum_ms for (sum_ms,) in rows]


def test_a_duration_that_was_changed_in_the_table_is_counted_again(db: Database):
    """Lost: durations that were corrected by SQL stay wrong in history forever."""
    fill(db)
    execute(db, "UPDATE workflow_trace_log SET duration_ms = 700")
    printed = recount("--from", str(DAYS[1]), "--to", str(DAYS[1]))
    assert printed.splitlines()[0] == f"Recounted: 1 day(s), {DAYS[1]}"
    assert durations(db) == [100, 700, 100]
    assert recount().splitlines()[0] == f"Recounted: 3 day(s), {DAYS[0]} to {DAYS[2]} (3 days)"
    assert durations(db) == [700, 700, 700]


def test_a_dry_run_lists_the_days_and_counts_none(db: Database):
    """Lost: nobody dares to start a command that may take hours."""
    fill(db)
    execute(db, "UPDATE workflow_trace_log SET duration_ms = 700")
    assert recount("--dry-run").splitlines() == [
        "Dry run: this is what would be done.",
        f"Recounted: 3 day(s), {DAYS[0]} to {DAYS[2]} (3 days)",
    ]
    assert durations(db) == [100, 100, 100]
    assert json.loads(recount("--dry-run", "--json")) == {"dry_run": True, "days": [*map(str, DAYS)], "sealed": []}


def test_sealed_parts_stay_and_are_named(db: Database):
    """Lost: history of dropped spans; or the reason why a correction does not show."""
    fill(db)
    histograms.seal(db, DAYS[0])
    insert(db, [span("gate", "A", 5, at=NOON)])
    execute(db, "UPDATE workflow_trace_log SET duration_ms = 700")
    printed = recount()
    assert f"Sealed, so only spans that arrived later were recounted: 1 day(s), {DAYS[0]}." in printed
    assert durations(db) == [700, 100, 700, 700]


def test_nothing_to_count_is_reported(db: Database):
    """Lost: silence looks like success."""
    assert recount() == "Daily history has no day that has ended: nothing to recount.\n"


@pytest.mark.parametrize("words", [["--from", "2026-2-1"], ["--recount", "--to", "yesterday"], ["--to", "2026-02-30"]])
def test_wrong_arguments_are_refused_in_one_line(words: list[str]):
    """Lost: a typo recounts all days, or starts maintenance."""
    with pytest.raises(UserError) as refusal:
        commands.cli.main(["maintain", *words], standalone_mode=False)
    assert refusal.value.exit_code == 2
