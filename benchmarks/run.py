"""Run all benchmarks and print one table: ``make bench``.

Belongs here: one process per script, and the output. Does not: measuring (the scripts), the table (table).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import table
from benchmarks.table import Measured

HERE = Path(__file__).resolve().parent
# Retries of a missed budget in a quick run: short measurements are noisy, and noise only makes things slower.
AGAIN = 2
# These measure accuracy rather than time and saturate one core: a quick run executes two at once.
ERRORS = (
    *("causes", "changes", "compare", "forecast", "mix", "resolution", "tails", "time_outs", "tuning", "versions"),
    "year",
)
COUNTS_ERRORS = {f"bench_{name}.py" for name in ERRORS}


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> int:
    """Run the scripts, print the table, and return the exit status: 1 if a budget is missed or a script fails."""
    parser = argparse.ArgumentParser(description="Run every benchmark and print one table.")
    parser.add_argument("--quick", action="store_true", help="small, with 1.5 x slack")
    parser.add_argument("--largest", action="store_true", help="also with 10,000,000 spans, which takes long")
    parser.add_argument("names", nargs="*", help="only these: span, ingest, ... (all)")
    asked = parser.parse_args(arguments)
    flags = [f"--{name}" for name in ("quick", "largest") if getattr(asked, name)]
    scripts = sorted(folder.glob("bench_*.py"))
    chosen = [script for script in scripts if not asked.names or script.stem.removeprefix("bench_") in asked.names]
    if not chosen:
        names = ", ".join(script.stem.removeprefix("bench_") for script in scripts)
        parser.error(f"there is no benchmark {' '.join(asked.names)!r}: choose from {names}")
    parallel = [script for script in chosen if asked.quick and script.name in COUNTS_ERRORS]
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(parallel, pool.map(lambda script: timed(script, flags), parallel), strict=True))
    rows: list[Measured] = []
    for number, script in enumerate(chosen, 1):
        ahead = f"{number}/{len(chosen)} {script.name}"
        of_script = found.get(script) or timed(script, flags, ahead)
        for _ in range(AGAIN if asked.quick else 0):
            if table.exit_status(of_script) == 0:
                break
            of_script = table.better(of_script, timed(script, flags, f"{ahead}, retry after a miss"))
        rows += of_script
    print(table.rendered(rows), table.summed_up(rows), sep="\n")
    return table.exit_status(rows)


def timed(script: Path, flags: Sequence[str], ahead: str = "") -> list[Measured]:
    """Run a script and report its duration on stderr."""
    if ahead:
        print(f"{ahead} ...", end=" ", file=sys.stderr, flush=True)
    began = time.monotonic()
    rows = measured(script, flags)
    took = f"{time.monotonic() - began:.0f} s"
    print(took if ahead else f"{script.name}, in parallel: {took}", file=sys.stderr, flush=True)
    return rows


def measured(script: Path, flags: Sequence[str]) -> list[Measured]:
    """Run a script in its own process and return its measurements."""
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        command = [sys.executable, str(script), "--json", *flags]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err) as process:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                # The script received Ctrl-C too: let it stop its database.
                process.wait()
                raise
        out.seek(0)
        err.seek(0)
        return table.measurements_of(script.name, out.read(), err.read(), status)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
