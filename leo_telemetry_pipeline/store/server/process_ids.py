"""Information about a process id, which the kernel reuses after a process has ended.

Belongs here: reading command line, start time and working folder. Does not: deciding what they mean.
"""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def command(pid: int) -> str:
    """Return the command line of a process, empty if it has ended or is not visible."""
    if sys.platform != "linux":
        return _ps("command", pid)
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return ""


def began(pid: int) -> str:
    """Return the start time of a process, which distinguishes it from later ones with the same id.

    Empty if it has ended. The text is for comparison only.
    """
    if sys.platform != "linux":
        return _ps("lstart", pid)
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""


def working_in(folder: Path, owner: tuple[int, int] | None = None) -> list[int]:
    """Return the visible processes with this working folder; none without /proc.

    ``owner``: (uid, gid) of the processes, if we are root. In a container, root lacks CAP_SYS_PTRACE and cannot see
    other users' working folders, so a shell running as that user reads them.
    """
    if owner is not None:
        return _working_in_as(owner, folder)
    processes = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").samefile(folder):
                processes.append(int(entry.name))
    return processes


def _working_in_as(owner: tuple[int, int], folder: Path) -> list[int]:
    script = 'for entry in /proc/[0-9]*; do [ "$entry/cwd" -ef "$0" ] && echo "${entry#/proc/}"; done'
    with suppress(OSError):
        done = subprocess.run(
            ["/bin/sh", "-c", script, str(folder)],
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
    arguments = ["/bin/ps", "-ww", "-o", f"{column}=", "-p", str(pid)]
    with suppress(OSError):
        return subprocess.run(arguments, capture_output=True, text=True, errors="replace", check=False).stdout.strip()
    return ""
