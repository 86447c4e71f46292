"""Coverage of the 95 % intervals of `leo-telemetry compare`, and its rate of false verdicts.

Belongs here: simulated log-normal durations with variance between days, and their true percentiles. Does not: the
intervals (analysis.compare).

Coverage of 92 to 98 % in each case, for ratio and difference of P50 and P90; at most 7 % verdicts other than "no
evidence" without a difference. A quick run draws less and allows for its sampling error.
"""

import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from benchmarks.measure import Budget, Options, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import compare
from leo_telemetry_pipeline.analysis.compare import NO_EVIDENCE, Comparison, Side
from leo_telemetry_pipeline.store.history.histograms import GAMMA, ZERO_BUCKET

MEDIAN_MS, SPREAD = 3000.0, 0.5
LEAST, MOST, IN_VAIN = 92.0, 98.0, 7.0


@dataclass(frozen=True)
class Case:
    """Two sides with ``days`` days and ``spans`` per day; ``between``: spread of days; ``ratio``: B over A."""

    name: str
    days: tuple[int, int]
    spans: int = 50
    between: float = 0.1
    ratio: float = 1.0
    weekend: float = 0.0
    uneven: float = 0.0
    shared: bool = False


CASES = (
    Case("days alike", (7, 7), between=0.0),
    Case("weeks", (7, 7), between=0.2, ratio=1.3),
    Case("slow weekends", (7, 7), weekend=0.35),
    Case("a month and a week", (28, 7)),
    Case("months", (28, 28), spans=20),
    Case("few days", (4, 4), ratio=1.2),
    Case("uneven days", (14, 14), between=0.2, uneven=0.7),
    Case("two dimensions, same days", (14, 14), between=0.2, ratio=1.2, shared=True),
)


def true_ms(case: Case, quantile: float) -> float:
    """Return the true percentile of side A."""
    normal = NormalDist(0, math.hypot(SPREAD, case.between))
    low, high = -5.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        below = 5 / 7 * normal.cdf(middle) + 2 / 7 * normal.cdf(middle - case.weekend)
        low, high = (middle, high) if below < quantile else (low, middle)
    return MEDIAN_MS * math.exp(low)


def side(durations: np.ndarray, of_day: np.ndarray, first: int) -> Side:
    """Count durations by day and bucket, like the history."""
    buckets = np.ceil(np.log(np.maximum(durations, 1)) / math.log(GAMMA)).astype(int)
    buckets = np.where(durations == 0, ZERO_BUCKET, buckets)
    days, row = np.unique(of_day, return_inverse=True)
    spans = np.zeros((len(days), np.ptp(buckets) + 1))
    np.add.at(spans, (row, buckets - buckets.min()), 1)
    return Side(days + first, spans, int(buckets.min()), float(durations.min()), float(durations.max()))


def draw(rng: np.random.Generator, case: Case) -> Comparison:
    """Draw and compare both sides once."""
    sides, effect = [], rng.normal(0, case.between, case.days[0])
    for place, (days, ratio) in enumerate(zip(case.days, (1.0, case.ratio), strict=True)):
        if place and not case.shared:
            effect = rng.normal(0, case.between, days)
        moved = effect + case.weekend * (np.arange(days) % 7 >= 5)
        numbers = rng.poisson(case.spans * np.exp(case.uneven * rng.normal(size=days)))
        of_day = np.repeat(np.arange(days), numbers)
        durations = MEDIAN_MS * ratio * np.exp(moved[of_day] + rng.normal(0, SPREAD, len(of_day)))
        sides.append(side(np.rint(durations), of_day, 0 if case.shared else 700 * place))
    return compare.compare(sides[0], sides[1], GAMMA)


def shares(rng: np.random.Generator, case: Case, draws: int) -> tuple[list[float], float]:
    """Return the coverage of each of four intervals, and how often P50s get a verdict, in %."""
    held, verdicts = np.zeros(4), 0
    true = [true_ms(case, quantile) * (case.ratio - 1) for quantile in compare.COMPARED]
    for _ in range(draws):
        found = draw(rng, case)
        verdicts += found.p50.verdict != NO_EVIDENCE
        for place, one in enumerate((found.p50, found.p90)):
            for number, (estimate, value) in enumerate(((one.ratio, case.ratio), (one.difference_ms, true[place]))):
                assert estimate.low is not None
                assert estimate.high is not None
                held[2 * place + number] += estimate.low <= value <= estimate.high
    return (100 * held / draws).tolist(), 100 * verdicts / draws


def measurements(options: Options) -> Iterator[Measured]:
    """Draw every case, and judge the lowest and highest coverage."""
    seed, draws = secrets.randbits(32), 200 if options.quick else 3_000
    rng = np.random.default_rng(seed)
    found = {case: shares(rng, case, draws) for case in CASES}
    least = min((min(held), case.name) for case, (held, _) in found.items())
    most = max((max(held), case.name) for case, (held, _) in found.items())
    in_vain = max((verdicts, case.name) for case, (_, verdicts) in found.items() if case.ratio == 1)

    def row(what: str, value: tuple[float, str], limit: float, *, at_least: bool = False) -> Measured:
        error = 300 * math.sqrt(limit / 100 * (1 - limit / 100) / draws) if options.quick else 0.0
        budget = Budget(limit - error if at_least else limit + error, "%", at_least=at_least, timed=False)
        text = f"{what}: {len(CASES)} cases, {draws:,} draws each; seed {seed}, {value[1]}"
        return judge(text, value[0], "%", budget, options)

    yield row("compare, lowest coverage of 95 % intervals", least, LEAST, at_least=True)
    yield row("compare, highest coverage of 95 % intervals", most, MOST)
    yield row("compare, verdicts without a difference", in_vain, IN_VAIN)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
