"""Geometry of small charts."""

import pytest

from leo_telemetry_pipeline.web.dashboard.charts import sparkline


def test_days_without_spans_leave_a_gap():
    """Lost: a line through days on which nothing was measured."""
    chart = sparkline([1, 1, None, 2, 2], None)
    assert len(chart.lines) == 2
    assert chart.last == (157, 3)


def test_small_differences_look_small():
    """Lost: noise of one percent looks like an alarm."""
    chart = sparkline([100, 101, 100, 101], 100, height=36, margin=3)
    heights = [float(point.split(",")[1]) for point in chart.lines[0].split()]
    assert max(heights) - min(heights) < 1
    assert chart.level_y == 33


def test_a_single_day_is_visible():
    """Lost: a new dimension has an empty chart."""
    assert sparkline([None, 5], None).lines[0].count(",") == 2


@pytest.mark.parametrize("values", [[], [None, None]])
def test_without_values_there_is_no_line(values: list):
    """Lost: an error in place of a page."""
    assert sparkline(values, 3).lines == ()


def test_values_of_zero_are_drawn():
    """Lost: a division by zero for spans that took no time."""
    assert sparkline([0, 0], 0).level_y is not None
