"""Comparison of two sets of days: differences of percentiles with confidence intervals and a verdict.

Belongs here: differences and ratios of percentiles with their intervals. Does not: reading days
(store.history.daily), choosing the sets, printing.

Days are clusters: spans of one day are correlated. The interval of a percentile is the interval of the share of spans
below it, inverted (Woodruff, JASA 1952), with the variance between days (Francisco and Fuller, "Quantile estimation
with a complex survey design", Annals of Statistics 1991). Two intervals combine by MOVER (Zou and Donner,
"Construction of confidence limits about effect measures", Statistics in Medicine 2008), on logarithms for a ratio. The
result is deterministic. Autocorrelation between days is ignored unless its first order is given; then it inflates the
variance of a side and takes away degrees of freedom (Bence, "Analysis of short time series: correcting for
autocorrelation", Ecology 1995).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from leo_telemetry_pipeline.analysis import noise
from leo_telemetry_pipeline.analysis.bucket_percentiles import percentiles
from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET, Rows, resolution_of
from leo_telemetry_pipeline.resolution import least_ratio

CONFIDENCE = 0.95
COMPARED = (0.5, 0.9)
# With fewer spans on either side of a percentile, its interval would end outside the data.
LEAST_BEYOND = 5
LEAST_WEEKDAYS = 4

SLOWER, FASTER, NO_EVIDENCE = "slower", "faster", "no evidence"


@dataclass(frozen=True)
class Side:
    """The days of one side: day numbers, ascending, and span counts of shape [days, buckets].

    The first column is bucket ``lowest``; ``min_ms``, ``max_ms`` and the coarsest ``resolution_ms`` cover all days.
    """

    days: np.ndarray
    spans: np.ndarray
    lowest: int
    min_ms: float
    max_ms: float
    resolution_ms: float = 0.0

    @property
    def count(self) -> int:
        """The number of spans."""
        return int(self.spans.sum())


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; None if undefined or unbounded."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """Difference of one percentile between A and B: times in ms, ``ratio`` is B over A."""

    quantile: float
    a_ms: float
    b_ms: float
    difference_ms: Estimate
    ratio: Estimate
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Result of comparing B with A; ``between_days``: the intervals include the variance between days."""

    a_spans: int
    a_days: int
    b_spans: int
    b_days: int
    between_days: bool
    p50: Difference
    p90: Difference


@dataclass(frozen=True)
class _Percentile:
    """One percentile of one side, with the standard error of the share of spans below it."""

    quantile: float
    value: float
    error: float
    freedom: float
    excess: np.ndarray


def side(portions: Iterable[Rows], place: int, first: int) -> Side | None:
    """Return the days of dimension number ``place``, or None without spans.

    ``first``: the number of the first day read, counted from an origin that both sides share.
    """
    rows_of = [(rows, np.flatnonzero(rows.dimension == place)) for rows in portions]
    return _side([(rows, int(row)) for rows, found in rows_of for row in found], first)


def sides(portions: Iterable[Rows], count: int, first: int) -> list[Side | None]:
    """Return the days of each of ``count`` dimensions, as ``side`` does."""
    rows_of: list[list[tuple[Rows, int]]] = [[] for _ in range(count)]
    for rows in portions:
        for row, place in enumerate(rows.dimension.tolist()):
            rows_of[place].append((rows, row))
    return [_side(of_place, first) for of_place in rows_of]


def _side(found: Sequence[tuple[Rows, int]], first: int) -> Side | None:
    if not found:
        return None
    inside = [slice(rows.ends[row - 1] if row else 0, rows.ends[row]) for rows, row in found]
    buckets = [rows.buckets[here] for (rows, _), here in zip(found, inside, strict=True)]
    lowest = min(int(each[0]) for each in buckets)
    matrix = np.zeros((len(found), max(int(each[-1]) for each in buckets) - lowest + 1))
    for place, ((rows, _), here) in enumerate(zip(found, inside, strict=True)):
        matrix[place, buckets[place] - lowest] = rows.spans[here]
    days = np.array([first + int(rows.day[row]) for rows, row in found])
    order = np.argsort(days)
    counts = [(rows.count[row], rows.fine_count[row]) for rows, row in found]
    return Side(
        days[order],
        matrix[order],
        lowest,
        min(float(rows.min_ms[row]) for rows, row in found),
        max(float(rows.max_ms[row]) for rows, row in found),
        float(resolution_of(*(np.array(of_rows) for of_rows in zip(*counts, strict=True))).max()),
    )


def part(of: Side | None, first: int, end: int) -> Side | None:
    """Return the days of a side from number ``first`` to before ``end``, or None without spans."""
    if of is None:
        return None
    inside = (of.days >= first) & (of.days < end)
    return replace(of, days=of.days[inside], spans=of.spans[inside]) if inside.any() else None


def median(of: Side, gamma: float) -> float:
    """Return the P50 of all spans of a side."""
    return _value(of, 0.5, gamma)


def daily_medians(of: Side, gamma: float) -> np.ndarray:
    """Return the P50 of each day of a side."""
    day, column = np.nonzero(of.spans)
    ends = np.cumsum(np.bincount(day, minlength=len(of.days)))
    values = percentiles((0.5,), ends, of.lowest + column, of.spans[day, column], gamma)
    return np.clip(values[0], of.min_ms, of.max_ms)


def count_over(of: Side, limit_ms: float, gamma: float) -> int:
    """Return the number of spans in buckets that end over a limit."""
    edges = _edge(of.lowest + np.arange(of.spans.shape[1]), gamma)
    return int(of.spans[:, edges > limit_ms].sum())


def compare(a: Side, b: Side, gamma: float) -> Comparison:
    """Compare side B with side A, both at the coarser of their resolutions."""
    p50, p90 = (difference(a, b, quantile, gamma) for quantile in COMPARED)
    return Comparison(a.count, len(a.days), b.count, len(b.days), max(len(a.days), len(b.days)) > 1, p50, p90)


def difference(a: Side, b: Side, quantile: float, gamma: float, memory: float = 0.0) -> Difference:
    """Compare one percentile of side B with that of side A, both at the coarser of their resolutions.

    ``memory``: first-order autocorrelation between days, which both sides share.
    """
    coarser = max(a.resolution_ms, b.resolution_ms)
    a, b = replace(a, resolution_ms=coarser), replace(b, resolution_ms=coarser)
    together = (_by_weekday(a), _by_weekday(b)) if _same_weekdays(a, b) else (a, b)
    return _difference(*together, quantile, gamma, memory, (len(a.days), len(b.days)))


def _same_weekdays(a: Side, b: Side) -> bool:
    """Return whether both sides have the same weekdays equally often, and no common day."""
    (names_a, often_a), (names_b, often_b) = (np.unique(each.days % 7, return_counts=True) for each in (a, b))
    is_even = np.ptp(often_a) == 0 and np.ptp(often_b) == 0
    return bool(is_even and len(names_a) >= LEAST_WEEKDAYS and np.array_equal(names_a, names_b)) and not np.any(
        np.isin(a.days, b.days)
    )


def _by_weekday(of: Side) -> Side:
    """Return a side with one row per weekday: pairing removes the weekly rhythm from the variance."""
    names, place = np.unique(of.days % 7, return_inverse=True)
    spans = np.zeros((len(names), of.spans.shape[1]))
    np.add.at(spans, place, of.spans)
    return replace(of, days=names, spans=spans)


def _difference(a: Side, b: Side, quantile: float, gamma: float, memory: float, days: tuple[int, int]) -> Difference:
    of_a, of_b = _percentile(a, quantile, gamma), _percentile(b, quantile, gamma)
    of_a, of_b = _borrowed(of_a, of_b, a), _borrowed(of_b, of_a, b)
    of_a, of_b = _autocorrelated(of_a, a, days[0], memory), _autocorrelated(of_b, b, days[1], memory)
    reach = _t(_freedom(a, of_a, b, of_b, gamma))
    ends_a, ends_b = _ends(a, of_a, reach, gamma), _ends(b, of_b, reach, gamma)
    together = _correlation(a, of_a, b, of_b)
    difference = _mover(of_a.value, ends_a, of_b.value, ends_b, together)
    ratio = Estimate(None, None, None)
    if min(of_a.value, of_b.value) > a.resolution_ms / 2:
        logs = [tuple(_log(end) for end in ends) for ends in (ends_a, ends_b)]
        in_logs = _mover(np.log(of_a.value), logs[0], np.log(of_b.value), logs[1], together)
        low, high = (None if number is None else float(np.exp(number)) for number in (in_logs.low, in_logs.high))
        least = least_ratio(of_b.value, of_a.value, a.resolution_ms)
        ratio = Estimate(least, None if low is None else min(low, least), None if high is None else max(high, least))
    return Difference(quantile, of_a.value, of_b.value, difference, ratio, _verdict(difference, ratio))


def _verdict(difference: Estimate, ratio: Estimate) -> str:
    """Return slower or faster only if all defined intervals agree."""
    tests = [(difference, 0.0)] + ([(ratio, 1.0)] if ratio.value is not None else [])
    if all(each.low is not None and each.low > same for each, same in tests):
        return SLOWER
    if all(each.high is not None and each.high < same for each, same in tests):
        return FASTER
    return NO_EVIDENCE


def _percentile(of: Side, quantile: float, gamma: float) -> _Percentile:
    total = of.spans.sum(axis=0)
    count, cumulative = total.sum(), np.cumsum(total)
    at = int(np.searchsorted(cumulative, quantile * count, side="left"))
    inside = (quantile * count - (cumulative[at] - total[at])) / total[at]
    # Each day's excess of spans below the percentile; sums to 0.
    of_days = of.spans.sum(axis=1)
    excess = of.spans[:, :at].sum(axis=1) + inside * of.spans[:, at] - quantile * of_days
    value = _value(of, quantile, gamma)
    if len(of_days) == 1:
        return _Percentile(quantile, value, np.nan, 0.0, excess)
    # Leverage correction: a busy day pulls the percentile towards itself.
    error = float(np.sqrt((excess**2 / (1 - of_days / count)).sum()) / count)
    effective_days = count**2 / (of_days**2).sum()
    return _Percentile(quantile, value, error, max(1.0, float(effective_days) - 1), excess)


def _value(of: Side, quantile: float, gamma: float) -> float:
    filled = np.flatnonzero(total := of.spans.sum(axis=0))
    value = percentiles((quantile,), np.array([len(filled)]), of.lowest + filled, total[filled], gamma)
    return float(np.clip(value[0, 0], of.min_ms, of.max_ms))


def _borrowed(own: _Percentile, other: _Percentile, of: Side) -> _Percentile:
    """Give a side of one day the other side's variance between days; if both have one day, use spans alone."""
    if own.freedom:
        return own
    by_spans = np.sqrt(own.quantile * (1 - own.quantile) / of.count)
    if not other.freedom:
        return _Percentile(own.quantile, own.value, float(by_spans), np.inf, own.excess)
    of_a_day = other.error * np.sqrt(other.freedom + 1)
    return _Percentile(own.quantile, own.value, float(max(by_spans, of_a_day)), other.freedom, own.excess)


def _autocorrelated(of: _Percentile, side: Side, days: int, memory: float) -> _Percentile:
    """Correct error and degrees of freedom of a percentile of ``days`` days, in rows that may be whole weekdays."""
    if (rows := len(side.days)) == 1:
        return of
    # Autocorrelated days differ less from each other than from the level that they are drawn from.
    seen = 1 - (noise.variance_factor(rows, memory) - 1) / (rows - 1)
    error = of.error * float(np.sqrt(noise.variance_factor(days, memory) / seen))
    return replace(of, error=error, freedom=of.freedom * (1 - memory**2) / (1 + memory**2))


def _freedom(a: Side, of_a: _Percentile, b: Side, of_b: _Percentile, gamma: float) -> float:
    """Return the degrees of freedom of the difference (Welch, Biometrika 1947), at most the number of days minus 1."""
    variances = [_log_variance(a, of_a, gamma), _log_variance(b, of_b, gamma)]
    freedoms = of_a.freedom, of_b.freedom
    parts = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    welch = sum(variances) ** 2 / parts if parts > 0 else min(freedoms)
    return float(min(welch, max(1, len(np.union1d(a.days, b.days)) - 1) if np.isfinite(min(freedoms)) else np.inf))


def _log_variance(of: Side, at: _Percentile, gamma: float) -> float:
    low, high = map(_log, _ends(of, at, 1.0, gamma))
    return at.error**2 if low is None or high is None else (high - low) ** 2


def _correlation(a: Side, of_a: _Percentile, b: Side, of_b: _Percentile) -> float:
    """Return the correlation due to common days: a day that is slow for both sides is not a difference."""
    _, in_a, in_b = np.intersect1d(a.days, b.days, return_indices=True)
    if len(in_a) < 2:
        return 0.0
    size = np.sqrt((of_a.excess**2).sum() * (of_b.excess**2).sum())
    return float(np.clip((of_a.excess[in_a] * of_b.excess[in_b]).sum() / size, -1, 1)) if size > 0 else 0.0


def _ends(of: Side, at: _Percentile, reach: float, gamma: float) -> tuple[float | None, float | None]:
    """Return the interval of a percentile in ms: ``reach`` standard errors each way, widened to bucket edges."""
    count, quantile = of.count, at.quantile
    if count * min(quantile, 1 - quantile) < LEAST_BEYOND:
        return None, None
    # Log odds keep both ends within 0 to 1.
    odds = np.log(quantile / (1 - quantile))
    away = reach * at.error / (quantile * (1 - quantile))
    shares = 1 / (1 + np.exp(-np.array([odds - away, odds + away])))
    column = np.searchsorted(np.cumsum(of.spans.sum(axis=0)), shares * count, side="left")
    column = np.minimum(column, of.spans.shape[1] - 1)
    low, high = np.clip(_edge(of.lowest + column - [1, 0], gamma), of.min_ms, of.max_ms)
    half = of.resolution_ms / 2
    return max(0.0, min(float(low), at.value) - half), max(float(high), at.value) + half


def _edge(bucket: np.ndarray | float, gamma: float) -> np.ndarray:
    """Return the upper edge of a bucket in ms; 0 for the bucket of zeros and below."""
    return np.where(np.asarray(bucket) <= ZERO_BUCKET, 0.0, gamma ** np.asarray(bucket, dtype=float))


def _mover(
    a: float,
    ends_a: tuple[float | None, ...],
    b: float,
    ends_b: tuple[float | None, ...],
    together: float,
) -> Estimate:
    """Return B minus A by MOVER: distances to the outer ends of both intervals add up in quadrature."""
    low = _away(b, ends_b[0], ends_a[1], a, together)
    high = _away(b, ends_b[1], ends_a[0], a, together)
    value = b - a
    return Estimate(value, None if low is None else value - low, None if high is None else value + high)


def _away(b: float, end_b: float | None, end_a: float | None, a: float, together: float) -> float | None:
    if end_b is None or end_a is None:
        return None
    from_b, from_a = abs(b - end_b), abs(end_a - a)
    return float(np.sqrt(max(0.0, from_b**2 + from_a**2 - 2 * together * from_b * from_a)))


def _log(end: float | None) -> float | None:
    return None if end is None or end <= 0 else float(np.log(end))


def _t(freedom: float) -> float:
    """Return the two-sided 95 % quantile of Student's t, for 1 or more degrees of freedom, to 1 in 10,000.

    Integrates the density numerically: with t = sqrt(freedom) * tan(angle) it is cos(angle) ** (freedom - 1).
    """
    freedom = min(max(freedom, 1.0), 1000.0)
    angle = np.linspace(0, np.pi / 2, 20_001)
    density = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate(([0.0], np.cumsum(density[1:] + density[:-1])))
    return float(np.sqrt(freedom) * np.tan(np.interp(CONFIDENCE, mass / mass[-1], angle)))
