"""Resolution of durations (microseconds, milliseconds or seconds), and the least possible change between two P50s.

Belongs here: how far a rounded P50 may be from the true one, and the change that two such P50s prove. Does not: reading
history (store.history), formatting (actions).
"""

WHOLE_MS = 1.0
MICROSECOND = 0.001
# Types of spans whose source knows only whole seconds.
_IN_SECONDS = frozenset(("github_workflow", "github_job", "github_step"))
# Resolution matters where it moves a ratio by more than this factor.
_APART = 1.05


def of_type(dimension_type: str) -> float:
    """Return the resolution in ms of a dimension type's clock, 0 if it may be as fine as its durations."""
    return 1_000.0 if dimension_type.partition("+")[0] in _IN_SECONDS else 0.0


def least_ratio(now_ms: float, before_ms: float, resolution_ms: float) -> float:
    """Return the least possible change as a ratio, given that each P50 may be off by half a step of the resolution.

    In whole milliseconds, 0.46 and 0.55 ms are stored as 0 and 1 ms, so these two are no change; 0 and 4 ms are at
    least 7x. Where the resolution hardly matters, the result is the ratio of the values.
    """
    least = _least(now_ms, before_ms, resolution_ms)
    return least if is_least(least, now_ms, before_ms) else now_ms / before_ms


def is_least(ratio: float, now_ms: float, before_ms: float) -> bool:
    """Return whether the resolution makes a ratio clearly smaller than that of the values themselves."""
    if now_ms <= 0 or before_ms <= 0:
        return True
    values = now_ms / before_ms
    return values > ratio * _APART if values >= 1 else values * _APART < ratio


def _least(now_ms: float, before_ms: float, resolution_ms: float) -> float:
    if now_ms >= before_ms:
        most = _most(before_ms, resolution_ms)
        return max(1.0, (now_ms - resolution_ms / 2) / most) if most > 0 else 1.0
    least = before_ms - resolution_ms / 2
    return min(1.0, _most(now_ms, resolution_ms) / least) if least > 0 else 1.0


def _most(p50_ms: float, resolution_ms: float) -> float:
    # A P50 of 0 may be up to half a step.
    half = resolution_ms / 2
    return max(half, min(p50_ms + half, 2 * p50_ms - half))
