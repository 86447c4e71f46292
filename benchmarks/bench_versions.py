"""First slow versions: how often the right one is named where versions explain a step, and none where they do not.

Belongs here: the measurements, with random seeds. Does not: the cases (versions).

Each case has a new family of noise, 5 to 30 spans a day for four weeks, and a step by 1.5, 2 or 3.
"""

import os
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks import versions
from benchmarks.bench_changes import at_most
from benchmarks.measure import Budget, Options, judge, run
from benchmarks.table import Measured
from benchmarks.versions import Case
from leo_telemetry_pipeline.analysis.versions import FirstSlow, first_slow

# At most one of 20 may be wrong.
MOST_WRONG, LEAST_EXACT = 0.05, 0.8


def measurements(options: Options) -> Iterator[Measured]:
    """Measure every kind of case."""
    seed, cases = int.from_bytes(os.urandom(4)), 40 if options.quick else 400
    rng, drawn = np.random.default_rng(seed), f"{cases} cases; seed {seed}"
    allowed = at_most(MOST_WRONG, cases, options)
    exact: list[bool] = []
    for what, draw in versions.EXPLAINED.items():
        found = _found(rng, draw, cases)
        wrong = float(np.mean([one is None or not _holds(case, one) for case, one in found]))
        exact += [one is not None and not one.between for _, one in found]
        yield judge(
            f"a step with {what} whose first slow version is missed: {drawn}", 100 * wrong, "%", allowed, options
        )
    for what, draw in versions.UNEXPLAINED.items():
        named = float(np.mean([one is not None for _, one in _found(rng, draw, cases)]))
        yield judge(f"a step {what} that is put down to a version: {drawn}", 100 * named, "%", allowed, options)
    least = Budget(100 * LEAST_EXACT - (10 if options.quick else 0), "%", at_least=True, timed=False)
    known = f"first slow versions that are known exactly: {len(exact)} cases; seed {seed}"
    yield judge(known, 100 * float(np.mean(exact)), "%", least, options)


def _found(
    rng: np.random.Generator, draw: Callable[[np.random.Generator], Case], cases: int
) -> list[tuple[Case, FirstSlow | None]]:
    return [(case, _first_slow(case)) for case in (draw(rng) for _ in range(cases))]


def _first_slow(case: Case) -> FirstSlow | None:
    attributes = [{"service.version": version} for version in case.versions]
    return first_slow(case.starts.tolist(), case.judged_ms.tolist(), attributes, case.before_ms, case.since_ms)


def _holds(case: Case, found: FirstSlow) -> bool:
    """Return whether the first slow version comes after the last fast one, and no later than the one named slow."""
    order = list(dict.fromkeys(case.versions))
    return order.index(found.fast) < order.index(case.slow_from or "") <= order.index(found.slow)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
