"""``initdb`` for a user without an entry in /etc/passwd, as OpenShift and ``docker run --user 12345`` give one.

Belongs here: programs that do without the entry. Does not: the programs of every other user (server_programs).

Only ``initdb`` and the single-user server that it runs insist on the name of their user, which they then do not need:
the role's name is given. No option stops them, and an ordinary user cannot add an entry. So they run as copies whose
import of ``getpwuid`` reads ``getpwent``, a name of the same length: the first entry of the file. The server itself
never asks, and runs unchanged.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError

_ASKING = ("initdb", "postgres")
_ASKS, _TAKES_ANY = b"\0getpwuid\0", b"\0getpwent\0"


def is_nameless() -> bool:
    """Tell whether this process's user has no entry."""
    import pwd

    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return True
    return False


@contextmanager
def programs_for_initdb(programs: Path, folder: Path) -> Iterator[Path]:
    """Yield the folder of ``initdb`` for this user: ``programs``, or copies in ``folder`` that are removed afterwards.

    Raises UserError (exit 3).
    """
    if not is_nameless():
        yield programs
        return
    if sys.platform != "linux":
        raise _no_way("only on Linux can its first start do without one")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield _copied(programs, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copied(programs: Path, folder: Path) -> Path:
    installed = programs.parent
    package = installed.parent
    copy = folder / package.name / installed.name
    (copy / "bin").mkdir(parents=True, mode=0o700)
    # The programs look for everything else beside themselves and beside their package.
    for path in installed.iterdir():
        if path.name != "bin":
            (copy / path.name).symlink_to(path)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        (folder / libraries.name).symlink_to(libraries)
    for name in _ASKING:
        read = (programs / name).read_bytes()
        if _ASKS not in read:
            raise _no_way(f"its {name} asks for one in a way that is not known here")
        (copy / "bin" / name).write_bytes(read.replace(_ASKS, _TAKES_ANY))
        (copy / "bin" / name).chmod(0o700)
    return copy / "bin"


def _no_way(why: str) -> UserError:
    return UserError(
        f"User {os.geteuid()} has no entry in /etc/passwd, which the embedded PostgreSQL needs: {why}; add an entry, "
        "or set LEO_TELEMETRY_DATABASE_URL to a PostgreSQL of yours",
        NO_DATABASE,
    )
