"""Ratios of P50s in whole milliseconds and in microseconds."""

import numpy as np
import pytest

from benchmarks import bench_resolution
from leo_telemetry_pipeline.actions.items import milliseconds, ratio_of
from leo_telemetry_pipeline.daily_rows import at_coarsest
from leo_telemetry_pipeline.resolution import MICROSECOND, WHOLE_MS, least_ratio


@pytest.mark.parametrize(
    ("before", "now", "whole_ms", "microseconds"),
    [
        (0.0, 1.0, 1.0, None),
        (0.5, 1.0, 1.0, 2.0),
        (1.0, 2.0, 1.0, 2.0),
        (2.0, 1.0, 1.0, 0.5),
        (4.0, 5.0, 1.0, 1.25),
        (0.5, 4.0, 7.0, 8.0),
        (4.0, 0.5, 1 / 7, 1 / 8),
        (4.0, 8.0, 7.5 / 4.5, 2.0),
        (0.0, 0.0, 1.0, 1.0),
        (30_000.0, 60_000.0, 2.0, 2.0),
    ],
)
def test_a_ratio_is_the_least_that_the_resolution_allows(
    before: float, now: float, whole_ms: float, microseconds: float | None
):
    """Lost: 0.46 and 0.55 ms, rounded to 0 and 1 ms, would be called twice as slow."""
    assert least_ratio(now, before, WHOLE_MS) == pytest.approx(whole_ms, rel=1e-4)
    if microseconds is not None:
        assert least_ratio(now, before, MICROSECOND) == pytest.approx(microseconds, rel=0.005)


def test_days_of_two_resolutions_are_compared_at_the_coarser():
    """Lost: a source that begins to send microseconds would look as if all work had become faster."""
    mixed = at_coarsest(np.array([0.0, 1.0, 0.2, 1.6]), np.array([WHOLE_MS, WHOLE_MS, MICROSECOND, MICROSECOND]))
    assert (mixed[0].tolist(), mixed[1]) == ([0.5, 1.0, 0.5, 2.0], WHOLE_MS)
    fine = at_coarsest(np.array([0.2, 1.6]), np.array([MICROSECOND, MICROSECOND]))
    assert (fine[0].tolist(), fine[1]) == ([0.2, 1.6], MICROSECOND)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0ms"), (0.0004, "0ms"), (0.0123, "0.012ms"), (0.46, "0.46ms"), (1, "1ms"), (4.503, "4.5ms"), (9.96, "10ms")],
)
def test_short_times_have_two_digits(value: float, expected: str):
    """Lost: everything under half a millisecond would read 0ms."""
    assert milliseconds(value) == expected


def test_a_ratio_that_whole_milliseconds_limit_is_called_the_least():
    """Lost: 0.3 ms that became 3.9 ms would be called 8x, as if that were known."""
    known = {"observed_p50_ms": 4.0, "baseline_p50_ms": 0.5, "ratio": 6.99, "resolution_ms": 1.0}
    assert ratio_of(known) == "at least 6.9x"
    assert ratio_of({**known, "ratio": 8.0}) == "8x"
    # A configured baseline, or an item from before resolutions were stored.
    assert ratio_of({"ratio": 6.99, "observed_p50_ms": 4.0, "baseline_p50_ms": 0.5}) == "7x"


@pytest.mark.parametrize("step", [1 / 1.2, 1.2])
def test_steps_of_20_percent_in_whole_milliseconds_are_never_a_change(step: float):
    """Lost: rounding alone would double a P50 and open an item."""
    rng = np.random.default_rng(14)
    medians = bench_resolution.medians_of(rng, 20)
    judged, shown = bench_resolution.looks(bench_resolution.spans(rng, medians, np.full(20, step), 20), fine=False)
    assert {one.outcome for one in judged} <= {"ok"}
    assert [ratios for ratios in shown if any(not 0.67 < ratio < 1.5 for ratio in ratios)] == []


def test_microseconds_give_the_ratio_within_5_percent():
    """Lost: the ratio of short work would depend on how it was rounded."""
    rng = np.random.default_rng(15)
    steps = np.array([2.0, 13.0] * 4)
    judged, _ = bench_resolution.looks(bench_resolution.spans(rng, np.full(8, 0.3), steps, 500), fine=True)
    assert {one.outcome for one in judged} == {"bottleneck"}
    assert [one.ratio for one in judged] == pytest.approx(steps.tolist(), rel=0.05)
