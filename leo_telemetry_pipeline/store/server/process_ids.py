"""What a process id stands for now: once a process has ended, the kernel gives its id to another.

Belongs here: reading what is known of any process. Does not: deciding what that means.
"""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def command(pid: int) -> str:
    """Return the command line of a process; empty where it has ended or cannot be seen."""
    if sys.platform != "linux":
        return _ps("command", pid)
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return ""


def began(pid: int) -> str:
    """Return when a process began, which no later one of the same id shares; empty where it has ended.

    The text is for comparison only.
    """
    if sys.platform != "linux":
        return _ps("lstart", pid)
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""


def working_in(folder: Path, owner: tuple[int, int] | None = None) -> list[int]:
    """Return the processes whose working folder this is, as far as this user may see; none where there is no /proc.

    ``owner``: whose processes (uid, gid) they are, where we are root, which needs CAP_SYS_PTRACE to see others'
    folders and lacks it in a container. So a shell looks as that user.
    """
    if owner is not None:
        return _working_in_as(owner, folder)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").samefile(folder):
                found.append(int(entry.name))
    return found


def _working_in_as(owner: tuple[int, int], folder: Path) -> list[int]:
    look = 'for entry in /proc/[0-9]*; do [ "$entry/cwd" -ef "$0" ] && echo "${entry#/proc/}"; done'
    with suppress(OSError):
        done = subprocess.run(
            ["/bin/sh", "-c", look, str(folder)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=owner[0],
            group=owner[1],
            extra_groups=[],
        )
        return [int(number) for number in done.stdout.split()]
    return []


def _ps(column: str, pid: int) -> str:
    asked = ["/bin/ps", "-ww", "-o", f"{column}=", "-p", str(pid)]
    with suppress(OSError):
        return subprocess.run(asked, capture_output=True, text=True, errors="replace", check=False).stdout.strip()
    return ""
