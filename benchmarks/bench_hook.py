"""What a session feels of the hook: its time over that of a bare Python, without a database in reach."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMES = 30
BUDGET_MS = 40.0
EVENT = (
    b'{"session_id": "58306048-168c-44db-a8fd-9ad6a24b516c", "transcript_path": "/home/user/t.jsonl",'
    b' "cwd": "/home/user/proj", "hook_event_name": "SessionStart", "source": "startup"}'
)
BARE = [sys.executable, "-c", "pass"]


def hook() -> list[str]:
    script = Path(sys.executable).with_name("leo-telemetry")
    if script.exists():
        return [str(script), "hook", "session-start"]
    return [sys.executable, "-c", "from leo_telemetry_pipeline.cli.main import main; main()", "hook", "session-start"]


def milliseconds(command: list[str], environ: dict[str, str]) -> float:
    begin = time.perf_counter()
    # Both outputs are read to their end, as a session does: a child that held one would count.
    done = subprocess.run(command, input=EVENT, env=environ, capture_output=True, check=True)
    took = 1000 * (time.perf_counter() - begin)
    assert not done.stdout
    assert not done.stderr, done.stderr.decode()
    return took


def main() -> int:
    home = Path(tempfile.mkdtemp(prefix="leo"))
    environ = os.environ | {
        "LEO_TELEMETRY_HOME": str(home),
        # Nobody listens there: each child ends by itself, and leaves the processor to the next measurement.
        "LEO_TELEMETRY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "LEO_TELEMETRY_ENABLED": "true",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    measured: dict[str, list[float]] = {"hook": [], "bare": []}
    log = home / "logs" / "hook.log"
    try:
        for number in range(TIMES + 1):
            pair = {"hook": milliseconds(hook(), environ), "bare": milliseconds(BARE, environ)}
            until = time.monotonic() + 30
            while log.read_text().count("does not answer") <= number and time.monotonic() < until:
                time.sleep(0.01)
            for name, took in pair.items() if number else ():  # the first only warms the file cache
                measured[name].append(took)
    finally:
        shutil.rmtree(home)
    over = statistics.median(measured["hook"]) - statistics.median(measured["bare"])
    verdict = "PASS" if over <= BUDGET_MS else "FAIL"
    print(f"hook, as the session feels it: {over:+.1f} ms (budget {BUDGET_MS:.0f} ms) {verdict}")
    return verdict == "FAIL"


if __name__ == "__main__":
    sys.exit(main())
