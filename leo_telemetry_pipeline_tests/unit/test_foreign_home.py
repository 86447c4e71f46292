"""A home that others may write to, or that is theirs, is left alone by everything that would write there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests import processes

TRACES = """
from leo_telemetry_pipeline import trace
with trace.tracer.handoff("H", sd_id="SD-1"):
    pass
assert not trace.flush(5)
print("done")
"""
EVENT = json.dumps({"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "x"})
SAID = "belongs to somebody else, or others may write there"


@pytest.fixture(params=["open to all", "of another user"])
def foreign(request: pytest.FixtureRequest, home: Path) -> Path:
    """Make a home that is not ours alone."""
    home.mkdir()
    if request.param == "open to all":
        home.chmod(0o777)
    else:
        processes.need(os.geteuid() == 0, "only root can give a folder away")
        os.chown(home, processes.NOBODY, processes.NOBODY)
    return home


@pytest.mark.parametrize(
    ("command", "code", "out"),
    [
        ([sys.executable, "-c", TRACES], 0, "done\n"),
        (processes.command("hook", "session-start"), 0, ""),
        (processes.command("hook", "span"), 0, ""),
        (processes.command("runs"), 3, ""),
        (processes.command("worker"), 3, ""),
        (processes.command("serve"), 3, ""),
    ],
    ids=["trace API", "session hook", "span hook", "command", "worker", "receiver"],
)
def test_nothing_writes_into_a_home_that_is_not_ours_alone(foreign: Path, command: list[str], code: int, out: str):
    """Lost: spans and prompts of one person in the folder of another, who can read and change them."""
    done = subprocess.run(
        command, input=EVENT, env=processes.environment(foreign), capture_output=True, text=True, timeout=180
    )
    assert (done.returncode, done.stdout) == (code, out), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert str(foreign) in done.stderr
    assert SAID in done.stderr
    assert list(foreign.iterdir()) == []
