"""Supervisor: which programs are restarted, and which end the command."""

import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline.cli.processes import supervise
from leo_telemetry_pipeline.cli.processes.supervise import Program
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline_tests.processes import environment

DIES = [sys.executable, "-S", "-c", "raise SystemExit(3)"]


def run(home: Path, program: Program) -> tuple[str, int] | None:
    """Run one program until it ends for good."""
    home.mkdir()
    variables = environment(home, DAGSTER_HOME=str(home))
    return supervise.run_until_interrupted({"It": program}, variables, Target("", "", ""))


def test_a_program_that_was_never_up_ends_the_command(home: Path, capsys: pytest.CaptureFixture[str]):
    """Lost: a command runs forever without effect if our definitions cannot be imported."""
    assert run(home, Program(DIES, is_up=lambda: False)) == ("It", 3)
    assert capsys.readouterr().err == ""


def test_a_program_that_dies_repeatedly_ends_the_command(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Lost: a program is restarted endlessly without progress."""
    monkeypatch.setattr(supervise, "_REST_S", 0.0)
    assert run(home, Program(DIES, is_up=lambda: True)) == ("It", 3)
    assert capsys.readouterr().err.count("It ended with status 3: restarting it") == supervise._DEATHS
