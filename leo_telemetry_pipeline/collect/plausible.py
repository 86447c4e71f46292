"""Whether the times of a span can be true.

Belongs here: one judgement of one span. Does not: guessing units, what follows from the judgement.
"""

DAY_MS = 86_400_000
_YEAR_DAYS = 366
# Sources round to whole milliseconds, each in its own way.
_ROUNDING_MS = 2
_ROUNDING_SHARE = 0.01


def wrong_with(
    start_ms: int, end_ms: int | None, duration_ms: int | None, *, now_ms: int, keep_days: int
) -> str | None:
    """Return in a few words why times (UTC epoch ms) cannot be true, or None; the words are the same for all spans."""
    if start_ms >= (now_ms // DAY_MS + 2) * DAY_MS:
        return "starts after tomorrow"
    if start_ms < now_ms - (keep_days + _YEAR_DAYS) * DAY_MS:
        return "starts more than a year before what is kept"
    if end_ms is not None and duration_ms is not None:
        apart = abs(end_ms - start_ms - duration_ms)
        if apart > _ROUNDING_MS and apart > _ROUNDING_SHARE * max(duration_ms, end_ms - start_ms):
            return "its duration contradicts its end"
    return None
