"""Which processes are a server's: its lock, its files, and ids that were given to others."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leo_telemetry_pipeline.store import process_ids
from leo_telemetry_pipeline.store.postmaster import Postmaster


@pytest.fixture
def server(tmp_path: Path) -> Postmaster:
    """Return the server of a folder, of which no process runs."""
    for name in ("data", "run"):
        (tmp_path / name).mkdir()
    return Postmaster(tmp_path / "data", tmp_path / "run", tmp_path / "lock")


@contextmanager
def sleeping(holds: int | None = None, **more) -> Iterator[subprocess.Popen]:
    """Run a process that waits, and may inherit a descriptor."""
    command = [sys.executable, "-S", "-c", "input()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=() if holds is None else (holds,), **more
    ) as process:
        yield process


def test_the_lock_is_free_once_the_last_process_has_ended(server: Postmaster) -> None:
    """Lost: a second server on the folder of one that still writes there."""
    lock = server.take_lock()
    assert lock is not None
    with sleeping(holds=lock) as process:
        os.close(lock)
        assert server.take_lock() is None
        assert not server.ends_within(0)
        process.kill()
        assert server.ends_within(60)
    lock = server.take_lock()
    assert lock is not None
    os.close(lock)


@pytest.mark.parametrize("text", ["{pid}\n/data\n1\n5432\n", "1\n", "", "no number", "-1", "0", "9" * 30, "\x00\xff"])
def test_files_that_name_no_server_of_ours_are_forgotten(server: Postmaster, tmp_path: Path, text: str) -> None:
    """Lost: the database, until somebody deletes a file by hand."""
    left = [tmp_path / "data" / "postmaster.pid", tmp_path / "run" / ".s.PGSQL.5432.lock"]
    with sleeping() as process:
        for path in left:
            path.write_text(text.format(pid=process.pid))
        assert not server.runs
        server.forget()
        assert process.poll() is None
    assert not any(path.exists() for path in left)


def test_processes_that_work_in_the_folder_and_are_no_server_go_on(server: Postmaster, tmp_path: Path) -> None:
    """Lost: a shell or an editor of somebody who looks into the folder."""
    with sleeping(cwd=tmp_path / "data") as process:
        if sys.platform == "linux":
            assert process_ids.working_in(tmp_path / "data") == [process.pid]
        server.end_orphans()
        process.communicate(b"\n")
    assert process.returncode == 0


def test_an_id_that_another_process_got_has_another_beginning() -> None:
    """Lost: a database that runs on for a stranger's process, for having the id of a shell that ended."""
    assert process_ids.began(os.getpid()) == process_ids.began(os.getpid()) != ""
    with sleeping() as process:
        assert process_ids.began(process.pid) not in ("", process_ids.began(os.getpid()))
        process.kill()
    assert process_ids.began(process.pid) == process_ids.command(process.pid) == ""
