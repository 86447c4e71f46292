"""Dagster's own commands, as used by a person who knows Dagster but not this package."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import row
from leo_telemetry_pipeline_tests.libpq_variables import NONSENSE
from leo_telemetry_pipeline_tests.processes import (
    ROOT,
    Done,
    Running,
    end_all_of,
    finished,
    free_port,
    processes_of,
    sees_processes,
    serves,
    until,
)

pytestmark = sees_processes

FIRST = 'Run eval "$(leo-telemetry env)" first'
ENTER = 'eval "$(leo-telemetry env)"'
SHELLS = [shell for shell in ("bash", "sh", "zsh") if shutil.which(shell)]


class Desk:
    """A clone, a PATH with our command and Dagster's, and a home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.clone = folder / "clone"
        self.clone.mkdir()
        for name in ("workspace.yaml", "dagster.yaml", "pyproject.toml"):
            shutil.copy(ROOT / name, self.clone)
        programs = folder / "bin"
        programs.mkdir()
        ours = programs / "leo-telemetry"
        ours.write_text(f'#!/bin/sh\nexec {shlex.join(processes.command())} "$@"\n')
        ours.chmod(0o755)
        beside = Path(sys.executable).absolute().parent
        path = os.pathsep.join([str(programs), str(beside), os.environ.get("PATH", os.defpath)])
        # Dagster's warnings here are not about our code. The variables are for the user's own database.
        self.environment = processes.environment(
            self.home, PATH=path, HOME=str(folder), PYTHONWARNINGS="ignore", **NONSENSE
        )

    def shell(self, script: str, shell: str = "sh") -> Done:
        """Run a shell script in the clone to its end."""
        return finished([shell, "-c", script], self.environment, cwd=self.clone)

    @contextmanager
    def running(self, script: str) -> Iterator[Running]:
        """Run a shell script until the block ends; then end all that it started."""
        log = self.home.with_name("shell.log")
        shell = Running(["sh", "-c", f"cd {shlex.quote(str(self.clone))}; {script}"], self.environment, log)
        try:
            yield shell
        finally:
            end_all_of(self.home)
            end_all_of(self.clone)
            shell.process.wait(timeout=processes.PATIENCE_S)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Create a desk, and clean up after the test."""
    folder = Path(tempfile.mkdtemp(prefix="leo-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield Desk(folder)
    finally:
        end_all_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def used(desk: Desk, make_home: Callable[[Path], Path]) -> Desk:
    """Create a desk with an existing home."""
    make_home(desk.home)
    return desk


@pytest.mark.parametrize("shell", SHELLS)
def test_definitions_validate_after_env(used: Desk, shell: str):
    """Lost: users who know Dagster, or run it in CI, must learn our commands first."""
    done = used.shell(f"{ENTER}; dagster definitions validate -w workspace.yaml", shell)
    assert done.code == 0, done
    assert "Traceback" not in done.out + done.err
    assert "success" in (done.out + done.err).lower()
    until(lambda: not processes_of(used.home), "the database ends with the shell")


@pytest.mark.parametrize("typed", ["dagster definitions validate -w workspace.yaml", "dagster dev -w workspace.yaml"])
def test_before_env_one_line_names_the_remedy(desk: Desk, typed: str):
    """Lost: users get a page of Dagster's errors without the remedy."""
    done = desk.shell(f"{typed} -p {free_port()}" if " dev " in typed else typed)
    said = done.out + done.err
    assert done.code == 1, done
    assert said.count(FIRST) == 1, said
    assert "Traceback" not in said
    assert not desk.home.exists()
    assert not processes_of(desk.clone)


def test_plain_dagster_dev_serves_after_env(desk: Desk):
    """Lost: `dagster dev`, the first command that anybody tries in a Dagster project."""
    port = free_port()
    with desk.running(f"{ENTER}; exec dagster dev -h 127.0.0.1 -p {port}") as shell:
        until(lambda: serves(port), "the UI serves", by=shell)
        before = processes.daemon_beat(desk.home)
        until(lambda: processes.daemon_beat(desk.home) > before, "the daemon beats", by=shell)
        # Dagster's daemon finds our sensors, and these find our database.
        run_id = processes.run(desk.home, "enqueue").out.split()[2].rstrip(".")
        with closing(processes.inside(desk.home)) as db:
            until(lambda: row(db, run_id).status in runs.FINAL, "it is executed", by=shell)
        assert "SUCCEEDED" in processes.run(desk.home, "runs", "show", run_id).out


def test_the_database_lives_as_long_as_the_shell(used: Desk):
    """Lost: the database stops before the second command, or runs until the machine is shut down."""
    gate = used.home.with_name("gate")
    os.mkfifo(gate)
    with used.running(f"{ENTER}; leo-telemetry runs; leo-telemetry runs; cat {shlex.quote(str(gate))}") as shell:
        until(lambda: shell.said().count("No analysis") == 2, "both commands are done", by=shell)
        assert processes.answers(used.home)
        # A killed shell runs no exit handler.
        shell.process.kill()
        shell.process.wait()

        def is_over() -> bool:
            # Does not wait for the command that the shell left behind, even if it has only started.
            os.close(os.open(gate, os.O_RDWR | os.O_NONBLOCK))
            return not processes_of(used.home)

        until(is_over, "the database ends with the shell", by=shell)


def test_two_shells_share_the_database(used: Desk):
    """Lost: closing one terminal stops the database of the other."""
    done = used.shell(f"{ENTER}; sh -c {shlex.quote(f'{ENTER}; leo-telemetry runs')}; sleep 3; leo-telemetry runs")
    assert done.code == 0, done
    assert done.out.count("No analysis") == 2
    until(lambda: not processes_of(used.home), "the database ends with the last shell")


def test_env_in_a_shell_that_cannot_have_a_database_changes_nothing(desk: Desk):
    """Lost: the shell evaluates partial output, after which every command fails differently."""
    script = f"LEO_TELEMETRY_HOME=relative; {ENTER}; echo status $?; env | grep -c DAGSTER_HOME"
    done = desk.shell(script)
    assert "absolute" in done.err
    assert done.err.count("\n") == 1
    assert done.out.splitlines()[-1] == "0"


def test_the_output_of_env_is_safe_to_eval(desk: Desk, make_home: Callable[[Path], Path]):
    """Lost: part of a name with a quote runs as a command in the user's shell."""
    home = desk.home / "it's; touch planted; ('"
    desk.home.mkdir()
    desk.home.chmod(0o711)
    make_home(home)
    script = f"export LEO_TELEMETRY_HOME={shlex.quote(str(home))}; {ENTER}; printf '%s' \"$DAGSTER_HOME\""
    done = desk.shell(script)
    assert done.out == str(home / "dagster"), done
    assert not list(desk.clone.rglob("planted"))
    again = desk.shell(f"export LEO_TELEMETRY_HOME={shlex.quote(str(home))}; leo-telemetry env")
    assert again.code == 0, again
    assert subprocess.run(["sh", "-n", "-c", again.out]).returncode == 0
