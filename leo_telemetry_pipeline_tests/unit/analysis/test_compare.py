"""Comparison of two sides: coverage of intervals, and verdicts only with evidence."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import compare
from leo_telemetry_pipeline.analysis.compare import FASTER, NO_EVIDENCE, SLOWER, Side
from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET, Rows

GAMMA = 1.005
MONDAY = 4


def side_of(days: Sequence[Any], first: int = MONDAY) -> Side:
    """Return a side from the durations of each day, starting on a Monday; empty days have no spans."""
    of_day = [np.asarray(each, dtype=float) for each in days if len(each)]
    numbers = [first + place for place, each in enumerate(days) if len(each)]
    buckets = [
        np.where(each <= 0, ZERO_BUCKET, np.ceil(np.log(np.maximum(each, 1)) / np.log(GAMMA))).astype(int)
        for each in of_day
    ]
    lowest = min(int(each.min()) for each in buckets)
    spans = np.zeros((len(of_day), max(int(each.max()) for each in buckets) - lowest + 1))
    for row, each in enumerate(buckets):
        np.add.at(spans[row], each - lowest, 1)
    least, most = min(each.min() for each in of_day), max(each.max() for each in of_day)
    return Side(np.array(numbers), spans, lowest, float(least), float(most))


def drawn(
    rng: np.random.Generator, days: int, spans: int, *, median: float = 3000, between: float = 0.1, weekend: float = 0
) -> list[np.ndarray]:
    """Draw log-normal durations with variance between days and, optionally, another median on weekends."""
    effect = rng.normal(0, between, days) + weekend * (np.arange(days) % 7 >= 5)
    return [np.rint(median * np.exp(rng.normal(of_day, 0.5, spans))) for of_day in effect]


def inside(value: float, of: compare.Estimate) -> bool:
    assert of.low is not None
    assert of.high is not None
    return of.low <= value <= of.high


def coverage(rng: np.random.Generator, days: tuple[int, int], *, shared: bool = False, reps: int = 400) -> float:
    """Return the coverage of the intervals of both ratios, whose true value is 1.3."""
    held = 0
    for _ in range(reps):
        effect = rng.normal(0, 0.15, max(days))
        a, b = (
            side_of(
                [
                    np.rint(m * np.exp(rng.normal(effect[day] if shared else rng.normal(0, 0.15), 0.5, 60)))
                    for day in range(n)
                ],
                first,
            )
            for m, n, first in ((3000, days[0], 0), (3900, days[1], 0 if shared else 101))
        )
        found = compare.compare(a, b, GAMMA)
        held += inside(1.3, found.p50.ratio) + inside(1.3, found.p90.ratio)
    return held / (2 * reps)


@pytest.mark.parametrize(("days", "shared"), [((7, 7), False), ((28, 7), False), ((4, 4), False), ((14, 14), True)])
def test_95_percent_intervals_cover_the_true_value_in_95_percent(days: tuple[int, int], shared: bool):
    """Lost: verdicts would be wrong too often, because spans of a day are correlated."""
    # 800 draws with 95 % are outside of 0.92 to 0.98 once in ten thousand times.
    assert 0.92 <= coverage(np.random.default_rng(days[0]), days, shared=shared) <= 0.98


def test_variance_between_days_widens_the_interval():
    """Lost: one slow day in seven would be a finding."""
    rng = np.random.default_rng(2)
    alike, unlike = (
        compare.compare(
            side_of(drawn(rng, 7, 400, between=between)), side_of(drawn(rng, 7, 400, between=between), 11), GAMMA
        ).p50.ratio
        for between in (0.0, 0.2)
    )
    widths = [math.log((of.high or 0) / (of.low or 1)) for of in (alike, unlike)]
    assert widths[1] > 2.5 * widths[0]


def test_a_weekly_rhythm_does_not_hide_a_difference_between_weeks():
    """Lost: with slow weekends, no two weeks would ever differ."""
    rng = np.random.default_rng(3)
    verdicts = []
    for median in (3000, 4200):
        weeks = (drawn(rng, 7, 80, median=of, between=0.03, weekend=0.6) for of in (3000, median))
        a, b = (side_of(week, first) for week, first in zip(weeks, (MONDAY, MONDAY + 7), strict=True))
        verdicts.append(compare.compare(a, b, GAMMA).p50.verdict)
    assert verdicts == [NO_EVIDENCE, SLOWER]


def test_a_day_that_is_slow_for_both_dimensions_does_not_hide_their_difference():
    """Lost: common variation would hide the difference."""
    rng = np.random.default_rng(5)
    effect = rng.normal(0, 0.2, 20)
    days = [[np.rint(m * np.exp(rng.normal(of_day, 0.2, 60))) for of_day in effect] for m in (3000, 3300)]
    together = compare.compare(side_of(days[0]), side_of(days[1]), GAMMA).p50
    apart = compare.compare(side_of(days[0]), side_of(days[1], 100), GAMMA).p50
    assert (together.verdict, apart.verdict) == (SLOWER, NO_EVIDENCE)
    assert inside(1.1, together.ratio)


def test_swapping_the_sides_inverts_verdict_and_numbers():
    """Lost: people would undo a change that helped."""
    rng = np.random.default_rng(6)
    a, b = side_of(drawn(rng, 7, 100)), side_of(drawn(rng, 7, 100, median=6000), 11)
    slower, faster = compare.compare(a, b, GAMMA), compare.compare(b, a, GAMMA)
    assert (slower.p50.verdict, slower.p90.verdict) == (SLOWER, SLOWER)
    assert (faster.p50.verdict, faster.p90.verdict) == (FASTER, FASTER)
    there, back = slower.p50, faster.p50
    assert there.ratio.value == pytest.approx(there.b_ms / there.a_ms)
    assert there.difference_ms.value == pytest.approx(there.b_ms - there.a_ms)
    assert (there.difference_ms.low, there.difference_ms.high) == pytest.approx(
        (-(back.difference_ms.high or 0), -(back.difference_ms.low or 0))
    )
    assert (there.ratio.low, there.ratio.high) == pytest.approx((1 / (back.ratio.high or 1), 1 / (back.ratio.low or 1)))


def test_equal_input_gives_equal_numbers():
    """Lost: a verdict changes when it is repeated."""
    rng = np.random.default_rng(7)
    a, b = side_of(drawn(rng, 7, 50)), side_of(drawn(rng, 6, 50), 11)
    assert compare.compare(a, b, GAMMA) == compare.compare(a, b, GAMMA)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([[100] * 20] * 5, [[100] * 20] * 5, NO_EVIDENCE),
        ([[100] * 20] * 5, [[300] * 20] * 5, SLOWER),
        ([[0] * 20] * 5, [[0] * 20] * 5, NO_EVIDENCE),
        ([[0] * 20] * 5, [[9] * 20] * 5, SLOWER),
        ([[9] * 20] * 5, [[0] * 20] * 5, FASTER),
        ([[100] * 20], [[300] * 20], SLOWER),
        ([[100]], [[300]], NO_EVIDENCE),
        ([[100] * 9], [[300] * 9] * 7, NO_EVIDENCE),
        ([[100] * 20, [], [101] * 20], [[100] * 19 + [10**9]] * 5, NO_EVIDENCE),
        ([[1]], [[0]], NO_EVIDENCE),
    ],
    ids=["constant", "constants", "zeros", "from zero", "to zero", "a day", "a span", "few", "outlier", "least"],
)
def test_unusual_sides_have_a_defined_answer(a: list[list[float]], b: list[list[float]], verdict: str):
    """Lost: dimensions that never vary, take no time, or rarely run cause a crash or a NaN."""
    found = compare.compare(side_of(a), side_of(b, 100), GAMMA)
    assert found.p50.verdict == verdict
    for one in (found.p50, found.p90):
        for estimate in (one.difference_ms, one.ratio):
            numbers = [number for number in (estimate.low, estimate.value, estimate.high) if number is not None]
            assert all(math.isfinite(number) for number in numbers)
            assert numbers == sorted(numbers)
    assert (found.p50.ratio.value is None) == (found.p50.a_ms == 0 or found.p50.b_ms == 0)


def test_a_single_day_has_the_variance_of_the_other_sides_days():
    """Lost: a single slow day would be certain, because its spans agree."""
    rng = np.random.default_rng(9)
    week, day = side_of(drawn(rng, 7, 300, between=0.3)), side_of(drawn(rng, 1, 300, between=0, median=4000), 11)
    assert compare.compare(week, day, GAMMA).p50.verdict == NO_EVIDENCE
    alone = compare.compare(side_of(drawn(rng, 1, 300, between=0)), day, GAMMA)
    assert alone.p50.verdict == SLOWER
    assert not alone.between_days


def test_percentiles_equal_those_of_other_commands():
    """Lost: compare and findings would show different medians of the same week."""
    found = compare.compare(side_of([[100, 200]] * 5), side_of([[100, 100, 400]], 100), GAMMA)
    assert found.p50.a_ms == pytest.approx(150, rel=0.005)
    assert found.p50.b_ms == pytest.approx(100, rel=0.005)
    assert found.p90.b_ms == pytest.approx(340, rel=0.005)


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.7062), (3, 3.1824), (6, 2.4469), (30, 2.0423), (1e9, 1.96)])
def test_students_t_matches_published_tables(freedom: float, expected: float):
    """Lost: intervals of few days would be too narrow."""
    assert compare._t(freedom) == pytest.approx(expected, rel=1.5e-3)
    assert expected > NormalDist().inv_cdf(0.975) - 1e-3


def test_a_side_has_the_rows_of_one_dimension_by_day():
    """Lost: another dimension's spans would be compared, or days would be mixed up."""
    portions = [
        Rows(
            *map(
                np.array, ([1, 0], [2, 1], [3, 9], [3.0, 9.0], [1, 1], [7, 9], [3, 0], [2, 3], [10, 12, 50], [1, 2, 9])
            )
        ),
        Rows(*map(np.array, ([1], [0], [4], [4.0], [0], [5], [0], [1], [ZERO_BUCKET], [4]))),
    ]
    found = compare.side(portions, 1, 700)
    assert found is not None
    assert found.days.tolist() == [700, 702]
    assert (found.lowest, found.count, found.min_ms, found.max_ms) == (ZERO_BUCKET, 7, 0, 7)
    assert found.resolution_ms == 1
    assert found.spans[0].nonzero()[0].tolist() == [0]
    assert found.spans[1].nonzero()[0].tolist() == [10 - ZERO_BUCKET, 12 - ZERO_BUCKET]
    assert compare.side(portions, 2, 700) is None
    other, same, none = compare.sides(portions, 3, 700)
    assert (other and other.days.tolist(), none) == ([701], None)
    assert same
    assert (same.days.tolist(), same.spans.tolist()) == (found.days.tolist(), found.spans.tolist())
    assert compare.daily_medians(found, 1.01).tolist() == [
        compare.median(of_day, 1.01) for day in (700, 702) if (of_day := compare.part(found, day, day + 1))
    ]
