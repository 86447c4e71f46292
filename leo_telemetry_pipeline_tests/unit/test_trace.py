"""The trace API in a separate process, and the examples of its guide."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.trace import InMemoryRecorder, tracer
from leo_telemetry_pipeline_tests import processes

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "tracing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SLOW_IMPORTS = (
    "collections dataclasses enum functools importlib.metadata inspect json logging pathlib random re threading typing"
    " uuid contextlib psycopg2 sqlalchemy"
)


def run(code: str, home: Path, **environ: str) -> subprocess.CompletedProcess:
    """Run a measured program without a database."""
    environ = processes.environment(home) | environ
    return subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        timeout=processes.PATIENCE_S,
    )


def result(code: str, home: Path, **environ: str):
    """Run a program and return the JSON that it prints."""
    done = run(code, home, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_importing_the_trace_api_imports_nothing_slow(home: Path) -> None:
    """Lost: milliseconds at the start of every measured program."""
    code = """
import sys
before = set(sys.modules)
import leo_telemetry_pipeline.trace
loaded = sorted(set(sys.modules) - before)
import json
print(json.dumps(loaded))
"""
    assert set(result(code, home)) & set(SLOW_IMPORTS.split()) == set()


def test_importing_the_trace_api_touches_no_disk_and_starts_no_thread(home: Path) -> None:
    """Lost: programs that only import measured code get threads and files."""
    code = "import json, threading, leo_telemetry_pipeline.trace; print(json.dumps(threading.active_count()))"
    assert result(code, home) == 1
    assert not home.exists()


def test_every_documented_name_exists() -> None:
    """Lost: the guide has a name that does not exist."""
    for name in trace.__all__:
        assert getattr(trace, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        trace.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_program_without_a_database_keeps_its_spans_on_disk(home: Path) -> None:
    """Lost: spans of everything that ran before the database was set up."""
    code = """
import json
from leo_telemetry_pipeline import trace
with trace.tracer.handoff("h"), trace.tracer.gate("g"):
    pass
assert trace.flush(30)
print(json.dumps(trace.counters()))
"""
    assert result(code, home) == {"created": 2, "stored": 0, "spooled": 2, "dropped": {}, "queued": 0}
    assert list((home / "spool").glob("*.spans"))


def test_the_disabled_trace_api_does_nothing_at_all(home: Path) -> None:
    """Lost: the off switch for people who suspect telemetry as the cause of a problem."""
    code = """
import json, threading
from leo_telemetry_pipeline import trace
with trace.tracer.handoff("h") as span:
    span.set(a=1)
    assert trace.current() is None and trace.traceparent() is None and trace.writer() is None
assert trace.flush()
print(json.dumps([trace.counters()["created"], threading.active_count()]))
"""
    assert result(code, home, LEO_TELEMETRY_ENABLED="false") == [0, 1]
    assert not home.exists()


def test_an_invalid_setting_is_reported_once_and_stops_nothing(home: Path) -> None:
    """Lost: a workflow, because of a typo in a variable."""
    code = """
from leo_telemetry_pipeline import trace
for _ in range(3):
    with trace.tracer.handoff("h"):
        pass
print("went on", trace.flush())
"""
    done = run(code, home, LEO_TELEMETRY_QUEUE_SPANS="many")
    assert (done.returncode, done.stdout) == (0, "went on False\n")
    assert done.stderr.count("LEO_TELEMETRY_QUEUE_SPANS") == 1


def test_settings_in_code_override_the_environment_until_the_first_span(home: Path) -> None:
    """Lost: spans of one program go to the home and project of another."""
    other = home.with_name(home.name + "x")
    code = f"""
import json
from leo_telemetry_pipeline import trace
early = trace.configure(home={str(other)!r}, project="shop", durable=True)
with trace.tracer.handoff("h"):
    late = trace.configure(project="late")
print(json.dumps([early, late, trace.counters()["created"]]))
"""
    try:
        assert result(code, home, LEO_TELEMETRY_PROJECT="environment") == [True, False, 1]
        (segment,) = (other / "spool").glob("*.spans")
        assert '"shop"' in segment.read_text()
        assert not home.exists()
    finally:
        subprocess.run(["rm", "-rf", str(other)], check=True)


def test_a_test_can_see_what_the_process_tracer_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: tests of measured code."""
    recorder = InMemoryRecorder()
    monkeypatch.setattr(tracer, "recorder", recorder)
    with tracer.handoff("h") as span:
        assert trace.current() is span
        assert (trace.traceparent() or "").split("-")[1] == f"{span.trace_id:032x}"
    assert trace.current() is None
    assert [span.span_name for span in recorder.spans] == ["h"]


def test_sigterm_is_left_alone_from_another_thread(home: Path) -> None:
    """Lost: a program that sets up tracing in a thread fails."""
    code = """
import json, signal, threading
from leo_telemetry_pipeline import trace
returned = []
thread = threading.Thread(target=lambda: returned.append(trace.flush_on_sigterm()))
thread.start()
thread.join()
print(json.dumps([*returned, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL]))
"""
    assert result(code, home) == [False, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("emit_before", [True, False])
def test_a_forked_child_is_measured_like_its_parent(home: Path, emit_before: bool) -> None:
    """Lost: spans of worker processes; or counts, if a span is stored twice."""
    code = f"""
import json, os
from leo_telemetry_pipeline import trace
if {emit_before}:
    with trace.tracer.gate("before"):
        pass
with trace.tracer.handoff("h"):
    child = os.fork()
    if not child:
        with trace.tracer.gate("child"):
            pass
        os._exit(0 if trace.flush(30) and trace.counters()["created"] == 1 else 9)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert trace.flush(30)
print(json.dumps([status, trace.counters()["created"]]))
"""
    assert result(code, home) == [0, 2 if emit_before else 1]


@pytest.mark.parametrize("durable", ["false", "true"])
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_spans_of_a_signal_handler_during_the_first_span_are_kept(home: Path, durable: str) -> None:
    """Lost: all spans of a program whose timer fires while the writer is created."""
    code = """
import json, signal, sys, time
from leo_telemetry_pipeline import trace
ended = [0]
def handle(*_):
    with trace.tracer.gate("of the handler"):
        ended[0] += 1
signal.signal(signal.SIGALRM, handle)
class Slow:
    # Each import takes long enough for the timer.
    def find_spec(self, name, path=None, target=None):
        until = time.monotonic() + 0.01
        while time.monotonic() < until:
            pass
sys.meta_path.insert(0, Slow())
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
with trace.tracer.gate("first"):
    ended[0] += 1
signal.setitimer(signal.ITIMER_REAL, 0)
sys.meta_path.pop(0)
flushed, counted = trace.flush(30), trace.counters()
assert flushed == (not counted["dropped"]), (flushed, counted)
print(json.dumps([ended[0] > 1, counted["created"] - ended[0], counted["spooled"] - ended[0]]))
"""
    handled, created, spooled = result(code, home, LEO_TELEMETRY_DURABLE=durable)
    assert handled
    # Durable spans are prepared in the handler itself, which may interrupt its own imports.
    assert durable == "true" or (created, spooled) == (0, 0)


@pytest.mark.parametrize("last", ["", "sys.exit(0)", "threading.Thread(target=one).start()"])
def test_a_program_that_ends_right_after_its_first_span_keeps_it(home: Path, last: str) -> None:
    """Lost: the only span of a short program, whose writer does not exist yet."""
    code = f"""
import sys, threading
from leo_telemetry_pipeline.trace import tracer
def one():
    with tracer.gate("g"):
        pass
one()
{last}
"""
    done = run(code, home)
    assert (done.returncode, done.stderr) == (0, "")
    stored = "".join(segment.read_text() for segment in (home / "spool").glob("*.spans"))
    assert stored.count('"g"') == (2 if "Thread" in last else 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_right_after_the_first_span_counts_each_span_once(home: Path) -> None:
    """Lost: counts are wrong because a child stores spans of its parent, or a child waits forever."""
    code = """
import json, os
from leo_telemetry_pipeline import trace
with trace.tracer.gate("parent"):
    pass
children = []
for _ in range(5):
    child = os.fork()
    if not child:
        with trace.tracer.gate("child"):
            pass
        os._exit(0 if trace.flush(30) and trace.counters()["created"] == 1 else 9)
    children.append(child)
states = [os.waitpid(child, 0)[1] for child in children]
print(json.dumps([states, trace.flush(30), trace.counters()["created"]]))
"""
    assert result(code, home) == [[0] * 5, True, 1]
    stored = "".join(segment.read_text() for segment in (home / "spool").glob("*.spans"))
    assert (stored.count('"parent"'), stored.count('"child"')) == (1, 5)


def test_every_durable_span_is_on_disk_when_its_block_ends(home: Path) -> None:
    """Lost: durability of a program's first span."""
    code = """
import os, signal
from leo_telemetry_pipeline.trace import tracer
with tracer.gate("g"):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(code, home, LEO_TELEMETRY_DURABLE="true").returncode == -signal.SIGKILL
    assert any('"g"' in path.read_text() for path in (home / "spool").iterdir() if path.is_file())


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[-1][:40])
def test_every_example_of_the_guide_runs(block: str, home: Path) -> None:
    """Lost: the first attempt of a new user."""
    done = run(block, home)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_program_runs_without_a_database(example: Path, home: Path) -> None:
    """Lost: the programs that new users start with."""
    done = subprocess.run(
        [sys.executable, str(example)],
        env=processes.environment(home),
        capture_output=True,
        text=True,
        timeout=processes.PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 in the database" in done.stdout
    assert list((home / "spool").glob("*.spans"))
