"""Life of improvement items: random orders of events, much at once, a level that swings around its threshold.

Belongs here: the sizes of line 3 of issue 16. Does not: the trials (leo_telemetry_pipeline_tests.item_trials).
"""

import os
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import hypothesis
from hypothesis import HealthCheck, given

from benchmarks import generate
from benchmarks.figures import Figure
from benchmarks.measure import HOME
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests import item_trials
from leo_telemetry_pipeline_tests.item_trials import STEPS, Step

LINE = "16.3"


def parts(full: bool) -> list[str]:  # noqa: ARG001  # the interface of a trial
    """Return the names of the parts."""
    return ["findings", "at once", "square wave", "orders"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:
    """Measure one part."""
    with generate.server() as (home, target), closing(Database(target)) as db:
        if part == "orders":
            yield _orders(db, seed, 500 if full else 5)
        elif part == "at once":
            yield _at_once(db, target, 50 if full else 2)
        elif part == "findings":
            yield _findings(db)
        else:
            os.environ[HOME] = str(home)
            yield _square_wave(db, seed, timedelta(hours=6 if full else 90))


def _orders(db: Database, seed: int, count: int) -> Figure:
    item_trials.insert_history(db)
    lives = []

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=count, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS)
    def life(steps: list[Step]) -> None:
        lives.append(len(item_trials.live(db, steps)))

    life()
    what = f"{len(lives)} random orders of analyses, decisions of people and plain SQL"
    required = "never two items, an illegal step or an overruled person; each step with actor, time and reason"
    return Figure(LINE, what, required, f"none in {sum(lives):,} steps", held=True)


def _at_once(db: Database, target: Target, times: int) -> Figure:
    most = max(item_trials.at_once(db, target, 20) for _ in range(times))
    return Figure(LINE, f"20 analyses at once, {times} times", "one item", f"at most {most}", held=most == 1)


def _findings(db: Database) -> Figure:
    flood = item_trials.findings_at_once(db, 500)
    is_told = flood.digests == 1 and flood.alerts + flood.in_digests == flood.items
    measured = (
        f"{flood.items} items, {flood.limited} findings over the limit; {flood.alerts} alerts,"
        f" {flood.digests} digest of {flood.in_digests}"
    )
    held = is_told and flood.items <= 300 and flood.items + flood.limited == 500 and flood.alerts <= 10
    required = "at most 3 items of each and 10 alerts, the rest in one digest"
    return Figure(LINE, "500 findings of 100 dimension types at once", required, measured, held)


def _square_wave(db: Database, seed: int, every: timedelta) -> Figure:
    events = item_trials.square_wave(db, random.Random(seed), item_trials.wave_ends(every))
    hours = every.total_seconds() / 3600
    what = f"0.8 and 1.2 of the threshold every 6 hours for 30 days, an analysis every {hours:.0f} h"
    held = 1 <= len(events) <= 2
    return Figure(LINE, what, "one item, at most 2 transitions", f"{len(events)} transitions", held=held)
