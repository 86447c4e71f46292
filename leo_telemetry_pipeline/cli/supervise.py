"""Starting other processes and ending all of them, whatever ends us.

Belongs here: process groups, signals, the keeper of the database. Does not: what is started.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from leo_telemetry_pipeline.settings import Settings, make_home
from leo_telemetry_pipeline.store import database, process_ids
from leo_telemetry_pipeline.store.database import Target

# Dagster's daemon finishes its ticks on SIGINT; what is left after that gets shorter shrift.
_PATIENCE = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


@contextmanager
def group(
    command: Sequence[str], environment: Mapping[str, str], target: Target, output: IO | None = None
) -> Iterator[subprocess.Popen]:
    """Start a command in a process group of its own, and end the whole group when the block ends.

    The command counts as a user of the embedded database, so that it outlives a parent that was killed.
    """
    heed_signals()
    users = target.embedded.users_fd if target.embedded else None
    process = subprocess.Popen(
        command,
        env=dict(environment),
        cwd=environment["DAGSTER_HOME"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=() if users is None else (users,),
    )
    try:
        yield process
    finally:
        # From here on the way leads out, and a second Ctrl-C must not leave anything behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        end_group(process)


def end_group(process: subprocess.Popen) -> None:
    """End every process of a group, politely first."""
    for number, patience in _PATIENCE:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            process.poll()
            if not _group_lives(process.pid):
                return
            time.sleep(0.05)


def run_until_interrupted(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], target: Target
) -> tuple[str, int] | None:
    """Run named commands until one ends by itself, or SIGINT or SIGTERM comes; then end the others.

    Return name and status of the one that ended, None after a signal.
    """
    try:
        with ExitStack() as groups:
            running = {
                name: groups.enter_context(group(command, environment, target)) for name, command in commands.items()
            }
            while True:
                for name, process in running.items():
                    if process.poll() is not None:
                        return name, process.returncode
                time.sleep(0.1)
    except KeyboardInterrupt:
        return None


def keep_while_alive(settings: Settings, pid: int) -> None:
    """Return at once, leaving a process behind that keeps the embedded database running while ``pid`` lives."""
    began = process_ids.began(pid)
    reading, writing = os.pipe()
    if os.fork() > 0:
        os.close(writing)
        # The database is up when the keeper says so, or when it could not be started and is gone.
        os.read(reading, 1)
        return
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.close(reading)
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    try:
        with database.opened(settings):
            os.close(writing)
            while began and process_ids.began(pid) == began:
                time.sleep(1)
    finally:
        os._exit(0)


def log_file(home: Path, name: str) -> IO:
    """Open a log of a home for appending; only its owner may read it."""
    folder = make_home(home, inside="logs")
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "ab", buffering=0)


def heed_signals() -> None:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt, also where a shell's background job ignores SIGINT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _group_lives(group_id: int) -> bool:
    try:
        os.killpg(group_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _all_zombies(group_id)


def _all_zombies(group_id: int) -> bool:
    """Tell whether a group holds only ended processes that nobody has waited for (Linux knows)."""
    if sys.platform != "linux":
        return False
    states = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group_id:
                    # Its first thread may have ended while others still hold files and locks.
                    threads = len(list((entry / "task").iterdir()))
                    states.append(fields[0] if threads <= 1 else "running")
    return all(state == "Z" for state in states)
