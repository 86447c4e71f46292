"""Acceptance trials at full size, resumable: ``make accept``.

Belongs here: discovering trials and skipping the parts already measured.
Does not: a trial (accept_*.py), the file of figures (figures), budgets (run).

A trial is a module ``accept_NAME.py`` with ``parts(full)``, which returns the names of its parts in order, and
``run(part, seed, full)``, which returns instances of figures.Figure.
"""

import argparse
import importlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from benchmarks import figures
from benchmarks.figures import Part

HERE = Path(__file__).resolve().parent
# Fixed for small runs, so that CI reproduces a developer's run.
SMALL_SEED = 11


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the missing parts, and return the exit status: 1 if any figure misses its requirement."""
    parser = argparse.ArgumentParser(description="Run acceptance trials at full size; repeated runs continue.")
    parser.add_argument("--small", action="store_true", help="a small version of each, not recorded: what CI runs")
    parser.add_argument("--again", action="store_true", help="measure recorded parts again")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no part after this time")
    parser.add_argument("names", nargs="*", help="only these trials (all)")
    asked = parser.parse_args(arguments)
    trials = _trials(asked.names)
    if not trials:
        parser.error(f"there is no trial {' '.join(asked.names)!r}")
    known = [] if asked.small else figures.read()
    ends = time.monotonic() + asked.minutes * 60
    fresh = []
    for name, part in _wanted(trials, known, full=not asked.small, again=asked.again):
        if time.monotonic() > ends:
            print(f"{name} {part}: not started, --minutes are over", file=sys.stderr)
            continue
        measured = _measure(name, trials[name], part, full=not asked.small)
        fresh.append(measured)
        _print(measured)
        if not asked.small:
            known = [old for old in known if (old.trial, old.part) != (name, part)] + [measured]
            figures.write(known)
    shown = fresh if asked.small else known
    return int(not all(figure.held for measured in shown for figure in measured.figures))


def _trials(names: Sequence[str]) -> dict[str, ModuleType]:
    found = sorted(path.stem.removeprefix("accept_") for path in HERE.glob("accept_*.py"))
    return {name: importlib.import_module(f"benchmarks.accept_{name}") for name in found if name in (names or found)}


def _wanted(trials: dict[str, ModuleType], known: list[Part], *, full: bool, again: bool) -> Iterator[tuple[str, str]]:
    done = {(measured.trial, measured.part) for measured in known}
    for name, trial in trials.items():
        for part in trial.parts(full):
            if again or (name, part) not in done:
                yield name, part


def _measure(name: str, trial: ModuleType, part: str, *, full: bool) -> Part:
    seed = random.SystemRandom().randrange(1 << 31) if full else SMALL_SEED
    began = time.monotonic()
    measured = tuple(trial.run(part, seed, full))
    took = round(time.monotonic() - began)
    return Part(name, part, seed, _commit(), f"{datetime.now(UTC):%Y-%m-%d}", took, measured)


def _commit() -> str:
    asked = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "unknown"


def _print(measured: Part) -> None:
    print(f"{measured.trial} {measured.part}: seed {measured.seed}, {measured.seconds} s")
    for figure in measured.figures:
        print(
            f"  {'ok  ' if figure.held else 'MISS'} {figure.line} {figure.what}: {figure.measured} ({figure.required})"
        )


if __name__ == "__main__":
    raise SystemExit(main())
