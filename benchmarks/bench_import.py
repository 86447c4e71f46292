"""Importing the trace API: at most 20 ms over bare Python, medians of 30 alternating runs (DESIGN section 8).

Belongs here: the measurement and its line. Does not: anything that is measured.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 30
BUDGET_MS = 20.0
ROOT = Path(__file__).resolve().parents[1]
OURS = "from leo_telemetry_pipeline.trace import tracer"


def milliseconds(code: str, environ: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], env=environ, check=True, cwd="/")
    return (time.perf_counter() - began) * 1000


def main() -> int:
    """Measure, print one line, and return 1 on a miss."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    # An installed package is compiled once, not with every start.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    times: dict[str, list[float]] = {OURS: [], "pass": []}
    for number in range(RUNS + 1):
        for code, measured in times.items():
            took = milliseconds(code, environ)
            if number:  # the first only compiles, and warms the file cache
                measured.append(took)
    bare = statistics.median(times["pass"])
    over = statistics.median(times[OURS]) - bare
    passed = over <= BUDGET_MS
    print(
        f"importing the trace API: {over:+.1f} ms (over bare Python {bare:.1f} ms, ratio {over / bare + 1:.2f},"
        f" budget {BUDGET_MS:.0f} ms) {'PASS' if passed else 'FAIL'}"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
