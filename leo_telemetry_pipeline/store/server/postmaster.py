"""The embedded server's processes: which they are, and whether any is left.

Belongs here: recognising them, and the lock that all of them hold. Does not: starting and stopping (embedded).

A process id in a file proves nothing: after a crash it may be another program's. The lock is freed by the kernel, and
a process is signalled only after it was recognised by what it executes and in which folder.
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
    """The server of one data folder, as its processes, files and lock show it."""

    def __init__(self, data: Path, sockets: Path, lock: Path) -> None:
        self._data = data
        self._lock = lock
        self._named_in = data / "postmaster.pid"
        self._sockets = [sockets / f".s.PGSQL.5432{suffix}" for suffix in ("", ".lock")]

    @property
    def runs(self) -> bool:
        """Whether the process that the server's file names is the server of this folder."""
        pid = _number_in(self._named_in)
        return pid is not None and self._is_server(pid)

    def take_lock(self) -> int | None:
        """Lock out other starts and return the descriptor for the server to inherit; None while a process has it."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def ends_within(self, seconds: float) -> bool:
        """Wait until no process of a server is left, and tell whether that came in time."""
        give_up = time.monotonic() + seconds
        while (lock := self.take_lock()) is None:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.05)
        os.close(lock)
        return True

    def forget(self) -> None:
        """Remove the files of a server that has ended, which PostgreSQL believes as long as any process has its id.

        The caller holds the lock. A server of an older version holds none, so it is recognised as well.
        """
        if not self.runs:
            for left in (self._named_in, *self._sockets):
                left.unlink(missing_ok=True)

    def end_orphans(self) -> None:
        """End processes that outlived their server, such as one amid a long statement (Linux; elsewhere we wait)."""
        at_work = {pid: command(pid) for pid in working_in(self._data, server_user())}
        if self.runs or any(self._is_server(pid) for pid in at_work):
            return
        for pid, line in at_work.items():
            if line.startswith("postgres: "):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGQUIT)

    def _is_server(self, pid: int) -> bool:
        """Tell whether a process is the server of this folder; its children show another command line."""
        executes = _SERVER.fullmatch(command(pid))
        with suppress(OSError):
            return executes is not None and Path(executes[1]).samefile(self._data)
        return False


def _number_in(file: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(file.read_text(errors="replace").split()[0])
    return None
