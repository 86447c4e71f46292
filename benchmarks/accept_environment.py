"""The demo with any libpq variable set, and for a user without a passwd entry: lines 12.5 and 12.9.

Belongs here: both trials. Does not: the variables (tests), the demo.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import measure
from benchmarks.figures import Figure
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.libpq_variables import MEANT_FOR_ANOTHER, NONSENSE

TOGETHER, NAMELESS = "all variables together", "a user without a passwd entry"
NAMELESS_USER = 12345
WELL = "exactly the 3 slowdowns that were planted"
_VALUES = {"nonsense": NONSENSE, "valid but meant for another server": MEANT_FOR_ANOTHER}


def parts(full: bool) -> list[str]:
    """Return the names of the parts; those with each variable alone take 15 minutes."""
    alone = [f"each variable alone, {kind}" for kind in _VALUES] if full else []
    return [*alone, TOGETHER, NAMELESS]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:  # noqa: ARG001  # the interface of a trial
    """Run the demo of one part."""
    if part == NAMELESS:
        yield _nameless()
        return
    kind = part.partition(", ")[2]
    cases = list(_VALUES.values()) if part == TOGETHER else [{name: value} for name, value in _VALUES[kind].items()]
    with measure.home() as home:
        failed = [" ".join(case) for case in cases if not _is_well(home, case)]
    yield Figure(
        "12.5",
        f"`leo-telemetry demo` with libpq's variables set: {part}",
        "finds what was planted",
        f"{len(cases) - len(failed)} of {len(cases)} runs" + (f"; not with {'; '.join(failed)}" if failed else ""),
        not failed,
    )


def _is_well(home: Path, variables: Mapping[str, str]) -> bool:
    environ = processes.environment(home, **variables)
    done = subprocess.run(processes.command("demo"), env=environ, cwd="/", capture_output=True, text=True)
    if done.returncode or WELL not in done.stdout:
        print(done.stdout[-1000:], done.stderr[-1000:], file=sys.stderr)
        return False
    return True


def _nameless() -> Figure:
    what = f"`leo-telemetry demo` as user {NAMELESS_USER} without HOME, all file systems but one folder read-only"
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return Figure("12.9", what, "finds what was planted", "not measured: needs root on Linux", held=False)
    done = demo_of_nameless()
    well = done.returncode == 0 and WELL in done.stdout
    if not well:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    return Figure("12.9", what, "finds what was planted", "found" if well else "not found", well)


def demo_of_nameless(*arguments: str) -> subprocess.CompletedProcess:
    """Run the demo, or another command, as a user who owns only one folder; needs root."""
    folder = Path(tempfile.mkdtemp(prefix="leo-", dir="/tmp"))
    folder.chmod(0o755)
    mine = folder / "mine"
    mine.mkdir(mode=0o700)
    os.chown(mine, NAMELESS_USER, NAMELESS_USER)
    try:
        command = processes.command(*(arguments or ("demo",)))
        return subprocess.run(_shut_in(mine, command), cwd="/", capture_output=True, text=True)
    finally:
        processes.end_all_of(mine)
        shutil.rmtree(folder, ignore_errors=True)


def _shut_in(folder: Path, command: Sequence[str]) -> list[str]:
    """Wrap a command to run where only a folder and /dev/shm are writable, as in a container."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "LEO_TELEMETRY_HOME": str(folder / "home"),
        "PYTHONPATH": processes.open_clone(),
    }
    variables = [f"{name}={value}" for name, value in environ.items()]
    # The clone or the interpreter may be in a folder only root can read.
    as_user = processes.as_user(NAMELESS_USER, "dac_read_search")
    inside = shlex.join([*as_user, "env", "-i", *variables, *command])
    script = f"""
        set -e
        mount --make-rprivate /
        mount --bind {shlex.quote(str(folder))} {shlex.quote(str(folder))}
        mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm
        while read -r _ where kind rest; do
            case "$where" in {shlex.quote(str(folder))}|/dev/shm|/proc*|/sys*|/dev*) continue;; esac
            mount -o remount,bind,ro "$where" 2>/dev/null || true
        done < /proc/self/mounts
        if touch /tmp/leo-written 2>/dev/null; then echo "/tmp can be written"; exit 99; fi
        cd {shlex.quote(str(folder))}
        exec {inside}
    """
    return ["unshare", "-m", "sh", "-c", script]
