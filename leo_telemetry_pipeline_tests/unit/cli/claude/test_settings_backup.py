"""Uninstalling gives back what was there before."""

import json
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests.unit.cli.claude.hook_command import invoke


def test_uninstalling_leaves_a_project_as_it_was_before(tmp_path: Path, home: Path):
    """Lost: litter in a project that only tried it."""
    invoke("install", "--shared", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert list(tmp_path.iterdir()) == list(home.iterdir()) == []
    assert "nothing was changed" in invoke("uninstall", "--shared", "--project", str(tmp_path))


@pytest.mark.parametrize(
    "before",
    ["{}", "{}\n", "", " \n", "{ }", '{\n  "model": "opus"\n}\n', '{"hooks": {}}', '{"hooks": {"Stop": [ ]}}', None],
)
@pytest.mark.parametrize("spans", [(), ("--spans",)])
def test_uninstalling_gives_back_every_byte_of_a_file_and_its_folder(tmp_path: Path, before: str | None, spans):
    """Lost: a file of somebody's own that was empty, or their folder, because nothing of ours was left in it."""
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    if before is not None:
        path.write_text(before)
    invoke("install", "--shared", *spans, "--project", str(tmp_path))
    invoke("install", "--shared", "--spans", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert path.parent.is_dir()
    assert (path.read_text() if path.exists() else None) == before


def test_a_file_of_which_nothing_is_known_stays_where_it_is(tmp_path: Path, home: Path):
    """Lost: a colleague's file, removed on a machine that did not make it."""
    invoke("install", "--shared", "--project", str(tmp_path))
    (home / "hook-files.json").unlink()
    assert "It stays" in invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert (tmp_path / ".claude" / "settings.json").read_text() == "{}\n"


def test_a_file_that_was_made_anew_by_a_person_is_not_taken_for_ours(tmp_path: Path):
    """Lost: a person's file, because there was one of ours at that place long ago."""
    invoke("install", "--shared", "--project", str(tmp_path))
    path = tmp_path / ".claude" / "settings.json"
    path.write_text("{}")
    invoke("install", "--shared", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert path.read_text() == "{}"


def test_what_a_person_added_to_a_file_of_ours_stays(tmp_path: Path):
    """Lost: a person's settings, with the file that our installation happened to make."""
    invoke("install", "--shared", "--project", str(tmp_path))
    path = tmp_path / ".claude" / "settings.json"
    path.write_text(path.read_text().replace('"hooks"', '"model": "opus",\n  "hooks"', 1))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert json.loads(path.read_text()) == {"model": "opus"}


def test_a_home_that_cannot_be_written_is_said_and_stops_no_installation(tmp_path: Path, home: Path):
    """Lost: the installation, for want of a note that only matters when it is undone."""
    home.write_text("a file in the folder's place, which stops root too")
    assert "uninstalling will not restore it" in invoke("install", "--shared", "--project", str(tmp_path))
    assert "It stays" in invoke("uninstall", "--shared", "--project", str(tmp_path))
    home.unlink()
