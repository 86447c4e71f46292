"""Homes that others own or may write to: nothing of ours writes there.

With an outside database, a home may be a mounted volume, which often belongs to root or a group.
"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline.cli.claude import hook
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings, make_home
from leo_telemetry_pipeline_tests import processes

TRACES = """
from leo_telemetry_pipeline import trace
with trace.tracer.handoff("H", sd_id="SD-1"):
    pass
assert not trace.flush(5)
print("done")
"""
EVENT = json.dumps({"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "x"})
OPEN, THEIRS = "is writable by others (mode 0777)", "belongs to somebody else"
# An address at which nothing answers.
OUTSIDE = {PREFIX + "DATABASE_URL": "postgresql://somebody@127.0.0.1:1/x"}
# Owned by root or a group, like an emptyDir or a claim with an fsGroup in Kubernetes.
VOLUMES = (0o777, 0o2775)
KEEPS = """
from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.cli.claude import hook
from leo_telemetry_pipeline.cli.processes import home_owner
from leo_telemetry_pipeline.settings import Settings
with trace.tracer.handoff("H", sd_id="SD-1"):
    pass
assert trace.flush(60)
assert trace.counters()["spooled"] == 1, trace.counters()
hook.refuse_others_home()
Settings().check_home()
with home_owner.held(Settings().home, home_owner.DAEMON, home_owner.this_process("worker")):
    print("done")
"""


@pytest.fixture(params=[OPEN, THEIRS])
def foreign(request: pytest.FixtureRequest, home: Path) -> tuple[Path, str]:
    """Create a home that others own or may write to; return it with the reason for its refusal."""
    home.mkdir()
    if request.param == OPEN:
        home.chmod(0o777)
    else:
        processes.need(os.geteuid() == 0, "only root can give a folder away")
        os.chown(home, processes.NOBODY, processes.NOBODY)
    return home, request.param


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
def test_nothing_writes_into_a_home_that_others_own_or_may_write_to(
    foreign: tuple[Path, str], command: list[str], code: int, out: str
):
    """Lost: spans and prompts of one person in the folder of another, who can read and change them."""
    home, said = foreign
    done = subprocess.run(
        command, input=EVENT, env=processes.environment(home), capture_output=True, text=True, timeout=180
    )
    assert (done.returncode, done.stdout) == (code, out), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert f"{PREFIX}HOME ({home}) {said}" in done.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("mode", VOLUMES, ids=oct)
def test_a_mounted_volume_may_be_a_home_with_an_outside_database(home: Path, mode: int):
    """Lost: on Kubernetes, receivers after an upgrade do not start, or do not keep spans during an outage."""
    prefix = processes.as_ordinary_user()
    home.mkdir()
    if prefix:
        os.chown(home, 0, processes.NOBODY)
    home.chmod(mode)
    more = OUTSIDE | ({"PYTHONPATH": processes.open_clone()} if prefix else {})
    keeps = [*prefix, sys.executable, "-P", "-c", KEEPS]
    done = subprocess.run(
        keeps, env=processes.environment(home, **more), capture_output=True, text=True, timeout=180, cwd="/"
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert stat.S_IMODE((home / "spool").stat().st_mode) & 0o777 == 0o700


def test_a_folder_in_a_home_that_others_may_write_to_is_refused(home: Path):
    """Lost: on a shared volume, Dagster loads another user's code instead of ours."""
    make_home(home, inside="tmp.d").chmod(0o777)
    with pytest.raises(UserError, match=r"tmp\.d belongs to somebody else or is writable by others: remove it"):
        make_home(home, inside="tmp.d")


def test_a_home_of_another_ordinary_user_is_refused_wherever_the_database_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Lost: root mistypes a name, and the spans go into somebody else's folder."""
    processes.need(os.geteuid() == 0, "only root can give a folder away")
    home.mkdir()
    os.chown(home, processes.NOBODY, processes.NOBODY)
    for name, value in OUTSIDE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{home}.* {THEIRS}: choose a folder"):
        make_home(home, inside="spool")
    with pytest.raises(UserError, match=THEIRS):
        Settings().check_home()
    with pytest.raises(PermissionError, match=THEIRS):
        hook.refuse_others_home()
    assert list(home.iterdir()) == []
