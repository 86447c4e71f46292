"""The loop on examples/slow_workflow, and simulated repairs: the repair resolves its item with the true effect.

Belongs here: the sizes of line 2 of issue 16. Does not: the trials (leo_telemetry_pipeline_tests.loop_trials, repairs).
"""

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks import generate, repairs
from benchmarks.bench_year import at_least
from benchmarks.figures import Figure
from benchmarks.measure import HOME
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import loop_trials
from leo_telemetry_pipeline_tests.loop_trials import Life

LINE = "16.2"
REPAIR, USELESS, SIMULATED = "repair", "useless edit", "simulated repairs"
HOLD = 0.9


def parts(full: bool) -> list[str]:  # noqa: ARG001  # the interface of a trial
    """Return the names of the parts."""
    return [REPAIR, USELESS, SIMULATED]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:
    """Measure one part."""
    if part == SIMULATED:
        yield _simulated(seed, 100 if full else 20)
        return
    is_useless = part == USELESS
    ended = [_lived(seed + number, useless=is_useless) for number in range(10 if full else 1)]
    yield (_useless if is_useless else _repaired)(ended)


def _lived(seed: int, *, useless: bool) -> Life:
    with generate.server() as (home, target), tempfile.TemporaryDirectory() as folder:
        os.environ.update(loop_trials.SETTINGS | {HOME: str(home), PREFIX + "DATABASE_URL": target.dsn})
        with closing(Database(target)) as db:
            return loop_trials.live(db, Path(folder), random.Random(seed).randrange(1 << 31), useless=useless)


def _repaired(ended: list[Life]) -> Figure:
    resolved = sum(life.status == "RESOLVED" and life.directive.status == "completed" for life in ended)
    held = sum(life.holds_the_truth for life in ended if life.status == "RESOLVED")
    what = "lives of a program that gets slow and is edited as its directive asks"
    required = "each item resolved, each directive completed; 95 % intervals hold the true effect"
    measured = f"{resolved} resolved, intervals of {held} hold it"
    is_held = resolved == len(ended) and at_least(0.95, len(ended)).holds(100 * held / len(ended))
    return Figure(LINE, f"{len(ended)} {what}", required, measured, is_held)


def _useless(ended: list[Life]) -> Figure:
    resolved = sum(any(event.to_status == "RESOLVED" for event in life.events) for life in ended)
    reopened = sum(life.events[-1].reason.startswith("The fix did not help") for life in ended)
    what = "lives of a program that gets slow and is edited without effect on the slow step"
    measured = f"{resolved} resolved, {reopened} opened again: the fix did not help"
    return Figure(LINE, f"{len(ended)} {what}", "never resolved", measured, resolved == 0)


def _simulated(seed: int, count: int) -> Figure:
    rng = np.random.default_rng(seed)
    held = {
        name: 100 * sum(repairs.holds(rng, noise) for _ in range(count)) / count
        for name, noise in repairs.noises(rng).items()
    }
    worst, limit = min(held, key=held.__getitem__), at_least(HOLD, count)
    return Figure(
        LINE,
        f"simulated repairs whose 95 % intervals hold the true effect: {len(held)} x {count}",
        f"at least {100 * HOLD:.0f} %, not refuted at 0.001: {limit.limit_text} of each kind",
        f"{np.mean(list(held.values())):.1f} %; {held[worst]:.1f} % of the worst ({worst})",
        limit.holds(held[worst]),
    )
