"""Time of each hook over that of a bare Python, without a reachable database.

Belongs here: the measurements. Does not: the hooks.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.measure import BARE, HOME, Budget, Options, environment, home, judge, run
from benchmarks.table import Measured

REST_S = 0.3
COMMON = {"session_id": "58306048-168c-44db-a8fd-9ad6a24b516c", "cwd": "/home/user/proj", "prompt_id": "p1"}
TOOL = {"tool_name": "Bash", "tool_use_id": "toolu_1", "duration_ms": 5}
# Hook command and event.
HOOKS = {
    "session-start": ("session-start", {"hook_event_name": "SessionStart", "source": "startup"}),
    "tool used": ("span", {"hook_event_name": "PostToolUse", **TOOL, "tool_response": {"stdout": "x" * 10_000}}),
    "prompt answered": ("span", {"hook_event_name": "Stop"}),
}


def hook(name: str) -> list[str]:
    script = Path(sys.executable).with_name("leo-telemetry")
    if script.exists():
        return [str(script), "hook", name]
    return [sys.executable, "-c", "from leo_telemetry_pipeline.cli.main import main; main()", "hook", name]


def milliseconds(command: Sequence[str], environ: Mapping[str, str], event: dict) -> float:
    given = json.dumps(COMMON | event).encode()
    begin = time.perf_counter()
    # Reads both outputs to the end, as a session does, and thus also measures a child that keeps an output open.
    done = subprocess.run(command, input=given, env=environ, capture_output=True, check=True)
    took = 1000 * (time.perf_counter() - begin)
    assert not done.stdout
    assert not done.stderr, done.stderr.decode()
    return took


def measure(environ: Mapping[str, str], log: Path, times: int) -> dict[str, float]:
    """Return the median of each hook and of a bare Python, in ms."""
    measured: dict[str, list[float]] = {name: [] for name in (*HOOKS, "bare")}
    for number in range(times + 1):
        took = {"bare": milliseconds(BARE, environ, {})}
        for name, (argument, event) in HOOKS.items():
            took[name] = milliseconds(hook(argument), environ, event)
            # Background work must not affect the next measurement.
            time.sleep(REST_S)
        until = time.monotonic() + 30
        while log.read_text().count("does not answer") <= number and time.monotonic() < until:
            time.sleep(0.01)
        for name, milli in took.items() if number else ():  # the first only warms the file cache
            measured[name].append(milli)
    return {name: statistics.median(taken) for name, taken in measured.items()}


def measurements(options: Options) -> Iterator[Measured]:
    """Compare each hook with an empty process."""
    with home() as folder:
        environ = environment(
            **{
                HOME: str(folder),
                # Connections are refused, so background children end before the next measurement.
                "LEO_TELEMETRY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
                "LEO_TELEMETRY_ENABLED": "true",
            }
        )
        took = measure(environ, folder / "logs" / "hook.log", 5 if options.quick else 30)
    for name in HOOKS:
        what, bare = f"the hook '{name}': no database", ("bare Python", took["bare"])
        yield judge(what, took[name], "ms", Budget(40, "ms"), options, reference=bare, over=True)


if __name__ == "__main__":
    raise SystemExit(run(measurements))
