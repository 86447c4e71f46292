"""Processes of the embedded server: which they are, and whether any is left.

Belongs here: identifying them, and the lock that they all hold. Does not: starting and stopping (embedded).

A process id in a file proves nothing: after a crash it may belong to another program. The lock is released by the
kernel, and a process is signalled only after it is identified by its command line and data folder.
"""

import fcntl
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

from leo_telemetry_pipeline.store.server.process_ids import command, working_in
from leo_telemetry_pipeline.store.server.server_programs import server_user

_SERVER = re.compile(r".*/postgres -D (.+)", re.DOTALL)


class Postmaster:
    """The server of one data folder, seen through its processes, files and lock."""

    def __init__(self, data: Path, sockets: Path, lock: Path) -> None:
        self._data = data
        self._lock = lock
        self._named_in = data / "postmaster.pid"
        self._sockets = [sockets / f".s.PGSQL.5432{suffix}" for suffix in ("", ".lock")]

    @property
    def runs(self) -> bool:
        """Whether the process in postmaster.pid is the server of this folder."""
        pid = _number_in(self._named_in)
        return pid is not None and self._is_server(pid)

    def take_lock(self) -> int | None:
        """Take the lock and return its descriptor for the server to inherit; None while a process holds it."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def ends_within(self, seconds: float) -> bool:
        """Wait until no process of a server is left; return whether that happened within ``seconds``."""
        give_up = time.monotonic() + seconds
        while (lock := self.take_lock()) is None:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.05)
        os.close(lock)
        return True

    def forget(self) -> None:
        """Remove the files of a server that has ended; PostgreSQL trusts them if any process has the id in them.

        The caller holds the lock. Servers started by older versions hold no lock, so their process is checked too.
        """
        if not self.runs:
            for leftover in (self._named_in, *self._sockets):
                leftover.unlink(missing_ok=True)

    def end_orphans(self) -> None:
        """End processes that outlive their server, such as one in a long statement; on Linux only."""
        at_work = {pid: command(pid) for pid in working_in(self._data, server_user())}
        if self.runs or any(self._is_server(pid) for pid in at_work):
            return
        for pid, line in at_work.items():
            if line.startswith("postgres: "):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGQUIT)

    def _is_server(self, pid: int) -> bool:
        """Return whether a process is the server of this folder; its children have another command line."""
        executes = _SERVER.fullmatch(command(pid))
        with suppress(OSError):
            return executes is not None and Path(executes[1]).samefile(self._data)
        return False


def _number_in(file: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(file.read_text(errors="replace").split()[0])
    return None
