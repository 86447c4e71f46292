"""Uninstalling gives back what was there before."""

import json
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests.unit.cli.claude.hook_command import invoke


def test_uninstalling_leaves_no_files_in_a_project(tmp_path: Path, home: Path):
    """Lost: a clean project after a trial."""
    invoke("install", "--shared", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert list(tmp_path.iterdir()) == list(home.iterdir()) == []
    assert "nothing was changed" in invoke("uninstall", "--shared", "--project", str(tmp_path))


@pytest.mark.parametrize(
    "before",
    ["{}", "{}\n", "", " \n", "{ }", '{\n  "model": "opus"\n}\n', '{"hooks": {}}', '{"hooks": {"Stop": [ ]}}', None],
)
@pytest.mark.parametrize("spans", [(), ("--spans",)])
def test_uninstalling_restores_a_file_and_its_folder_exactly(tmp_path: Path, before: str | None, spans):
    """Lost: a user's empty file, or their folder, is removed with our hooks."""
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    if before is not None:
        path.write_text(before)
    invoke("install", "--shared", *spans, "--project", str(tmp_path))
    invoke("install", "--shared", "--spans", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert path.parent.is_dir()
    assert (path.read_text() if path.exists() else None) == before


def test_a_file_without_a_backup_stays(tmp_path: Path, home: Path):
    """Lost: a colleague's file is removed on a machine that did not create it."""
    invoke("install", "--shared", "--project", str(tmp_path))
    (home / "hook-files.json").unlink()
    assert "It stays" in invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert (tmp_path / ".claude" / "settings.json").read_text() == "{}\n"


def test_a_file_that_a_user_created_again_is_not_ours(tmp_path: Path):
    """Lost: a user's file, because ours was at the same path earlier."""
    invoke("install", "--shared", "--project", str(tmp_path))
    path = tmp_path / ".claude" / "settings.json"
    path.write_text("{}")
    invoke("install", "--shared", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert path.read_text() == "{}"


def test_settings_that_a_user_added_to_our_file_stay(tmp_path: Path):
    """Lost: a user's settings, because our installation created the file."""
    invoke("install", "--shared", "--project", str(tmp_path))
    path = tmp_path / ".claude" / "settings.json"
    path.write_text(path.read_text().replace('"hooks"', '"model": "opus",\n  "hooks"', 1))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert json.loads(path.read_text()) == {"model": "opus"}


def test_an_unwritable_home_is_reported_but_does_not_prevent_the_installation(tmp_path: Path, home: Path):
    """Lost: the installation, because of a backup that matters only for uninstalling."""
    home.write_text("a file in the folder's place, which stops root too")
    assert "uninstalling will not restore it" in invoke("install", "--shared", "--project", str(tmp_path))
    assert "It stays" in invoke("uninstall", "--shared", "--project", str(tmp_path))
    home.unlink()
