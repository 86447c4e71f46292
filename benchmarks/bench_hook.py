"""What a session feels of the hooks: their time over that of a bare Python, without a database in reach."""

import json
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
REST_S = 0.3
COMMON = {"session_id": "58306048-168c-44db-a8fd-9ad6a24b516c", "cwd": "/home/user/proj", "prompt_id": "p1"}
TOOL = {"tool_name": "Bash", "tool_use_id": "toolu_1", "duration_ms": 5}
# What runs, and what it is told.
HOOKS = {
    "session-start": ("session-start", {"hook_event_name": "SessionStart", "source": "startup"}),
    "tool used": ("span", {"hook_event_name": "PostToolUse", **TOOL, "tool_response": {"stdout": "x" * 10_000}}),
    "prompt answered": ("span", {"hook_event_name": "Stop"}),
}
BARE = [sys.executable, "-c", "pass"]


def hook(name: str) -> list[str]:
    script = Path(sys.executable).with_name("leo-telemetry")
    if script.exists():
        return [str(script), "hook", name]
    return [sys.executable, "-c", "from leo_telemetry_pipeline.cli.main import main; main()", "hook", name]


def milliseconds(command: list[str], environ: dict[str, str], event: dict) -> float:
    said = json.dumps(COMMON | event).encode()
    begin = time.perf_counter()
    # Both outputs are read to their end, as a session does: a child that held one would count.
    done = subprocess.run(command, input=said, env=environ, capture_output=True, check=True)
    took = 1000 * (time.perf_counter() - begin)
    assert not done.stdout
    assert not done.stderr, done.stderr.decode()
    return took


def measure(environ: dict[str, str], log: Path) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {name: [] for name in (*HOOKS, "bare")}
    for number in range(TIMES + 1):
        took = {"bare": milliseconds(BARE, environ, {})}
        for name, (argument, event) in HOOKS.items():
            took[name] = milliseconds(hook(argument), environ, event)
            # What goes on behind the session's back would be felt by the next measurement.
            time.sleep(REST_S)
        until = time.monotonic() + 30
        while log.read_text().count("does not answer") <= number and time.monotonic() < until:
            time.sleep(0.01)
        for name, milli in took.items() if number else ():  # the first only warms the file cache
            measured[name].append(milli)
    return measured


def main() -> int:
    home = Path(tempfile.mkdtemp(prefix="leo"))
    environ = os.environ | {
        "LEO_TELEMETRY_HOME": str(home),
        # Nobody listens there: each child ends by itself, and leaves the processor to the next measurement.
        "LEO_TELEMETRY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "LEO_TELEMETRY_ENABLED": "true",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    # An installed package is compiled once, not with every start.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        measured = measure(environ, home / "logs" / "hook.log")
    finally:
        shutil.rmtree(home)
    bare, failed = statistics.median(measured.pop("bare")), False
    for name, times in measured.items():
        over = statistics.median(times) - bare
        failed |= over > BUDGET_MS
        verdict = "FAIL" if over > BUDGET_MS else "PASS"
        print(f"hook, {name}: {over:+.1f} ms over bare Python {bare:.1f} ms (budget {BUDGET_MS:.0f} ms) {verdict}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
