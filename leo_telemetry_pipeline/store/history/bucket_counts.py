"""The durations of one dimension as numbers of spans by bucket: adding up what rows of history say.

Belongs here: the forms in which rows keep buckets, and sums of them. Does not: any statement, percentiles.
"""

from datetime import date

import numpy as np

# What a row says besides them, as ``struct`` has it: first day since 2000, days seen on, spans, sum, least, most in ms.
NUMBERS = "iqqdqq"
YEAR_2000 = date(2000, 1, 1)

# The buckets of a row, or the first one of a run; and the spans in each.
_Part = tuple[np.ndarray | int, np.ndarray]

# How PostgreSQL sends an array: five words about it, then each element after its length.
_HEAD = 20
_BUCKETS = np.dtype([("length", ">i4"), ("value", ">i4")])
_COUNTS = np.dtype([("length", ">i4"), ("value", ">i8")])
_64_BITS = (1 << 64) - 1
# Added to the width of a count where each bucket of a run has one.
_RUN = 16


class Durations:
    """Spans by bucket, their number, sum, least and most; ``seen_on`` has a bit for each day that has some."""

    def __init__(self) -> None:
        self.seen_on = self.count = 0
        self.sum_ms = 0.0
        self.min_ms = self.max_ms = -1
        self._parts: list[_Part] = []

    def add(self, numbers: tuple, buckets: memoryview, counts: memoryview | None, base: date) -> None:
        """Add a row: NUMBERS, and buckets and counts as PostgreSQL sends arrays, or packed with no counts.

        ``base`` is the day of the first bit of ``seen_on``, none later than the first day of the row.
        """
        first_day, seen_on, *rest = numbers
        days_later = first_day - (base - YEAR_2000).days
        # In the database the 64th bit is a sign.
        self._add((seen_on & _64_BITS) << days_later, *rest)
        if counts is None:
            self._parts.append(_unpacked(buckets))
        else:
            self._parts.append(
                (
                    np.frombuffer(buckets, _BUCKETS, offset=_HEAD)["value"].astype(np.int64),
                    np.frombuffer(counts, _COUNTS, offset=_HEAD)["value"].astype(np.int64),
                )
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


def _range(numbers: np.ndarray | int, counts: np.ndarray) -> tuple[int, int]:
    """Return the least and the highest bucket of a part."""
    if isinstance(numbers, int):
        return numbers, numbers + len(counts) - 1
    return int(numbers[0]), int(numbers[-1])


def _unpacked(packed: memoryview) -> _Part:
    width = packed[0]
    if width > _RUN:
        first = int.from_bytes(packed[1:3], signed=True)
        return first, np.frombuffer(packed, f">u{width - _RUN}", offset=3)
    length = (len(packed) - 1) // (2 + width)
    numbers = np.frombuffer(packed, ">i2", length, offset=1)
    return numbers.astype(np.int64), np.frombuffer(packed, f">u{width}", length, offset=1 + 2 * length)
