"""Which dimensions insights draw, and which pairs they compare."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.defs.assets import comparisons, dimension_trends
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.items import Item

END = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = Window(END - timedelta(7), END)


def measured(dimension_type: str, key: str, count: int, sum_ms: float) -> DimensionResult:
    """Return the measurement of a dimension."""
    return DimensionResult(dimension_type, key, count, 1.0, 1.0, 1.0, 1.0, sum_ms, None, "exact")


def item(key: str, opened: datetime, closed: datetime | None = None) -> Item:
    """Return an item about a gate."""
    detail: dict[str, Any] = {
        "dimension_type": "gate",
        "dimension_key": key,
        "opened_window_end": opened.isoformat(),
    }
    return Item("1", "f", "t", "d", "OPEN", detail, END, END, closed)


def days(pair: comparisons.Pair) -> tuple[str, str, str, str]:
    """Return the first and last day of both sides."""
    a, b = pair.a.window.days, pair.b.window.days
    return str(a[0]), str(a[-1]), str(b[0]), str(b[-1])


def test_the_ten_dimensions_with_most_time_are_drawn_then_the_other_bottlenecks():
    """Lost: the page lacks dimensions from the findings."""
    rows = [measured("gate", f"G{number:02}", 1, float(number)) for number in range(20)]
    slow = [{"dimension_type": "gate", "dimension_key": key} for key in ("G19", "G01")]
    drawn = [key for _, key in dimension_trends.to_draw(rows, slow)]
    assert drawn == [f"G{number}" for number in range(19, 9, -1)] + ["G01"]
    assert dimension_trends.to_draw([], []) == []


def test_dimensions_of_a_type_are_compared_with_the_most_frequent_one():
    """Lost: ten kinds of work yield forty-five comparisons, or none."""
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


def test_the_last_week_is_compared_with_the_four_weeks_before():
    """Lost: a week on both sides hides its own change."""
    [pair] = comparisons.this_week([measured("gate", "A", 1, 1)], WEEK)
    assert days(pair) == ("2026-01-25", "2026-02-21", "2026-02-22", "2026-02-28")


def test_the_days_around_the_opening_and_closing_of_recent_items_are_compared():
    """Lost: nobody sees whether a fix made a dimension faster."""
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
