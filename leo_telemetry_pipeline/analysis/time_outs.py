"""Learned time-outs: how long an operation may be open before that is unusual.

Belongs here: the time-out of a dimension, from its recent spans. Does not: operations in progress (store.open_spans),
telling anybody (actions).
"""

# Least number of spans, and the factor of the longest of them. Simulated for six families of noise, so that 95 % of
# these time-outs are exceeded by at most 1 span in 1,000 (benchmarks/bench_time_outs.py).
FACTORS = ((3000, 1.05), (1000, 1.2), (500, 1.35), (200, 1.6), (100, 1.85), (80, 1.95))
# More spans would only keep long ones of the past.
SPANS_MOST = FACTORS[0][0]


def time_out_ms(spans: int, longest_ms: float) -> float | None:
    """Return the time-out in ms after ``spans`` spans, the longest of which took ``longest_ms``.

    None with fewer than 80: too few to have seen a rare long one.
    """
    return next((factor * longest_ms for least, factor in FACTORS if spans >= least), None)
