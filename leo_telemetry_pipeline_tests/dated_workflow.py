"""Runs examples/slow_workflow on days of the past, within a moment: its sleeps only advance the clock of its tracer.

Belongs here: that clock, and the speed of the simulated machine. Does not: what the days are for (loop_trials).

python -m leo_telemetry_pipeline_tests.dated_workflow PROGRAM FIRST_DAY DAYS HANDOFFS_PER_DAY SEED
"""

import importlib.util
import random
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.trace import FixedClock, tracer

# Spread of the logarithms of the machine's slowness: between days, and between handoffs of a day. Its median is 1.
BETWEEN_DAYS, INSIDE_A_DAY = 0.1, 0.25


class Clock(FixedClock):
    """A clock, and a ``sleep`` that takes ``slowness`` times as long as asked for."""

    slowness = 1.0

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.advance(seconds * self.slowness)

    def move_to(self, moment: datetime) -> None:
        """Set the time of day."""
        self.step_wall(moment.timestamp() - self.wall_ns() / 1e9)


def handoff_of(program: Path, clock: Clock) -> Callable[[int], None]:
    """Load a program whose spans and sleeps use the clock, and return its handoff."""
    # Only a writer that exists already dates the first span by the tracer's clock.
    trace.writer()
    tracer.wall_ns, tracer.monotonic_ns = clock.wall_ns, clock.monotonic_ns
    spec = importlib.util.spec_from_file_location("workflow", program)
    assert spec is not None
    assert spec.loader is not None
    workflow: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(workflow)
    workflow.time = clock
    return workflow.handoff


def main() -> None:
    """Run the handoffs of all days between 06:00 and 18:00."""
    program, first, days, per_day, seed = sys.argv[1:]
    rng, clock = random.Random(int(seed)), Clock()
    handoff = handoff_of(Path(program), clock)
    for day in range(int(days)):
        of_day = rng.lognormvariate(0, BETWEEN_DAYS)
        for number in range(int(per_day)):
            clock.move_to(datetime.fromisoformat(first) + timedelta(days=day, hours=rng.uniform(6, 18)))
            clock.slowness = of_day * rng.lognormvariate(0, INSIDE_A_DAY)
            handoff(number)
    assert trace.flush(), trace.counters()


if __name__ == "__main__":
    main()
