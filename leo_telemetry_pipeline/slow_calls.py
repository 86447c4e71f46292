"""Slow minority of a dimension's calls, passed from the analysis to the store and the items.

Belongs here: the value. Does not: finding it (analysis), storing it (store), wording it (actions).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SlowCalls:
    """Minority of a dimension's calls that became slow; times in ms.

    ``share`` (0 to 1) of the calls are slow that were not before. ``p50_ms``: the P50 of the calls above ``cut_ms``.
    ``p90_ms`` and ``p90_before_ms``: of all calls since the onset, and before it if known.
    """

    share: float
    p50_ms: float
    cut_ms: float
    p90_ms: float
    p90_before_ms: float | None
