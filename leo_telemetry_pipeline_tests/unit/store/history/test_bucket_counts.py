"""Sums of histograms in both encodings."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.store.history.bucket_counts import Durations

DAY = date(2026, 2, 1)


def sent(values: list[int], width: int) -> memoryview:
    """Return array elements in the format of PostgreSQL's array_send."""
    return memoryview(b"".join(width.to_bytes(4) + value.to_bytes(width, signed=True) for value in values))


def made(buckets: dict[int, int], *, packed: bool, day: int = 0) -> Durations:
    found = Durations()
    row = (DAY + timedelta(day), 1, sum(buckets.values()), 5.0, 1, 9)
    numbers, counts = sorted(buckets), [buckets[number] for number in sorted(buckets)]
    found.add(*row, sent(numbers, 4), sent(counts, 8), base=DAY)
    if not packed:
        return found
    again = Durations()
    again.add(*row, memoryview(found.packed()), None, base=DAY)
    return again


counts = st.integers(1, 2**53)
# Far apart, and close enough for a run with gaps.
histograms = st.dictionaries(st.integers(-1, 8800), counts, min_size=1, max_size=30) | st.dictionaries(
    st.integers(-1, 30), counts, min_size=1
)


@given(st.lists(st.tuples(histograms, st.booleans()), min_size=1, max_size=5))
def test_rows_of_both_encodings_add_up(rows: list[tuple[dict[int, int], bool]]):
    """Lost: a month read from blocks does not equal the sum of its days."""
    total, expected = Durations(), dict[int, int]()
    for buckets, packed in rows:
        scaled = {number: count // len(rows) or 1 for number, count in buckets.items()}
        total.merge(made(scaled, packed=packed))
        for number, count in scaled.items():
            expected[number] = expected.get(number, 0) + count
    numbers, counts = total.buckets()
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == expected
    assert numbers.tolist() == sorted(expected)
    assert total.count == sum(expected.values())


@pytest.mark.parametrize("count", [1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53])
def test_a_count_of_any_size_survives_a_round_trip(count: int):
    """Lost: the busiest bucket, because of an overflow."""
    assert made({-1: 1, 7: count}, packed=True).buckets()[1].tolist() == [1, count]


def test_each_day_counts_once_even_the_last_of_a_long_block():
    """Lost: the number of days with spans, on which the minimum for a judgement depends."""
    total = made({1: 1}, packed=False)
    total.merge(made({1: 1}, packed=False))
    total.merge(made({1: 1}, packed=False, day=3))
    assert total.seen_on.bit_count() == 2
    row = Durations()
    # The stored value of a block with spans only on its 64th day.
    row.add(DAY, -(2**63), 1, 1.0, 1, 1, memoryview(made({1: 1}, packed=False).packed()), None, base=DAY)
    assert row.seen_on == 1 << 63


def test_minimum_and_maximum_cover_all_rows_including_zeros():
    """Lost: correct percentiles, which are limited to minimum and maximum."""
    total = Durations()
    for least, most in ((5, 9), (0, 3), (7, 12)):
        total.add(DAY, 1, 1, 1.0, least, most, sent([1], 4), sent([1], 8), base=DAY)
    assert (total.min_ms, total.max_ms) == (0, 12)
    assert np.array_equal(total.buckets()[1], [3])


def test_a_run_takes_one_byte_per_bucket_and_a_sparse_histogram_three():
    """Lost: two thirds of the space of a busy dimension."""
    run = dict.fromkeys(range(100, 600), 7)
    assert len(made(run, packed=False).packed()) == 3 + len(run)
    assert len(made(run | {8000: 1}, packed=False).packed()) == 1 + 3 * (len(run) + 1)
