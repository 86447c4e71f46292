"""Which days and traces of a dimension are compared: the slow ones since its onset, the normal ones before it.

Belongs here: choosing days by their P50, and traces evenly over days and durations. Does not: reading them
(store.trace_samples), comparing them (attribution).
"""

from collections.abc import Iterable, Sequence
from datetime import date

from leo_telemetry_pipeline.dimension import Bottleneck, DaySample

# Traces per dimension and side; with many dimensions fewer, so that memory stays bounded.
SAMPLE, LEAST_SAMPLE, MOST_TRACES = 100, 40, 3_000
# With fewer traces, the P50 of a day does not tell whether the day was slow.
LEAST_TO_TELL = 5
# Days read of the baseline period if they have ENOUGH times the traces of a sample, whose P50 is then close to that of
# all days. A step of 4 days meets each weekday once.
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
    normal = [day for day in days if not _is_slow(day, slow)]
    return len(normal) >= REFERENCE_DAYS and sum(day.traces for day in normal) >= ENOUGH * most


def slow_traces(days: Sequence[DaySample], slow: Bottleneck, most: int) -> list[str]:
    """Return up to ``most`` traces of the slow days; of all days if none is clearly slow."""
    return _evenly([day for day in days if not _is_normal(day, slow)] or days, most)


def normal_traces(days: Sequence[DaySample], slow: Bottleneck, most: int) -> list[str]:
    """Return up to ``most`` traces of the days that are not slow; of all days if all are."""
    return _evenly([day for day in days if not _is_slow(day, slow)] or days, most)


def _is_slow(day: DaySample, slow: Bottleneck) -> bool:
    return day.traces >= LEAST_TO_TELL and day.p50_ms > _middle(slow)


def _is_normal(day: DaySample, slow: Bottleneck) -> bool:
    return day.traces >= LEAST_TO_TELL and day.p50_ms <= _middle(slow)


def _middle(slow: Bottleneck) -> float:
    return (slow.observed_p50_ms * slow.baseline_p50_ms) ** 0.5


def _evenly(days: Iterable[DaySample], most: int) -> list[str]:
    """Return traces in proportion to those of each day, evenly spaced by rank, so that their P50 is that of all."""
    kept = list(days)
    total, upto, chosen = sum(day.traces for day in kept), 0, []
    for day in kept:
        share = min(most, total)
        count = (upto + day.traces) * share // total - upto * share // total
        upto += day.traces
        count = min(count, len(day.sample))
        chosen += [day.sample[(2 * place + 1) * len(day.sample) // (2 * count)] for place in range(count)]
    return list(dict.fromkeys(chosen))
