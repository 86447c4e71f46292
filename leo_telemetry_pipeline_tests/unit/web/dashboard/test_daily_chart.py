"""Axes of the chart of days."""

from itertools import pairwise

import pytest

from leo_telemetry_pipeline.web.dashboard import daily_chart
from leo_telemetry_pipeline.web.dashboard.daily_chart import HEIGHT, WIDTH


def test_every_value_is_inside_the_chart():
    """Lost: the worst day is drawn beyond the edge."""
    axes = daily_chart.axes(90, [3.0, None, 40_000.0, 0.0])
    for day, value in ((0, 3.0), (89, 40_000.0), (45, 0.0), (45, 10.0**9)):
        assert axes.left <= axes.x(day) <= axes.right <= WIDTH
        assert 0 < axes.top <= axes.y(value) <= axes.bottom < HEIGHT


def test_equal_ratios_have_equal_heights():
    """Lost: a doubling of a short step looks like nothing beside a long one."""
    axes = daily_chart.axes(10, [1.0, 1000.0])
    heights = [axes.y(value) for value in (10.0, 20.0, 40.0)]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)


def test_noise_looks_flat():
    """Lost: a chart of 100 and 104 ms looks like a collapse."""
    axes = daily_chart.axes(10, [100.0, 104.0])
    assert axes.y(100) - axes.y(104) < 0.05 * HEIGHT


def test_a_day_without_spans_is_a_gap_and_a_single_day_a_short_line():
    """Lost: days without work look like days of normal work, or the only day is not drawn."""
    axes = daily_chart.axes(5, [1.0, 2.0])
    first, last = axes.lines([1.0, 2.0, None, None, 2.0])
    assert len(first.split()) == len(last.split()) == 2
    assert last.split()[0] != last.split()[1]
    assert axes.lines([None, None]) == []


def test_bands_are_cut_to_the_chart():
    """Lost: an item from before the chart is drawn over the axis, or one after it fails the page."""
    axes = daily_chart.axes(10, [1.0])
    whole = axes.box(-50, 50)
    assert whole is not None
    assert (whole.x, whole.x + whole.width) == pytest.approx((axes.left, axes.right), abs=0.2)
    assert axes.box(10, 12) is None


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(4.0, 30.0, [5, 10, 20]), (0.5, 300_000.0, [1, 10, 100, 1_000, 10_000, 100_000])],
)
def test_labels_of_times_are_round_and_few(low: float, high: float, labels: list[float]):
    """Lost: an axis that nobody can read."""
    ticks = [tick.value for tick in daily_chart.axes(10, [low, high]).times()]
    assert set(labels) <= set(ticks)
    assert 2 <= len(ticks) <= 9


@pytest.mark.parametrize("days", [1, 8, 14, 90, 104])
def test_labels_of_days_are_weeks_apart_and_end_at_the_last_day(days: int):
    """Lost: a label every 11 days, which nobody can count by."""
    ticks = [int(tick.value) for tick in daily_chart.axes(days, [1.0]).day_ticks()]
    assert ticks[-1] == days - 1
    assert len(ticks) <= 9
    assert days <= 14 or {later - earlier for earlier, later in pairwise(ticks)} <= {7, 14}
