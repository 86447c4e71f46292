"""Importing the trace API: at most 20 ms over bare Python, medians of 30 alternating runs.

Belongs here: the measurement. Does not: the measured code.
"""

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import BARE, Budget, Options, alternating, environment, judge, run
from benchmarks.table import Measured

OURS = (sys.executable, "-P", "-c", "from leo_telemetry_pipeline.trace import tracer")


def measurements(options: Options) -> Iterator[Measured]:
    """Compare the import with an empty process."""
    environ = environment()

    def process(command: tuple[str, ...]) -> None:
        subprocess.run(command, env=environ, check=True, cwd="/")

    took = alternating({"ours": lambda: process(OURS), "bare": lambda: process(BARE)}, 15 if options.quick else 30)
    bare = ("bare Python", took["bare"] * 1000)
    what = "importing the trace API"
    yield judge(what, took["ours"] * 1000, "ms", Budget(20, "ms"), options, reference=bare, over=True)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
