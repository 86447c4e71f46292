"""Shared parts of benchmarks: budgets, medians of alternating calls, the command line of a script.

Belongs here: judging and timing. Does not: measurements, the table (table).

A script passes its generator of measurements to ``run``, which prints a table or, for ``run.py``, each measurement as
a line of JSON.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import table
from benchmarks.table import Measured

ROOT = Path(__file__).resolve().parents[1]
SLACK = 1.5
HOME = "LEO_TELEMETRY_HOME"
BARE = (sys.executable, "-P", "-c", "pass")


@dataclass(frozen=True)
class Options:
    """Size of a run: ``quick`` is small and lenient, ``largest`` adds measurements of many minutes."""

    quick: bool = False
    largest: bool = False

    @property
    def slack(self) -> float:
        """The factor by which a time may miss its budget."""
        return SLACK if self.quick else 1.0


@dataclass(frozen=True)
class Budget:
    """Limit of a measurement in ``unit``, or, without a unit, of its ratio to the reference.

    Only ``timed`` measurements get slack: others, such as bytes, are the same on a busy machine.
    """

    limit: float
    unit: str = ""
    at_least: bool = False
    timed: bool = True

    def with_slack(self, slack: float) -> "Budget":
        """Return a more lenient budget."""
        if not self.timed:
            return self
        limit = self.limit / slack if self.at_least else self.limit * slack
        return Budget(limit, self.unit, self.at_least, self.timed)

    def holds(self, value: float) -> bool:
        """Return whether a value is within the budget; NaN never is."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit_text}"

    @property
    def limit_text(self) -> str:
        """The limit with its unit."""
        return table.amount(self.limit, self.unit) if self.unit else table.ratio(self.limit)


def judge(
    what: str,
    ours: float,
    unit: str,
    budget: Budget,
    options: Options,
    *,
    reference: tuple[str, float] | None = None,
    over: bool = False,
    peak_mb: float | None = None,
) -> Measured:
    """Compare a measurement with its budget.

    ``what``: the subject, then a colon and its size. ``reference``: name and amount in the same unit. ``over``: the
    budget limits the difference from the reference.
    """
    ratio = _ratio(ours, reference[1]) if reference else None
    value = ours
    if over and reference:
        value = ours - reference[1]
    elif not budget.unit and ratio is not None:
        value = ratio
    allowed = budget.with_slack(options.slack)
    return Measured(
        what=what,
        ours=table.amount(ours, unit) + (f" ({value:+.1f})" if over else ""),
        reference=f"{reference[0]}: {table.amount(reference[1], unit)}" if reference else "",
        ratio=None if ratio is None or math.isinf(ratio) else table.ratio(ratio),
        budget=f"<= +{allowed.limit_text}" if over else str(allowed),
        passed=allowed.holds(value),
        peak_mb=peak_mb,
    )


def _ratio(ours: float, reference: float) -> float:
    if reference:
        return ours / reference
    return math.inf if ours else 1.0


def alternating(
    calls: Mapping[str, Callable[[], object]], rounds: int, *, warm: int = 1, between: Callable[[], object] = bool
) -> dict[str, float]:
    """Return the median seconds of each call, called alternately, after ``warm`` warm-up rounds.

    ``between`` is called after each, so that background work of one does not slow the next.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + warm):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            took = time.perf_counter() - began
            if number >= warm:
                times[name].append(took)
            between()
    return {name: statistics.median(taken) for name, taken in times.items()}


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which processes find this clone, without our variables other than ``more``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LEO_TELEMETRY_", "DAGSTER_"))}
    # Bytecode is cached, as for an installed package.
    clean.pop("PYTHONDONTWRITEBYTECODE", None)
    paths = filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)])
    return clean | {"PYTHONPATH": os.pathsep.join(paths)} | more


def process(command: Sequence[str], environ: Mapping[str, str]) -> tuple[float, float]:
    """Run a command and return its seconds and peak memory in MB. Raises RuntimeError with its last line of output."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        started = subprocess.Popen(
            command, env=dict(environ), cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, used = os.wait4(started.pid, 0)
        took = time.perf_counter() - began
        started.returncode = os.waitstatus_to_exitcode(status)
        if started.returncode:
            output.seek(0)
            raise RuntimeError(f"{command[-1]}: {table.last_line(output.read().decode(errors='replace'))}")
    return took, _mb(used)


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    return _mb(resource.getrusage(resource.RUSAGE_SELF))


def _mb(used: resource.struct_rusage) -> float:
    # The value is in kilobytes, except on macOS, where it is in bytes.
    return used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


@contextmanager
def home() -> Iterator[Path]:
    """Yield a home in a temporary folder, with a short path and open to servers that do not run as root."""
    with tempfile.TemporaryDirectory(prefix="leo-", dir="/tmp" if Path("/tmp").is_dir() else None) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "home"


def run(measurements: Callable[[Options], Iterable[Measured]]) -> int:
    """Measure as the command line says, print the results, and return the exit status: 1 on a miss."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="small, with 1.5 x slack")
    parser.add_argument("--largest", action="store_true", help="also with 10,000,000 spans")
    parser.add_argument("--json", action="store_true", help="print each measurement as a line of JSON")
    asked = parser.parse_args()
    rows = []
    for measured in measurements(Options(asked.quick, asked.largest)):
        rows.append(measured)
        if asked.json:
            print(json.dumps(asdict(measured)), flush=True)
    if asked.json:
        # The reader of the lines judges them; another status means that the script failed.
        return 0
    print(table.rendered(rows), table.summed_up(rows), sep="\n")
    return table.exit_status(rows)
