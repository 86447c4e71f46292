"""Plausibility of a span's times, and the likely unit of implausible ones.

Belongs here: pure rules about numbers. Does not: handling such spans (files.admission, web), parsing times (times).
"""

from collections import Counter
from collections.abc import Iterable

DAY_MS = 86_400_000

TOO_LATE = "starts after tomorrow"
ENDS_TOO_LATE = "ends after tomorrow"
TOO_EARLY = "starts more than a year before the retention limit"
CONTRADICTION = "its duration contradicts its end"

_GRACE_DAYS = 365
# Tolerances for rounding (ms), and for drift between wall clock and monotonic clock.
_ROUNDING_MS = 2
_DRIFT = 0.01

# A number is a date between 2010 and 2040 in at most one of these units, named as in column maps.
_FROM_DAY, _TO_DAY = 14_610, 25_567
_EXCEL_1970 = 25_569
_PER_DAY = {"d": 1, "s": 86_400, "ms": DAY_MS, "us": DAY_MS * 1_000, "ns": DAY_MS * 1_000_000}
WORDS = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "d": "days",
    "excel": "the days of a spreadsheet",
}
_MS = {"ns": 1e-6, "us": 1e-3, "s": 1e3}
_MOST = 0.9
_NEAR = 0.05


def wrong_with(
    start_ms: int, end_ms: int | None, duration_ms: int | None, *, now_ms: int, keep_days: int
) -> str | None:
    """Return why a span's times are impossible (one of the texts above), or None. ``keep_days``: days of retention."""
    latest = (now_ms // DAY_MS + 2) * DAY_MS
    if start_ms >= latest:
        return TOO_LATE
    if start_ms < now_ms - (keep_days + _GRACE_DAYS) * DAY_MS:
        return TOO_EARLY
    if end_ms is None:
        return ENDS_TOO_LATE if start_ms + (duration_ms or 0) >= latest else None
    if end_ms >= latest:
        return ENDS_TOO_LATE
    if duration_ms is not None and contradicts(end_ms - start_ms, duration_ms):
        return CONTRADICTION
    return None


def contradicts(apart_ms: int, duration_ms: int) -> bool:
    """Return whether a duration differs from the time between start and end by more than rounding and clock drift."""
    difference = abs(apart_ms - duration_ms)
    return difference > _ROUNDING_MS and difference > _DRIFT * max(apart_ms, duration_ms)


def likely_unit(values: Iterable[float]) -> str | None:
    """Return the unit in which at least 90 % of the values are dates between 2010 and 2040, or None."""
    units = Counter(map(_unit, values))
    if not units:
        return None
    unit, count = units.most_common(1)[0]
    return unit if count >= _MOST * units.total() else None


def likely_duration_unit(pairs: Iterable[tuple[int, int]]) -> str | None:
    """Return the unit in which at least 90 % of the durations match the time between start and end, or None.

    A pair is the ms between start and end, and the duration as given.
    """
    given = [(apart, duration) for apart, duration in pairs if apart > 0 and duration > 0]
    for unit, factor in _MS.items():
        # Durations shorter than a unit were rounded up to one.
        agreeing = sum(abs(duration * factor - apart) <= max(_NEAR * apart, factor) for apart, duration in given)
        if given and agreeing >= _MOST * len(given):
            return unit
    return None


def _unit(value: float) -> str | None:
    if _FROM_DAY + _EXCEL_1970 <= value <= _TO_DAY + _EXCEL_1970:
        return "excel"
    return next((unit for unit, count in _PER_DAY.items() if _FROM_DAY * count <= value <= _TO_DAY * count), None)
