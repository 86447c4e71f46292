"""The processes of a server: its lock, its files, and process ids that were reused."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from leo_telemetry_pipeline.store.server import process_ids
from leo_telemetry_pipeline.store.server.postmaster import Postmaster
from leo_telemetry_pipeline.store.server.server_programs import server_user
from leo_telemetry_pipeline_tests.processes import need


@pytest.fixture
def server(tmp_path: Path) -> Postmaster:
    """Return the server of a folder, without a running process."""
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
    """Lost: a second server starts on the folder of one that still writes there."""
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
def test_files_that_do_not_name_a_server_of_ours_are_removed(server: Postmaster, tmp_path: Path, text: str) -> None:
    """Lost: the database, until somebody deletes a file by hand."""
    left = [tmp_path / "data" / "postmaster.pid", tmp_path / "run" / ".s.PGSQL.5432.lock"]
    with sleeping() as process:
        for path in left:
            path.write_text(text.format(pid=process.pid))
        assert not server.runs
        server.forget()
        assert process.poll() is None
    assert not any(path.exists() for path in left)


def test_processes_in_the_folder_that_are_not_a_server_are_left_alone(server: Postmaster, tmp_path: Path) -> None:
    """Lost: the shell or editor of somebody who inspects the folder."""
    with sleeping(cwd=tmp_path / "data") as process:
        if sys.platform == "linux":
            assert process_ids.working_in(tmp_path / "data") == [process.pid]
        server.end_orphans()
        process.communicate(b"\n")
    assert process.returncode == 0


END_ORPHANS = """
import sys
from pathlib import Path
from leo_telemetry_pipeline.store.server.postmaster import Postmaster
home = Path(sys.argv[1])
Postmaster(home / "data", home / "run", home / "lock").end_orphans()
"""


def test_root_ends_orphans_of_its_server_without_the_capability_to_trace_them(home: Path) -> None:
    """Lost: the database in a container, whose root has no CAP_SYS_PTRACE, for as long as a dead statement computes."""
    need(os.geteuid() == 0 and shutil.which("setpriv"), "only root can drop a capability")
    user, group = server_user() or (0, 0)
    for folder in (home, home / "data", home / "elsewhere"):
        folder.mkdir()
        os.chown(folder, user, group)
    with ExitStack() as running:
        orphan, other, shell = (
            running.enter_context(
                subprocess.Popen([name, "600"], executable="/bin/sleep", cwd=folder, user=user, group=group)
            )
            for name, folder in [
                ("postgres: leo leo [local] DO", home / "data"),
                ("postgres: leo leo [local] DO", home / "elsewhere"),
                ("sleep", home / "data"),
            ]
        )
        try:
            no_trace = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
            subprocess.run([*no_trace, sys.executable, "-P", "-c", END_ORPHANS, str(home)], check=True, timeout=60)
            assert (other.poll(), shell.poll()) == (None, None)
            assert orphan.wait(5) == -signal.SIGQUIT
        finally:
            for process in (orphan, other, shell):
                process.kill()


def test_a_reused_process_id_has_another_start_time() -> None:
    """Lost: a database keeps running for an unrelated process with the id of a shell that ended."""
    assert process_ids.began(os.getpid()) == process_ids.began(os.getpid()) != ""
    with sleeping() as process:
        assert process_ids.began(process.pid) not in ("", process_ids.began(os.getpid()))
        process.kill()
    assert process_ids.began(process.pid) == process_ids.command(process.pid) == ""
