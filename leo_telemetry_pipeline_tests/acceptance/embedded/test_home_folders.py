"""Home folders of the embedded database: which work, and the messages about those that do not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store.server.embedded import LONGEST_SOCKET
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.embedded_homes import Place, mode
from leo_telemetry_pipeline_tests.processes import all_ended, has_line, need, sees_processes

pytestmark = sees_processes


def test_a_home_may_have_a_persons_name(folder: Path):
    """Lost: nothing works for users whose home folder has a space, an umlaut or a quote in its name."""
    place = Place(folder / "home" / "it's 100% mine; ö & [x]")
    assert place.run("migrate").code == 0
    done = place.run("analyze")
    assert done.code == 0, done
    all_ended(folder / "home")


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a$x", "a`touch planted`", "a$(touch planted)", "a\\b", "a\nb"])
def test_a_name_that_postgresql_cannot_handle_is_refused(folder: Path, name: str):
    """Lost: libpq reads a comma as two hosts, and pg_ctl's shell runs a $(command)."""
    place = Place(folder / "home" / name)
    done = place.run("runs")
    assert not list(folder.rglob("planted"))
    assert not Path("/planted").exists()
    if done.code != 0:
        has_line(done, PREFIX + "HOME")
        assert (done.code, done.out) == (3, "")
    all_ended(folder / "home")


def test_the_longest_home_works_and_a_longer_one_is_refused(folder: Path):
    """Lost: users get an obscure message about sockets from PostgreSQL, or a server that listens elsewhere."""
    longest = LONGEST_SOCKET - len("/run/.s.PGSQL.5432")
    fits = Place(folder / "home" / ("x" * (longest - len(f"{folder}/home/"))))
    assert len(str(fits.home)) == longest
    assert fits.run("runs").code == 0
    too_long = Place(fits.home.with_name(fits.home.name + "x"))
    done = too_long.run("runs")
    has_line(done, PREFIX + "HOME", "too long", str(longest))
    assert (done.code, done.out) == (3, "")
    assert not too_long.home.exists()


def test_a_home_in_a_private_folder_is_refused_to_root(folder: Path):
    """Lost: root's private folder would have to be opened to everyone."""
    need(os.geteuid() == 0, "only root's server runs as another user")
    private = folder / "private"
    private.mkdir(mode=0o700)
    done = Place(private / "deep" / "home").run("runs")
    has_line(done, PREFIX + "HOME", str(private), "/var/lib/leo-telemetry")
    assert (done.code, done.out) == (3, "")
    assert mode(private) == 0o700
    assert not list(private.iterdir())


def unwritable(folder: Path) -> Iterator[tuple[Place, str]]:
    """Yield places that cannot be a home, with the system's error for each."""
    yield Place(Path("/proc/leo")), ""
    (folder / "file").touch()
    yield Place(folder / "file"), "File exists"
    yield Place(folder / "file" / "home"), "Not a directory"
    if os.geteuid() == 0:
        prefix, code = processes.as_ordinary_user(), {"PYTHONPATH": processes.open_clone()}
        (folder / "roots").mkdir(mode=0o755)
        yield Place(folder / "roots" / "home", prefix, code), "Permission denied"
        yield Place(folder / "roots", prefix, code), "belongs to somebody else"


def test_a_home_that_cannot_be_written_is_named(folder: Path):
    """Lost: users see "Permission denied" without the folder and the setting that names it."""
    for place, said in unwritable(folder):
        done = place.run("runs")
        has_line(done, PREFIX + "HOME", str(place.home), said, "choose a folder")
        assert (done.code, done.out) == (3, "")
