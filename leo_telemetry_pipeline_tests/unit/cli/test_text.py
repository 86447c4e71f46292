"""What commands print, from facts alone."""

from datetime import UTC, date, datetime

import pytest

from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.running import RunningOperation, table_of
from leo_telemetry_pipeline.cli.spans import _named
from leo_telemetry_pipeline.store.retention.purge import What


def test_a_row_of_a_table_is_one_line() -> None:
    """Lost: a name with a newline in it invents rows."""
    assert text.table(("A", "B"), [("x\ny", "a\tb")]).splitlines() == ["A    B", "x y  a b"]


def test_nothing_in_a_line_can_command_the_terminal() -> None:
    """Lost: the name of a span clears the screen, or makes a line read backwards."""
    assert text.in_a_line("a\x1b[2Jb\x9bc\u202ed\u2028é 測") == "a [2Jb c d é 測"


def opened(number: int, name: str = "DESIGN") -> RunningOperation:
    """Return an operation under way."""
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


def test_long_names_of_what_runs_are_cut() -> None:
    """Lost: one long name makes every line of the table wrap."""
    line = table_of([opened(1, "n" * 200)]).splitlines()[1]
    assert "subagent:" + "n" * 50 + "…  SD-7" in line


@pytest.mark.parametrize(("count", "last"), [(50, "subagent:DESIGN"), (53, "... and 3 more (--json)")])
def test_no_more_is_shown_of_what_runs_than_fits(count: int, last: str) -> None:
    """Lost: what hangs longest scrolls out of sight."""
    lines = table_of([opened(number) for number in range(count)]).splitlines()
    assert last in lines[-1]
    assert sum("DESIGN" in line for line in lines) == 50


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (What(project="shop"), "of project 'shop'"),
        (What(project=""), "without a project"),
        (What(before=date(2026, 2, 9)), "that started before 2026-02-09"),
        (What(trace_id="1-2"), "of trace 1-2"),
    ],
)
def test_a_purge_repeats_what_it_was_asked(what: What, named: str) -> None:
    """Lost: a slip of the keyboard is confirmed unseen."""
    assert _named(what) == named
