"""Formatting of command output."""

from datetime import UTC, date, datetime

import pytest

from leo_telemetry_pipeline.actions.operations import RunningOperation
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.running import table_of
from leo_telemetry_pipeline.cli.spans import _named
from leo_telemetry_pipeline.store.retention.purge import Selection


def test_a_table_row_is_one_line() -> None:
    """Lost: a newline in a name adds rows."""
    assert text.table(("A", "B"), [("x\ny", "a\tb")]).splitlines() == ["A    B", "x y  a b"]


def test_text_cannot_control_the_terminal() -> None:
    """Lost: a span's name clears the screen, or reverses a line."""
    assert text.in_a_line("a\x1b[2Jb\x9bc\u202ed\u2028é 測") == "a [2Jb c d é 測"


def opened(number: int, name: str = "DESIGN") -> RunningOperation:
    """Return an operation in progress."""
    began = datetime(2026, 2, 9, tzinfo=UTC)
    return RunningOperation(
        span_type="subagent",
        span_name=name,
        started_at=began,
        open_s=60.0,
        silent_s=1.0,
        sd_id="SD-7",
        project="shop",
        host="box",
        pid=number,
    )


def test_long_names_of_operations_are_truncated() -> None:
    """Lost: one long name wraps every line of the table."""
    line = table_of([opened(1, "n" * 200)]).splitlines()[1]
    assert "subagent:" + "n" * 50 + "…  SD-7" in line


@pytest.mark.parametrize(("count", "last"), [(50, "subagent:DESIGN"), (53, "... and 3 more (--json)")])
def test_a_long_list_of_operations_is_truncated(count: int, last: str) -> None:
    """Lost: the longest operation scrolls off the screen."""
    lines = table_of([opened(number) for number in range(count)]).splitlines()
    assert last in lines[-1]
    assert sum("DESIGN" in line for line in lines) == 50


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (Selection(project="shop"), "of project 'shop'"),
        (Selection(project=""), "without a project"),
        (Selection(before=date(2026, 2, 9)), "that started before 2026-02-09"),
        (Selection(trace_id="1-2"), "of trace 1-2"),
    ],
)
def test_a_purge_repeats_its_selection(what: Selection, named: str) -> None:
    """Lost: a typo is confirmed unseen."""
    assert _named(what) == named
