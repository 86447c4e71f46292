"""Failures of the embedded PostgreSQL: what is reported, and what is handled without an error."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks import accept_environment
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.processes import finished, has_line, need, run, sees_processes

pytestmark = sees_processes


def in_the_way(home: Path) -> Iterator[None]:
    """Put a folder where the socket goes."""
    (home / "run" / ".s.PGSQL.5432").mkdir(parents=True)
    yield
    (home / "run" / ".s.PGSQL.5432").rmdir()


def mistyped(home: Path) -> Iterator[None]:
    """Mistype a setting."""
    conf = home / "database" / "postgresql.auto.conf"
    before = conf.read_text()
    conf.write_text(f"{before}\nshared_bufers = 1\n")
    yield
    conf.write_text(before)


def damaged(home: Path) -> Iterator[None]:
    """Remove a file that the server needs."""
    file = home / "database" / "global" / "pg_control"
    file.rename(home / "pg_control")
    yield
    (home / "pg_control").rename(file)


FAILURES = (
    (in_the_way, (".s.PGSQL.5432", "in the way")),
    (mistyped, ("shared_bufers", "postgresql.auto.conf")),
    (damaged, ("pg_control", "backup")),
)


def test_a_server_that_cannot_start_is_reported_with_cause_and_remedy(made_home: Path):
    """Lost: a full disk, a mistyped setting and a damaged file all have the same message, without the cause."""
    for spoil, words in FAILURES:
        spoilt = spoil(made_home)
        next(spoilt)
        done = run(made_home, "runs")
        has_line(done, *words, str(made_home))
        assert (done.code, done.out) == (3, "")
        # The message is about this attempt, not an earlier one.
        others = [word for other, (word, *_) in FAILURES if other is not spoil]
        assert not [word for word in others if word in done.err]
        next(spoilt, None)
    assert run(made_home, "runs").code == 0


def on_a_small_disk(folder: Path, *, disk: str, shared: str, command: Sequence[str]) -> list[str]:
    """Wrap a command to run in its own mount namespace, where a folder is a small disk and /dev/shm is small."""
    script = (
        f"mount --make-rprivate / && mount -t tmpfs -o size={shared},mode=1777 tmpfs /dev/shm"
        f" && mount -t tmpfs -o size={disk},mode=0711 tmpfs {folder} && exec {shlex.join(command)}"
    )
    return ["unshare", "-m", "sh", "-c", script]


@pytest.mark.parametrize(
    ("disk", "shared", "words"), [("20m", "64m", ("No space left", "make room")), ("1g", "64k", ())]
)
def test_small_disks_are_reported_and_small_shared_memory_works(
    folder: Path, disk: str, shared: str, words: Sequence[str]
):
    """Lost: no server starts with Docker's 64 MB of shared memory; or only a log on a full disk reports it."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "only root can mount a small disk")
    command = on_a_small_disk(folder, disk=disk, shared=shared, command=processes.command("runs"))
    done = finished(command, processes.environment(folder / "home"))
    if words:
        has_line(done, *words)
        assert done.code == 3
    else:
        assert done.code == 0, done


@pytest.mark.parametrize("writable", [True, False])
def test_a_root_without_the_system_programs_on_path_gets_a_user_for_the_server(folder: Path, writable: bool):
    """Lost: no server starts for a root whose PATH lacks /usr/sbin, as after `su`; or a read-only /etc is not named."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "only root can be given another /etc")
    shutil.copytree("/etc", folder / "etc", symlinks=True, ignore=shutil.ignore_patterns("ssl", "alternatives"))
    for name in ("passwd", "group", "shadow", "gshadow"):
        file = folder / "etc" / name
        file.write_text(re.sub("(?m)^.*leo-telemetry.*\n", "", file.read_text()))
    code = "from leo_telemetry_pipeline.store.server.server_programs import server_user as user; print(user())"
    made = shlex.join([sys.executable, "-P", "-c", code])
    read_only = "" if writable else " && mount -o remount,bind,ro /etc"
    script = f"mount --make-rprivate / && mount --bind {folder}/etc /etc{read_only} && exec {made}"
    done = finished(
        [shutil.which("unshare") or "", "-m", "/bin/sh", "-c", script],
        processes.environment(folder / "home", PATH="/usr/bin:/bin"),
    )
    if writable:
        assert re.fullmatch(r"\(\d+, \d+\)\n", done.out), done
    else:
        assert re.search("could not be created .*useradd: .*run as an ordinary user", done.err), done


def test_a_user_without_a_passwd_entry_needs_only_one_folder():
    """Lost: no server starts on OpenShift, or in other containers with an arbitrary user id and read-only files."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "only root can mount file systems read-only")
    done = accept_environment.demo_of_nameless("analyze")
    assert done.returncode == 0, done
    assert "Traceback" not in done.stdout + done.stderr
