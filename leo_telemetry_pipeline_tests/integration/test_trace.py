"""Measured programs in their own processes: their spans are in the table when they have ended."""

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes

ALL = "SELECT span_name, to_jsonb(stored) FROM workflow_trace_log stored"


def start(code: str, home: Path, url: str, **more: str) -> subprocess.Popen:
    """Start a measured program."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        env=processes.environment(home, LEO_TELEMETRY_DATABASE_URL=url, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen, status: int = 0) -> str:
    """Wait for a program's end, and return its output."""
    try:
        out, err = process.communicate(timeout=processes.PATIENCE_S)
    finally:
        process.kill()
    assert (process.returncode, err) == (status, "")
    return out


def spans(db: Database) -> dict[str, dict]:
    """Return the rows of the table by span name."""
    return dict(db.rows(ALL))


def test_a_handoff_and_its_child_process_are_one_trace_in_the_table(
    db: Database, database_url: str, home: Path
) -> None:
    """Lost: the whole purpose of tracing."""
    code = """
import os, subprocess, sys, time
from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.trace import tracer
if sys.argv[1:]:
    with tracer.subagent("CHILD"):
        pass
    assert trace.flush(30)
else:
    with tracer.handoff("H", sd_id="SD-1", sd_type="feature", queued_at=time.time() - 2):
        with tracer.gate("G") as gate:
            gate.set(gate_score=87)
        child = [sys.executable, "-P", "-c", os.environ["CODE"], "child"]
        subprocess.run(child, env=trace.child_environment(), check=True)
    assert trace.flush(30)
    counted = trace.counters()
    assert counted["created"] == counted["stored"] == 2, counted
"""
    ended(start(code, home, database_url, LEO_TELEMETRY_PROJECT="shop", CODE=code))
    found = spans(db)
    assert found.keys() == {"H", "G", "CHILD"}
    assert len({row["trace_id"] for row in found.values()}) == 1
    assert found["CHILD"]["parent_span_id"] == found["G"]["parent_span_id"] == found["H"]["span_id"]
    assert {row["project"] for row in found.values()} == {"shop"}
    assert found["H"]["attributes"] == {"sd_type": "feature"}
    assert found["G"]["attributes"] == {"gate_score": 87}
    assert 2000 <= found["H"]["queue_wait_ms"] < 60_000


@pytest.mark.parametrize("last", ["pass", "sys.exit(3)", "raise SystemExit(0)"])
def test_a_program_that_just_ends_leaves_nothing_behind(db: Database, database_url: str, home: Path, last: str) -> None:
    """Lost: the last spans of every program."""
    code = f"""
import sys
from leo_telemetry_pipeline.trace import tracer
for number in range(300):
    with tracer.gate(f"G{{number}}"):
        pass
{last}
"""
    ended(start(code, home, database_url), 3 if "3" in last else 0)
    assert processes.run(home, "drain", LEO_TELEMETRY_DATABASE_URL=database_url).code == 0
    assert len(spans(db)) == 300


WAITS = """
import signal, sys, time
from leo_telemetry_pipeline import trace
{before}
assert trace.flush_on_sigterm()
for number in range(300):
    with trace.tracer.gate(f"G{{number}}"):
        pass
print("ready", flush=True)
# Short sleeps, because a signal that comes just before one is handled after it.
for _ in range(600):
    time.sleep(0.1)
"""


def test_sigterm_waits_for_the_spans_and_then_ends_the_process_as_usual(
    db: Database, database_url: str, home: Path
) -> None:
    """Lost: the spans of every stopped service are missing, or a service cannot be stopped."""
    process = start(WAITS.format(before=""), home, database_url)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    ended(process, -signal.SIGTERM)
    assert processes.run(home, "drain", LEO_TELEMETRY_DATABASE_URL=database_url).code == 0
    assert len(spans(db)) == 300


def test_sigterm_is_passed_to_the_programs_own_handler(home: Path, database_url: str) -> None:
    """Lost: a program's own orderly shutdown."""
    handler = 'signal.signal(signal.SIGTERM, lambda *_: (print("own handler"), sys.exit(7)))'
    process = start(WAITS.format(before=handler), home, database_url)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert ended(process, 7) == "own handler\n"


def test_sigterm_that_is_ignored_stays_ignored(home: Path, database_url: str) -> None:
    """Lost: a program that intentionally ignores SIGTERM would end."""
    code = """
import signal
from leo_telemetry_pipeline import trace
signal.signal(signal.SIGTERM, signal.SIG_IGN)
assert not trace.flush_on_sigterm()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
"""
    ended(start(code, home, database_url))


def test_a_hanging_database_does_not_delay_the_end_of_a_program(home: Path) -> None:
    """Lost: a service takes long to stop while its database hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=20) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        process = start(WAITS.format(before=""), home, url)
        guard = threading.Timer(30, process.kill)
        guard.start()
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)
        guard.cancel()
    assert list((home / "spool").glob("*.spans"))
