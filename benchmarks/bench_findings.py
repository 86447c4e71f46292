"""`leo-telemetry findings` with the database running: at most 300 ms, median of 30.

Belongs here: the measurement. Does not: the output of findings.
"""

import subprocess
import sys
from collections.abc import Iterator

from benchmarks import generate
from benchmarks.measure import BARE, HOME, Budget, Options, alternating, environment, judge, run
from benchmarks.table import Measured

OURS = (sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "findings")


def measurements(options: Options) -> Iterator[Measured]:
    """Measure the command against an empty process."""
    with generate.server() as (home, _):
        environ = environment(**{HOME: str(home)})

        def process(command: tuple[str, ...]) -> None:
            subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL, cwd="/")

        took = alternating({"ours": lambda: process(OURS), "bare": lambda: process(BARE)}, 7 if options.quick else 30)
    what, bare = "`leo-telemetry findings`: database running", ("bare Python", took["bare"] * 1000)
    yield judge(what, took["ours"] * 1000, "ms", Budget(300, "ms"), options, reference=bare)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
