"""Percentiles of histograms against NumPy's percentiles of the values."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.analysis.bucket_percentiles import QUANTILES, percentiles
from leo_telemetry_pipeline.store.history.histograms import ERROR, GAMMA, ZERO_BUCKET


def bucket(value: float) -> int:
    """Return the bucket of a duration by its definition."""
    return ZERO_BUCKET if value == 0 else math.ceil(math.log(value) / math.log(GAMMA))


def from_values(values: Sequence[float]) -> list[float]:
    """Return P50, P90, P95 and P99 like the history."""
    numbers, counts = np.unique([bucket(value) for value in values], return_counts=True)
    found = percentiles(QUANTILES, np.array([len(numbers)]), numbers, counts, GAMMA)
    return np.clip(found[:, 0], min(values), max(values)).tolist()


def near(values: Sequence[float]) -> None:
    """Assert that every percentile is within 0.5 % of the exact one."""
    exact = np.percentile(values, [50, 90, 95, 99])
    np.testing.assert_allclose(from_values(values), exact, rtol=ERROR + 1e-9, atol=1e-9)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=80))
def test_every_percentile_is_within_half_a_percent(values: list[int]):
    """Lost: large installations would be judged by other numbers than small ones."""
    near(values)


@given(
    st.sampled_from([10**5, 10**7]).flatmap(
        lambda most: st.lists(st.integers(0, most).map(lambda us: us / 1000), min_size=1, max_size=80)
    )
)
def test_microseconds_are_as_accurate_and_come_back_as_the_same_whole_milliseconds(values: list[float]):
    """Lost: a P50 from history would differ from that of duration_ms, or fast work would be one bucket."""
    near(values)
    whole = [math.floor(value + 0.5) for value in values]
    numbers, counts = np.unique([bucket(value) for value in whole], return_counts=True)
    found = percentiles(QUANTILES, np.array([len(numbers)]), numbers, counts, GAMMA, 1.0)[:, 0]
    # Up to 100 ms, a bucket is narrower than a millisecond, so rounding gives back the value itself.
    error = (ERROR, 0.5) if max(whole) > 100 else (1e-9, 1e-9)
    np.testing.assert_allclose(found, np.percentile(whole, [50, 90, 95, 99]), *error)


histograms = st.dictionaries(st.integers(ZERO_BUCKET, 4000), st.integers(1, 10**9), min_size=1, max_size=12)


@given(st.lists(histograms, min_size=1, max_size=20))
def test_percentiles_of_many_histograms_equal_those_of_each(found: list[dict[int, int]]):
    """Lost: a trend would show another P50 than the findings of the same day."""
    rows = [[np.array(column) for column in zip(*sorted(each.items()), strict=True)] for each in found]
    ends = np.cumsum([len(numbers) for numbers, _ in rows])
    buckets, spans = (np.concatenate(column) for column in zip(*rows, strict=True))
    at_once = percentiles(QUANTILES, ends, buckets, spans, GAMMA)
    for place, (numbers, counts) in enumerate(rows):
        alone = percentiles(QUANTILES, np.array([len(numbers)]), numbers, counts, GAMMA)
        assert at_once[:, place].tolist() == alone[:, 0].tolist()


SHAPES = {
    "lognormal": lambda rng, n: rng.lognormal(8, 1.5, n),
    "pareto": lambda rng, n: (rng.pareto(1.05, n) + 1) * 10,
    "bimodal": lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(1000, 50, n), rng.normal(90_000, 900, n)),
    "constant": lambda rng, n: np.full(n, 12_345),
}


@pytest.mark.parametrize("number", [1, 2, 3, 10, 1000, 50_001])
@pytest.mark.parametrize("shape", SHAPES)
def test_heavy_tails_and_gaps_are_as_accurate_as_other_shapes(shape: str, number: int):
    """Lost: the most interesting durations would be the least accurate."""
    for seed in range(5):
        drawn = SHAPES[shape](np.random.default_rng(seed), number)
        near(np.clip(np.rint(drawn), 0, 2**60).astype(np.int64).tolist())


@pytest.mark.parametrize("value", [0, 1, 2, 100, 999_999, 10**9])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_equal_values_give_exactly_that_value(value: int, count: int):
    """Lost: work with a constant duration would be shown with another one."""
    assert from_values([value] * count) == [value] * 4


def test_zeros_count_and_are_interpolated_like_other_values():
    """Lost: fast work would be left out, and everything would look slower."""
    near([0, 0, 0, 100])
    near([0, 100])
    near([0] * 5 + [1] * 5)


def test_percentiles_are_in_order():
    """Lost: a table shows a P50 above the P90."""
    rng = np.random.default_rng(7)
    for _ in range(50):
        values = rng.lognormal(6, 2, rng.integers(1, 40)).astype(int).tolist()
        got = from_values(values)
        assert got == sorted(got)
        assert min(values) <= got[0] <= got[-1] <= max(values)


def test_a_frame_of_buckets_is_like_a_frame_of_exact_percentiles():
    """Lost: later steps would work with one method and fail with the other."""
    exact = p50.exact([("gate", "A", 3, 2.0, 2.0, 2.0, 2.0, 6.0, None)])
    counted = p50.from_buckets([("gate", "A", 3, 1, 6.0, 2, 2, np.array([bucket(2)]), np.array([3]))], GAMMA)
    assert list(counted.columns) == list(exact.columns) == list(p50.COLUMNS)
    assert list(counted.dtypes) == list(exact.dtypes)
    assert counted.drop(columns="method").equals(exact.drop(columns="method"))
    for frame in (p50.exact([]), p50.from_buckets([], GAMMA)):
        assert list(frame.dtypes) == list(exact.dtypes)


def test_the_method_changes_only_above_the_limit():
    """Lost: the configured limit of spans would be off by one."""
    assert p50.method(500_000, 500_000) == "exact"
    assert p50.method(500_001, 500_000) == "histogram"


def test_the_history_is_used_if_spans_are_no_longer_stored():
    """Lost: the P50 of a quarter would be that of the days whose spans are still stored."""
    assert p50.method(10, 500_000, all_stored=False) == "histogram"
