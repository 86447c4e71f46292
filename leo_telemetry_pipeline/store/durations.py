"""The durations of one dimension as numbers of spans by bucket: adding up what rows of history say.

Belongs here: the two forms in which rows keep buckets, and sums of them. Does not: any statement, percentiles.
"""

import numpy as np

# How PostgreSQL sends an array: five words about it, then each element after its length.
_HEAD = 20
_BUCKETS = np.dtype([("length", ">i4"), ("value", ">i4")])
_COUNTS = np.dtype([("length", ">i4"), ("value", ">i8")])
_64_BITS = (1 << 64) - 1


class Durations:
    """Spans by bucket, their number, sum, least and most; ``seen_on`` has a bit for each day that has some."""

    def __init__(self) -> None:
        self.seen_on = self.count = 0
        self.sum_ms = 0.0
        self.min_ms = self.max_ms = -1
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def add(
        self,
        seen_on: int,
        count: int,
        sum_ms: float,
        min_ms: int,
        max_ms: int,
        buckets: memoryview,
        counts: memoryview | None,
        *,
        days_later: int = 0,
    ) -> None:
        """Add a row: buckets and counts as PostgreSQL sends arrays, or packed with no counts."""
        # In the database the 64th bit is a sign.
        self._add((seen_on & _64_BITS) << days_later, count, sum_ms, min_ms, max_ms)
        if counts is None:
            self._parts.append(_unpacked(buckets))
        else:
            self._parts.append(
                (
                    np.frombuffer(buckets, _BUCKETS, offset=_HEAD)["value"],
                    np.frombuffer(counts, _COUNTS, offset=_HEAD)["value"],
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
        if len(self._parts) > 1:
            numbers, counts = (np.concatenate(of) for of in zip(*self._parts, strict=True))
            lowest = int(numbers.min())
            # As floats, sums are exact up to 2**53 spans.
            sums = np.bincount(numbers - lowest, weights=counts)
            there = np.flatnonzero(sums)
            self._parts = [(there + lowest, sums[there])]
        numbers, counts = self._parts[0]
        return numbers.astype(np.int64), counts.astype(np.int64)

    def packed(self) -> bytes:
        """Return the buckets in the form that takes little room: the width of a count, buckets, counts."""
        numbers, counts = self.buckets()
        width = next(width for width in (1, 2, 4, 8) if int(counts.max()) < 1 << (8 * width))
        return bytes([width]) + numbers.astype(">i2").tobytes() + counts.astype(f">u{width}").tobytes()


def _unpacked(packed: memoryview) -> tuple[np.ndarray, np.ndarray]:
    width = int(np.frombuffer(packed, np.uint8, 1)[0])
    length = (len(packed) - 1) // (2 + width)
    numbers = np.frombuffer(packed, ">i2", length, offset=1)
    return numbers, np.frombuffer(packed, f">u{width}", length, offset=1 + 2 * length)
