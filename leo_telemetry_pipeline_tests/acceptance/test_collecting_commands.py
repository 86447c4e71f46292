"""``drain``, ``running`` and ``purge`` on the command line, with the embedded database."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline_tests.processes import environment, finished, has_line, run, until

SPOOLED = """
from leo_telemetry_pipeline.trace import tracer
for number in range(3):
    with tracer.handoff("LEAD-TO-PLAN", project="shop", sd_type="feature"):
        with tracer.gate("GATE_PRD_REQUIRED"):
            pass
"""
HANGS = """
import time
from leo_telemetry_pipeline.trace import tracer
with tracer.subagent("DESIGN", sd_id="SD-7"):
    print("open", flush=True)
    time.sleep(600)
"""


def python(home: Path, code: str) -> None:
    done = finished([sys.executable, "-P", "-c", code], environment(home))
    assert done.code == 0, done.err


@pytest.fixture
def spooled(made_home: Path) -> Path:
    """Return a home in which a program recorded six spans while its database was stopped."""
    python(made_home, SPOOLED)
    return made_home


@contextmanager
def hanging(home: Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", HANGS], env=environment(home), stdout=subprocess.PIPE, text=True, cwd="/"
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def hook(home: Path, event: dict[str, str]) -> None:
    """Deliver an event as Claude Code does."""
    command = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "hook", "span"]
    given = json.dumps({"session_id": "5e55", "prompt_id": "p1", **event}).encode()
    subprocess.run(command, input=given, env=environment(home), cwd="/", check=True)


def test_a_prompt_of_claude_code_is_shown_while_it_runs_and_not_afterwards(made_home: Path):
    """Lost: the answer to "what has it been doing for ten minutes?"."""
    hook(made_home, {"hook_event_name": "UserPromptSubmit", "prompt": "secret words"})
    hook(made_home, {"hook_event_name": "SubagentStart", "agent_id": "a1", "agent_type": "Explore"})
    prompt, agent = json.loads(run(made_home, "running", "--json").out)
    assert (prompt["span_type"], prompt["span_name"]) == ("handoff", "claude_code.interaction")
    assert (agent["span_type"], agent["span_name"], agent["session"]) == ("subagent", "Explore", "5e55")
    said = run(made_home, "running").out
    assert "session 5e55" in said
    assert "secret" not in said
    hook(made_home, {"hook_event_name": "SubagentStop", "agent_id": "a1", "agent_type": "Explore"})
    hook(made_home, {"hook_event_name": "Stop"})
    until(lambda: "No operation has been running" in run(made_home, "running").out, "the end of the prompt")


def shows(home: Path, word: str) -> str | None:
    said = run(home, "running").out
    return said if word in said else None


def test_spans_recorded_without_a_database_are_stored_later(home: Path) -> None:
    """Lost: a script that ran before the database's first start would never be measured."""
    python(home, SPOOLED)
    assert not (home / "database").exists()
    first = run(home, "drain")
    assert first.out == "6 span(s) stored from 1 segment(s).\n", first
    assert run(home, "drain").out == "The spool is empty.\n"
    assert run(home, "psql", "-Atc", "SELECT count(*) FROM workflow_trace_log").out == "6\n"


def test_an_analysis_sees_what_waits_in_the_spool(spooled: Path) -> None:
    """Lost: spans of an outage would be judged a week late, or never."""
    assert run(spooled, "analyze").code == 0
    assert run(spooled, "psql", "-Atc", "SELECT drained_by, new_spans FROM telemetry_drains").out == "ANALYSIS|6\n"


def test_an_operation_that_hangs_is_shown_until_its_end(made_home: Path) -> None:
    """Lost: nobody sees which operation a workflow is stuck in."""
    with _database(made_home):
        assert "No operation has been running" in run(made_home, "running").out
        with hanging(made_home) as process:
            shown = until(lambda: shows(made_home, "DESIGN"), "the open operation")
            assert "subagent:DESIGN" in shown
            assert "SD-7" in shown
            assert f"{process.pid} on " in shown
            process.send_signal(signal.SIGINT)
            process.wait(30)
        until(lambda: "No operation has been running" in run(made_home, "running").out, "the end of the operation")


@contextmanager
def _database(home: Path) -> Iterator[None]:
    with database.ready(Settings({PREFIX + "HOME": str(home)})):
        yield


def test_a_purge_asks_first_and_then_leaves_nothing(spooled: Path) -> None:
    """Lost: a typo deletes a year, or purged spans stay in the spool."""
    asked = run(spooled, "purge", "--project", "shop")
    has_line(asked, "6 span(s) of project 'shop' would be permanently deleted: add --yes")
    assert asked.code == 2
    python(spooled, SPOOLED)
    assert run(spooled, "purge", "--project", "").out == "No such spans are stored.\n"
    done = run(spooled, "purge", "--project", "shop", "--yes")
    assert done.out == "Deleted 12 span(s) and 0 quarantined line(s).\n", done
    assert run(spooled, "purge", "--project", "shop", "--yes").out == "No such spans are stored.\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "Give one of --before DATE, --project NAME and --trace ID"),
        (("--before", "2026-02-09", "--project", "x"), "Give one of"),
        (("--before", "yesterday"), "--before 'yesterday' is not a day: write it like 2026-02-09"),
        (("--before", "2999-01-01"), "is in the future"),
        (("--trace", "xyz"), "--trace is not a UUID: 'xyz'"),
    ],
)
def test_a_purge_without_a_clear_selection_is_refused(home: Path, arguments: tuple[str, ...], line: str) -> None:
    """Lost: more would be deleted than intended."""
    done = run(home, "purge", *arguments)
    has_line(done, line)
    assert done.code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_spool_of_another_user_is_left_alone(spooled: Path) -> None:
    """Lost: another user could plant spans in a spool that they may write to."""
    os.chown(spooled / "spool", 65534, 65534)
    done = run(spooled, "drain")
    has_line(done, "cannot be read")
    assert done.code == 1
    assert run(spooled, "analyze").code == 0
