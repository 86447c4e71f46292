"""Numbers of spans by bucket, of one dimension: reading rows of history and adding them up.

Belongs here: the forms in which rows keep buckets, and sums of them. Does not: which rows are read, percentiles.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import psycopg2.extensions

# Elements of an array as bytes: a list of a million numbers would be a million objects. PostgreSQL sends 20 bytes about
# the array, then each element after its length.
ELEMENTS = "substring(array_send({}) FROM 21)"
BUCKETS = np.dtype([("length", ">i4"), ("value", ">i4")])
SPANS = np.dtype([("length", ">i4"), ("value", ">i8")])

# The columns of a day and of a block, as ``add`` takes them, after those by which rows are told apart.
OF_DAY = f"day, 1::bigint, count, sum_ms, min_ms, max_ms, {ELEMENTS.format('buckets')}, {ELEMENTS.format('counts')}"
OF_BLOCK = "first_day, seen_on, count, sum_ms, min_ms, max_ms, packed, NULL"

# The buckets of a row, or the first one of a run; and the spans in each.
_Part = tuple[np.ndarray | int, np.ndarray]

_64_BITS = (1 << 64) - 1
# Added to the width of a count where each bucket of a run has one.
_RUN = 16
_ROWS_AT_ONCE = 1000


def stream(cursor: psycopg2.extensions.cursor, sql: str, parameters: Any) -> Iterator[tuple]:
    """Yield the rows of a query while the server has the rest of them."""
    # The server would look for a plan that begins soon, not for one that ends soon.
    cursor.execute("SELECT set_config('cursor_tuple_fraction', '1', true)")
    with cursor.connection.cursor("history") as rows:
        rows.itersize = _ROWS_AT_ONCE
        rows.execute(sql, parameters)
        yield from rows


class Durations:
    """Spans by bucket, their number, sum, least and most; ``seen_on`` has a bit for each day that has some."""

    def __init__(self) -> None:
        self.seen_on = self.count = 0
        self.sum_ms = 0.0
        self.min_ms = self.max_ms = -1
        self._parts: list[_Part] = []

    def add(
        self,
        first_day: date,
        seen_on: int,
        count: int,
        sum_ms: float,
        min_ms: int,
        max_ms: int,
        buckets: memoryview,
        counts: memoryview | None,
        base: date,
    ) -> None:
        """Add a row, whose buckets and counts are ELEMENTS of arrays, or packed with no counts.

        ``base`` is the day of the first bit of ``seen_on``, no later than the first day of the row.
        """
        # In the database the 64th bit is a sign.
        self._add((seen_on & _64_BITS) << (first_day - base).days, count, sum_ms, min_ms, max_ms)
        self._parts.append(
            _unpacked(buckets) if counts is None else (elements(buckets, BUCKETS), elements(counts, SPANS))
        )

    def merge(self, other: "Durations") -> None:
        """Add another dimension's."""
        self._add(other.seen_on, other.count, other.sum_ms, other.min_ms, other.max_ms)
        self._parts += other._parts

    def _add(self, seen_on: int, count: int, sum_ms: float, min_ms: int, max_ms: int) -> None:
        self.seen_on |= seen_on
        self.min_ms = min_ms if not self.count else min(self.min_ms, min_ms)
        self.max_ms = max(self.max_ms, max_ms)
        self.count += count
        self.sum_ms += sum_ms

    def buckets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the buckets in order and the spans in each, as int64."""
        ranges = [_range(*part) for part in self._parts]
        lowest = min(first for first, _ in ranges)
        sums = np.zeros(max(last for _, last in ranges) - lowest + 1, np.int64)
        for (numbers, counts), (first, last) in zip(self._parts, ranges, strict=True):
            places = slice(first - lowest, last - lowest + 1) if isinstance(numbers, int) else numbers - lowest
            sums[places] += counts.astype(np.int64)
        there = np.flatnonzero(sums)
        # Many are held at once, and most buckets of a range are empty.
        self._parts = [(there + lowest, sums[there])]
        return there + lowest, sums[there]

    def packed(self) -> bytes:
        """Return the buckets in the form that takes least room.

        The width of a count, buckets, counts; or, of a run of buckets, 16 more than the width, the first, counts.
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
    """Return the numbers that ELEMENTS of arrays are, as int64."""
    return np.frombuffer(sent, dtype)["value"].astype(np.int64)


def _range(numbers: np.ndarray | int, counts: np.ndarray) -> tuple[int, int]:
    """Return the least and the highest bucket of a part."""
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
