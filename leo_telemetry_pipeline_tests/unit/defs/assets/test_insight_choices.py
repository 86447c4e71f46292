"""Which dimensions are drawn, and what is compared with what, when nobody asks."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.defs.assets import comparisons, dimension_trends
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.items import Item

END = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = Window(END - timedelta(7), END)


def measured(dimension_type: str, key: str, count: int, sum_ms: float) -> DimensionResult:
    """Make what a run measured of a dimension."""
    return DimensionResult(dimension_type, key, count, 1.0, 1.0, 1.0, 1.0, sum_ms, None, "exact")


def item(key: str, opened: datetime, closed: datetime | None = None) -> Item:
    """Make an item about a gate."""
    detail: dict[str, Any] = {
        "dimension_type": "gate",
        "dimension_key": key,
        "opened_window_end": opened.isoformat(),
    }
    return Item("1", "f", "t", "d", "OPEN", detail, END, END, None, closed)


def days(pair: comparisons.Pair) -> tuple[str, str, str, str]:
    """Return first and last day of both sides."""
    a, b = pair.a.window.days, pair.b.window.days
    return str(a[0]), str(a[-1]), str(b[0]), str(b[-1])


def test_bottlenecks_are_drawn_after_the_ten_with_most_time_and_each_once():
    """Lost: the page would not show what the findings are about."""
    rows = [measured("gate", f"G{number:02}", 1, float(number)) for number in range(20)]
    slow = [{"dimension_type": "gate", "dimension_key": key} for key in ("G19", "G01")]
    drawn = [key for _, key in dimension_trends.to_draw(rows, slow)]
    assert drawn == [f"G{number}" for number in range(19, 9, -1)] + ["G01"]
    assert dimension_trends.to_draw([], []) == []


def test_each_of_a_type_is_set_beside_the_most_frequent_of_it():
    """Lost: ten kinds of work would make forty-five comparisons, or none."""
    rows = [
        measured("sd_type", "rare", 3, 90),
        measured("sd_type", "usual", 50, 70),
        measured("sd_type", "other", 9, 80),
        measured("phase", "LEAD", 99, 99),
    ]
    pairs = comparisons.among(rows, "sd_type", WEEK)
    assert [str(pair) for pair in pairs] == [
        "sd_type:rare against sd_type:usual",
        "sd_type:other against sd_type:usual",
    ]
    assert {days(pair) for pair in pairs} == {("2026-02-01", "2026-02-28", "2026-02-01", "2026-02-28")}
    assert comparisons.among(rows, "phase", WEEK) == []
    assert comparisons.among([], "sd_type", WEEK) == []


def test_the_last_week_is_set_beside_the_four_before_it():
    """Lost: a week that is part of both sides hides its own change."""
    [pair] = comparisons.this_week([measured("gate", "A", 1, 1)], WEEK)
    assert days(pair) == ("2026-01-25", "2026-02-21", "2026-02-22", "2026-02-28")


def test_items_of_the_last_month_are_looked_at_around_their_opening_and_their_closing():
    """Lost: nobody would learn whether what was fixed is faster."""
    found = [
        item("LONG_AGO", END - timedelta(29)),
        item("FIXED", END - timedelta(20), END - timedelta(3, hours=2)),
        item("TODAY", END + timedelta(hours=9)),
    ]
    pairs = comparisons.around_items(found, WEEK)
    assert [(str(pair), days(pair)) for pair in pairs] == [
        ("gate:FIXED since 2026-02-25", ("2026-02-18", "2026-02-24", "2026-02-25", "2026-02-28")),
        ("gate:FIXED since 2026-02-09", ("2026-02-02", "2026-02-08", "2026-02-09", "2026-02-15")),
    ]
