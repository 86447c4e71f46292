"""Supervisor: start child processes, and end all of them no matter how this process ends.

Belongs here: process groups, signals, the process that keeps the database running. Does not: which programs run.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from leo_telemetry_pipeline.cli import signals
from leo_telemetry_pipeline.cli.processes import lifeline
from leo_telemetry_pipeline.settings import Settings, make_home
from leo_telemetry_pipeline.store.server import database, log_files, process_ids
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.store.server.embedded import LONGEST_SOCKET

# Dagster finishes its ticks on SIGTERM or SIGINT. While it is still importing, SIGTERM ends it immediately, and
# SIGINT may be lost. SIGKILL ends the rest.
_PATIENCE = ((signal.SIGTERM, 15.0), (signal.SIGINT, 5.0), (signal.SIGKILL, 5.0))
# A program that dies more than _DEATHS times within _DEATHS_WITHIN_S is not restarted; each restart waits _REST_S.
_DEATHS, _DEATHS_WITHIN_S, _REST_S = 5, 600.0, 2.0


@contextmanager
def group(
    command: Sequence[str],
    environment: Mapping[str, str],
    target: Target,
    output: IO | None = None,
    *,
    holds: Sequence[int] = (),
) -> Iterator[subprocess.Popen]:
    """Start a command in its own process group, and end the group when the block ends or this process is killed.

    Until it has ended, the command counts as a user of the embedded database, and keeps the locks in ``holds``.
    """
    users = target.embedded.users_fd if target.embedded else None
    held = [*holds, *([] if users is None else [users])]
    line, our_end = os.pipe()
    try:
        process = subprocess.Popen(
            lifeline.command_line(line, held, command),
            env=dict(environment),
            cwd=environment["DAGSTER_HOME"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(line, *held),
        )
        os.close(line)
        try:
            yield process
        finally:
            # A second Ctrl-C must not interrupt the cleanup.
            with signals.deferred():
                end_group(process)
    finally:
        os.close(our_end)


def end_group(process: subprocess.Popen) -> None:
    """End every process of a group, with increasingly forceful signals."""
    for number, patience in _PATIENCE:
        _signal_group(process, number)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            process.poll()
            if not _group_lives(process.pid):
                return
            time.sleep(0.05)


def _signal_group(process: subprocess.Popen, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@dataclass(frozen=True)
class Program:
    """One of several commands that run together; it starts once ``can_start``, if any, returns true.

    A program with ``is_up`` is restarted when it dies, if it was ever up.
    """

    command: Sequence[str]
    can_start: Callable[[], bool] | None = None
    is_up: Callable[[], bool] | None = None


class _Run:
    """State of a program: pending, running or ended."""

    def __init__(self, name: str, program: Program) -> None:
        self.name, self.program = name, program
        self.process: subprocess.Popen | None = None
        self.was_up = False
        self.deaths: list[float] = []
        self._group = ExitStack()

    def start_if_time(self, start: Callable[[Sequence[str]], AbstractContextManager[subprocess.Popen]]) -> None:
        """Start it, unless it is running, cannot start yet, or has just died."""
        rests = self.deaths and time.monotonic() < self.deaths[-1] + _REST_S
        can_start = self.program.can_start
        if self.process is None and not rests and (can_start is None or can_start()):
            self.process = self._group.enter_context(start(self.program.command))

    def died(self) -> int | None:
        """Return its exit status, None while it is running."""
        if self.process is None:
            return None
        is_up = self.program.is_up
        self.was_up = self.was_up or (is_up is not None and is_up())
        return self.process.poll()

    def restarts(self) -> bool:
        """End what is left of its group and allow a restart; return False if it must not be restarted."""
        now = time.monotonic()
        self.deaths = [*(death for death in self.deaths if now - death < _DEATHS_WITHIN_S), now]
        if not self.was_up or len(self.deaths) > _DEATHS:
            return False
        self.end()
        self.process = None
        return True

    def end(self) -> None:
        """End its group."""
        self._group.close()


def run_until_interrupted(
    programs: Mapping[str, Program], environment: Mapping[str, str], target: Target, holds: Sequence[int] = ()
) -> tuple[str, int] | None:
    """Run named programs until one ends for good, or this process receives a signal; then end the others.

    Return the name and status of the program that ended, None after a signal.
    """

    def start(command: Sequence[str]) -> AbstractContextManager[subprocess.Popen]:
        return group(command, environment, target, holds=holds)

    with ExitStack() as groups:
        runs = [_Run(name, program) for name, program in programs.items()]
        for run in runs:
            groups.callback(run.end)
        while not signals.end_requested():
            for run in runs:
                run.start_if_time(start)
                status = run.died()
                if status is None or signals.end_requested():
                    continue
                if not run.restarts():
                    return run.name, status
                print(f"{run.name} ended with status {status}: restarting it", file=sys.stderr)
            time.sleep(0.1)
        # Signal all groups together; the exit stack then waits for each in turn.
        for run in runs:
            if run.process is not None:
                _signal_group(run.process, _PATIENCE[0][0])
    return None


@contextmanager
def temporary(home: Path, owned: str) -> Iterator[Path]:
    """Yield a temporary folder for the sockets of Dagster's processes, whose paths a long TMPDIR would make too long.

    ``owned`` is the part of the home whose owner uses the folder. Wherever the database's socket fits, theirs fit too.
    """
    folder = home / f"tmp.{owned[0]}"
    if len(os.fsencode(folder / "tmp12345678")) > LONGEST_SOCKET:
        with tempfile.TemporaryDirectory(prefix="leo-", dir="/tmp") as short:
            yield Path(short)
        return
    # Killed processes may have left files here.
    shutil.rmtree(folder, ignore_errors=True)
    make_home(home, inside=folder.name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_while_alive(settings: Settings, pid: int) -> None:
    """Start a background process that keeps the embedded database running while ``pid`` lives, and return."""
    began = process_ids.began(pid)
    reading, writing = os.pipe()
    if os.fork() > 0:
        os.close(writing)
        # End of file: the keeper has started the database, or failed and exited.
        os.read(reading, 1)
        return
    signals.forget()
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.close(reading)
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    try:
        with signals.recorded(), database.opened(settings):
            os.close(writing)
            while began and process_ids.began(pid) == began and not signals.end_requested():
                time.sleep(1)
    finally:
        os._exit(0)


def log_file(home: Path, name: str) -> IO:
    """Open a log file of a home for appending, truncated to its end and readable only by its owner."""
    path = make_home(home, inside="logs") / name
    log_files.cut(path)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)


def _group_lives(group_id: int) -> bool:
    try:
        os.killpg(group_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _all_zombies(group_id)


def _all_zombies(group_id: int) -> bool:
    """Return whether all processes of a group are zombies; always False outside Linux."""
    if sys.platform != "linux":
        return False
    states = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group_id:
                    # The main thread may have ended while others still hold files and locks.
                    threads = len(list((entry / "task").iterdir()))
                    states.append(fields[0] if threads <= 1 else "running")
    return all(state == "Z" for state in states)
