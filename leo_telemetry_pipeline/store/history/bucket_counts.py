"""Histograms of one dimension: decoding rows of history and adding them up.

Belongs here: the encodings of buckets in rows, and their sums. Does not: which rows are read, percentiles.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import psycopg2.extensions

# Array elements as bytes, to avoid a Python object per number. After a header of 20 bytes, PostgreSQL sends each
# element with its length in front.
ELEMENTS = "substring(array_send({}) FROM 21)"
BUCKETS = np.dtype([("length", ">i4"), ("value", ">i4")])
SPANS = np.dtype([("length", ">i4"), ("value", ">i8")])

# Columns of a day and of a block, as arguments of ``add``.
OF_DAY = f"day, 1::bigint, count, sum_ms, min_ms, max_ms, {ELEMENTS.format('buckets')}, {ELEMENTS.format('counts')}"
OF_BLOCK = "first_day, seen_on, count, sum_ms, min_ms, max_ms, packed, NULL"

# Contents of a row: its buckets, or the first of a run of adjacent buckets, and the number of spans in each.
_Part = tuple[np.ndarray | int, np.ndarray]

_64_BITS = (1 << 64) - 1
# Added to the width of a count to mark the run encoding.
_RUN = 16
_ROWS_AT_ONCE = 1000


def stream(cursor: psycopg2.extensions.cursor, sql: str, parameters: Any) -> Iterator[tuple]:
    """Yield the rows of a query through a server-side cursor."""
    # By default, the planner would optimize a cursor for its first rows.
    cursor.execute("SELECT set_config('cursor_tuple_fraction', '1', true)")
    with cursor.connection.cursor("history") as rows:
        rows.itersize = _ROWS_AT_ONCE
        rows.execute(sql, parameters)
        yield from rows


class Durations:
    """Histogram with number, sum, minimum and maximum of spans; ``seen_on`` has one bit per day with spans."""

    def __init__(self) -> None:
        self.seen_on = self.count = 0
        self.sum_ms = 0.0
        self.min_ms = self.max_ms = -1.0
        self._parts: list[_Part] = []

    def add(
        self,
        first_day: date,
        seen_on: int,
        count: int,
        sum_ms: float,
        min_ms: float,
        max_ms: float,
        buckets: memoryview,
        counts: memoryview | None,
        base: date,
    ) -> None:
        """Add a row of a day (two arrays, sent as ELEMENTS) or of a block (packed ``buckets``, without ``counts``).

        ``base`` is the day of the first bit of ``seen_on``, no later than the first day of the row.
        """
        # The mask undoes the sign: the 64th day is the sign bit of PostgreSQL's bigint.
        self._add((seen_on & _64_BITS) << (first_day - base).days, count, sum_ms, min_ms, max_ms)
        self._parts.append(
            _unpacked(buckets) if counts is None else (elements(buckets, BUCKETS), elements(counts, SPANS))
        )

    def merge(self, other: "Durations") -> None:
        """Add the histogram of another dimension."""
        self._add(other.seen_on, other.count, other.sum_ms, other.min_ms, other.max_ms)
        self._parts += other._parts

    def _add(self, seen_on: int, count: int, sum_ms: float, min_ms: float, max_ms: float) -> None:
        self.seen_on |= seen_on
        self.min_ms = min_ms if not self.count else min(self.min_ms, min_ms)
        self.max_ms = max(self.max_ms, max_ms)
        self.count += count
        self.sum_ms += sum_ms

    def buckets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the buckets in order and the number of spans in each, as int64."""
        ranges = [_range(*part) for part in self._parts]
        lowest = min(first for first, _ in ranges)
        sums = np.zeros(max(last for _, last in ranges) - lowest + 1, np.int64)
        for (numbers, counts), (first, last) in zip(self._parts, ranges, strict=True):
            places = slice(first - lowest, last - lowest + 1) if isinstance(numbers, int) else numbers - lowest
            sums[places] += counts.astype(np.int64)
        nonempty = np.flatnonzero(sums)
        # Saves memory, since most buckets of a range are empty.
        self._parts = [(nonempty + lowest, sums[nonempty])]
        return nonempty + lowest, sums[nonempty]

    def packed(self) -> bytes:
        """Return the smaller of two encodings of the buckets.

        Sparse: the width of a count in bytes, all buckets, all counts. Run of adjacent buckets: the width + 16, the
        first bucket, all counts.
        """
        numbers, counts = self.buckets()
        width = next(width for width in (1, 2, 4, 8) if int(counts.max()) < 1 << (8 * width))
        first, last = int(numbers[0]), int(numbers[-1])
        if 2 + (last - first + 1) * width > len(numbers) * (2 + width):
            return bytes([width]) + numbers.astype(">i2").tobytes() + counts.astype(f">u{width}").tobytes()
        run = np.zeros(last - first + 1, f">u{width}")
        run[numbers - first] = counts
        return bytes([_RUN + width]) + first.to_bytes(2, signed=True) + run.tobytes()


def elements(sent: memoryview | bytes, dtype: np.dtype) -> np.ndarray:
    """Decode ELEMENTS of arrays as int64."""
    return np.frombuffer(sent, dtype)["value"].astype(np.int64)


def _range(numbers: np.ndarray | int, counts: np.ndarray) -> tuple[int, int]:
    """Return the lowest and the highest bucket of a row."""
    if isinstance(numbers, int):
        return numbers, numbers + len(counts) - 1
    return int(numbers[0]), int(numbers[-1])


def _unpacked(packed: memoryview) -> _Part:
    width = int.from_bytes(packed[:1])
    if width > _RUN:
        first = int.from_bytes(packed[1:3], signed=True)
        return first, np.frombuffer(packed, f">u{width - _RUN}", offset=3)
    length = (len(packed) - 1) // (2 + width)
    numbers = np.frombuffer(packed, ">i2", length, offset=1)
    return numbers.astype(np.int64), np.frombuffer(packed, f">u{width}", length, offset=1 + 2 * length)
