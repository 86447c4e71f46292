"""SIGTERM at random moments of the start of `serve`, `worker` and `dev`, which must leave nothing: line 12.7.

Belongs here: the starts, and what counts as left behind. Does not: processes of a home (the tests' processes).
"""

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from leo_telemetry_pipeline.cli.processes import home_owner
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.processes import Running

LINE = "12.7"
COMMANDS = ("serve", "worker", "dev")
# Every second home already has a database.
WITHIN_S = 3.0
LIMIT_S = 5.0
# A process that takes longer hangs.
GIVE_UP_S = 60.0
STARTS = {True: 67, False: 3}


@dataclass(frozen=True)
class Ended:
    """How one start ended: duration, exit status and leftovers."""

    moment_s: float
    took_s: float
    code: int | None
    left: tuple[str, ...]
    said: str

    @property
    def is_well(self) -> bool:
        """Whether it ended with status 0 or by the signal, and left nothing."""
        return self.code in (0, -signal.SIGTERM) and not self.left and "Traceback" not in self.said


def parts(full: bool) -> list[str]:
    """Return the commands."""
    return list(COMMANDS) if full else [COMMANDS[0]]


def run(part: str, seed: int, full: bool) -> list[Figure]:
    """End a command at random moments and check that all end in time and leave nothing."""
    moments = random.Random(seed)
    ends = list(measured(part, [moments.uniform(0, WITHIN_S) for _ in range(STARTS[full])]))
    slowest = max(ends, key=lambda one: one.took_s)
    bad = [f"at {one.moment_s:.3f} s: status {one.code}, left {', '.join(one.left) or 'nothing'}" for one in ends]
    bad = [text for text, one in zip(bad, ends, strict=True) if not one.is_well]
    return [
        Figure(
            LINE,
            f"`{part}` ended by SIGTERM within {WITHIN_S:g} s of its start, {len(ends)} times",
            f"ends within {LIMIT_S:g} s, leaving nothing behind",
            f"slowest {slowest.took_s:.1f} s (sent at {slowest.moment_s:.2f} s); " + ("; ".join(bad) or "nothing left"),
            slowest.took_s <= LIMIT_S and not bad,
        )
    ]


def measured(command: str, moments: Sequence[float], make: Callable[[Path], object] | None = None) -> Iterator[Ended]:
    """End a command at each moment after its start, alternately in a new and a used home.

    ``make`` creates the used home, with Dagster's tables.
    """
    with _folder() as folder:
        used = folder / "used"
        (make or _migrated)(used)
        for number, moment_s in enumerate(moments):
            home = used if number % 2 else folder / f"new{number}"
            yield ended_at(home, command, moment_s)
            if home != used:
                shutil.rmtree(home, ignore_errors=True)


def _migrated(home: Path) -> None:
    processes.run(home, "migrate")


def ended_at(home: Path, command: str, moment_s: float, number: signal.Signals = signal.SIGTERM) -> Ended:
    """Start a command in a home, signal it after ``moment_s``, and return how it ended."""
    with processes.started(home, *_arguments(command)) as running:
        time.sleep(moment_s)
        began = time.monotonic()
        running.interrupt(number)
        code = _code(running, began + GIVE_UP_S)
        took_s = time.monotonic() - began
        # Files may disappear a moment after the process.
        until = time.monotonic() + LIMIT_S
        while (left := _left(home)) and time.monotonic() < until:
            time.sleep(0.05)
        return Ended(moment_s, took_s, code, left, running.said())


def _arguments(command: str) -> tuple[str, ...]:
    port = str(processes.free_port())
    if command == "dev":
        return (command, "--port", port, "--otlp-port", str(processes.free_port()))
    return (command, "--port", port) if command == "serve" else (command,)


def _code(running: Running, give_up: float) -> int | None:
    while running.process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.005)
    return running.process.poll()


def _left(home: Path) -> tuple[str, ...]:
    alive = [f"process {text[:60]}" for text in processes.processes_of(home).values()]
    owners = [home_owner.current(home, what) for what in (home_owner.DAEMON, home_owner.UI)]
    locked = [f"the lock of {owner}" for owner in owners if owner]
    made = ("run/.s.PGSQL.*", "database/postmaster.pid", "tmp.*", "database.new.*")
    files = [str(path.relative_to(home)) for pattern in made for path in home.glob(pattern)]
    half = (home / "database").exists() and not (home / "pgpass").exists()
    return (*alive, *locked, *files, *(["a database without its password"] if half else []))


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="leo-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        for home in folder.iterdir():
            with suppress(OSError):
                processes.end_all_of(home)
        shutil.rmtree(folder, ignore_errors=True)
        assert not os.path.lexists(folder)
