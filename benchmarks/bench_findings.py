"""`leo-telemetry findings` with the database running: at most 300 ms, median of 30 (DESIGN section 8).

Belongs here: the measurement and its line. Does not: what findings prints.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import database

RUNS = 30
BUDGET_MS = 300.0


def main() -> int:
    """Measure, print one line, and return 1 on a miss."""
    folder = Path(tempfile.mkdtemp(prefix="leo-bench-"))
    folder.chmod(0o711)
    environment = os.environ | {PREFIX + "HOME": str(folder)}
    environment.pop(database.URL_VARIABLE, None)
    ours = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "findings"]
    bare = [sys.executable, "-c", "pass"]
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    with database.ready(Settings(environment)):
        for _ in range(RUNS):
            for name, command in (("ours", ours), ("bare", bare)):
                began = time.perf_counter()
                subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd="/")
                times[name].append((time.perf_counter() - began) * 1000)
    median = statistics.median(times["ours"])
    passed = median <= BUDGET_MS
    print(
        f"findings, database running: {median:.0f} ms (bare Python {statistics.median(times['bare']):.0f} ms,"
        f" budget {BUDGET_MS:.0f} ms) {'PASS' if passed else 'FAIL'}"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
