"""``initdb`` for a user without an entry in /etc/passwd, as with OpenShift or ``docker run --user 12345``.

Belongs here: patched copies of ``initdb`` and ``postgres``. Does not: running them, programs for other users
(server_programs).

Only ``initdb`` and the single-user server that it runs look up the name of their user, although the role's name is
given. No option prevents that, and an ordinary user cannot add an entry. So patched copies of both run, which import
``getpwent``, a name of the same length, instead of ``getpwuid``: it returns the first entry of the file. The server
itself never looks up the name, and runs unchanged.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError

_PATCHED = ("initdb", "postgres")
_GETPWUID, _GETPWENT = b"\0getpwuid\0", b"\0getpwent\0"


def is_nameless() -> bool:
    """Return whether this process's user has no entry."""
    import pwd

    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return True
    return False


@contextmanager
def programs_for_initdb(programs: Path, folder: Path) -> Iterator[Path]:
    """Yield the folder of ``initdb`` for this user: ``programs``, or temporary copies in ``folder``.

    Raises UserError (exit 3).
    """
    if not is_nameless():
        yield programs
        return
    if sys.platform != "linux":
        raise _unusable("it can start without one only on Linux")
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
    # The programs find everything else relative to themselves and to their package.
    for path in installed.iterdir():
        if path.name != "bin":
            (copy / path.name).symlink_to(path)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        (folder / libraries.name).symlink_to(libraries)
    for name in _PATCHED:
        read = (programs / name).read_bytes()
        if _GETPWUID not in read:
            raise _unusable(f"its {name} looks it up in an unknown way")
        (copy / "bin" / name).write_bytes(read.replace(_GETPWUID, _GETPWENT))
        (copy / "bin" / name).chmod(0o700)
    return copy / "bin"


def _unusable(why: str) -> UserError:
    return UserError(
        f"User {os.geteuid()} has no entry in /etc/passwd, which the embedded PostgreSQL needs: {why}; add an entry, "
        "or set LEO_TELEMETRY_DATABASE_URL to your own PostgreSQL",
        NO_DATABASE,
    )
