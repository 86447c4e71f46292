"""Which days and traces of a dimension are compared: the slow ones since its onset, the normal ones before it.

Belongs here: choosing days by their P50, and traces evenly over days and durations. Does not: reading them
(store.trace_samples), comparing them (attribution).
"""

import math
from collections.abc import Sequence
from datetime import date
from hashlib import md5
from itertools import pairwise

from leo_telemetry_pipeline.dimension import Bottleneck, DaySample

# Traces per dimension and side; fewer with many dimensions, so that memory stays bounded.
SAMPLE, LEAST_SAMPLE, MOST_TRACES = 100, 40, 3_000
# Usual standard error of the logarithm of a P50, times the square root of the number of traces. A day is clearly slow
# or normal only beyond it: otherwise days would be chosen by their noise.
ERROR = 0.6
LEAST_MS = 0.5
# REFERENCE_DAYS of the baseline suffice if they have ENOUGH times the traces of a sample: their P50 is then close
# to that of all days. Seven steps of 4 days meet each weekday once.
REFERENCE_DAYS, STEP, ENOUGH = 7, 4, 4


def size(dimensions: int) -> int:
    """Return the number of traces per side of each of ``dimensions`` dimensions."""
    return max(LEAST_SAMPLE, min(SAMPLE, MOST_TRACES // max(dimensions, 1)))


def in_order(days: Sequence[date]) -> list[date]:
    """Return the days of a baseline period in the order in which they are read: every fourth one first."""
    newest = sorted(days, reverse=True)
    return [day for first in range(STEP) for day in newest[first::STEP]]


def has_enough(days: Sequence[DaySample], slow: Bottleneck, most: int) -> bool:
    """Return whether these days of the baseline period are enough."""
    normal = [day for day in days if _distance(day, slow) <= ERROR]
    return len(normal) >= REFERENCE_DAYS and sum(day.traces for day in normal) >= ENOUGH * most


def slow_traces(days: Sequence[DaySample], slow: Bottleneck, most: int) -> list[str]:
    """Return up to ``most`` traces of the days that are not clearly normal, or of all days if all are."""
    return _evenly([day for day in days if _distance(day, slow) >= -ERROR] or days, most)


def normal_traces(days: Sequence[DaySample], slow: Bottleneck, most: int) -> list[str]:
    """Return up to ``most`` traces of the days that are not clearly slow, or of all days if all are."""
    return _evenly([day for day in days if _distance(day, slow) <= ERROR] or days, most)


def _distance(day: DaySample, slow: Bottleneck) -> float:
    """Return how far a day is from the middle between normal and slow (positive: slower), in the unit of ERROR."""
    p50, observed, baseline = (max(ms, LEAST_MS) for ms in (day.p50_ms, slow.observed_p50_ms, slow.baseline_p50_ms))
    return math.log(p50 / math.sqrt(observed * baseline)) * math.sqrt(day.traces)


def _evenly(days: Sequence[DaySample], most: int) -> list[str]:
    """Return traces of each day in proportion to their number, evenly over the ranks, so that their P50 is that of all.

    Of neighbours in rank, choose the one with the lowest hash, as in the samples of days.
    """
    total = sum(day.traces for day in days)
    share, upto, chosen = min(most, total), 0, []
    for day in days:
        count = (upto + day.traces) * share // total - upto * share // total
        upto += day.traces
        count = min(count, len(day.sample))
        ends = [place * len(day.sample) // count for place in range(count + 1)] if count else []
        chosen += [min(day.sample[first:end], key=hashed) for first, end in pairwise(ends)]
    return list(dict.fromkeys(chosen))


def hashed(trace: str) -> str:
    """Return the hash by which traces are chosen: the same as PostgreSQL's, and random even if ids are not."""
    return md5(trace.encode(), usedforsecurity=False).hexdigest()
