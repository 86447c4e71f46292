"""Outlines of two distributions."""

from leo_telemetry_pipeline.web.dashboard import distribution_chart
from leo_telemetry_pipeline.web.dashboard.distribution_chart import HEIGHT


def points(line: str) -> list[tuple[float, float]]:
    """Return the points of a line."""
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


def test_both_outlines_have_one_scale():
    """Lost: two equal heights that are different shares."""
    steps = distribution_chart.steps([0.2, 0.8], [0.8, 0.2])
    heights = [[y for _, y in points(line)] for line in (steps.before, steps.now)]
    assert min(heights[0]) == min(heights[1])
    assert all(0 <= y <= HEIGHT for of in heights for y in of)
    assert len(steps.edges) == 3


def test_without_spans_nothing_is_drawn():
    """Lost: a page that fails for the newest dimension."""
    assert len(points(distribution_chart.steps([], []).now)) == 2
