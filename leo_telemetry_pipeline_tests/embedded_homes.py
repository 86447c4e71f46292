"""Homes of the embedded database: commands run in them as different users, and their sockets, modes and log."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from leo_telemetry_pipeline.store.server.embedded import Embedded
from leo_telemetry_pipeline_tests import processes, stale_files
from leo_telemetry_pipeline_tests.processes import NOBODY, Done, Running, finished, need, processes_of, until


@dataclass(frozen=True)
class Place:
    """A home, and the user who runs commands in it."""

    home: Path
    prefix: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **more) -> Done:
        """Run a command to its end."""
        return finished([*self.prefix, *processes.command(*arguments)], self.environment(), **more)

    def environment(self) -> dict[str, str]:
        """Return the environment of its commands."""
        return processes.environment(self.home, **self.variables)

    @contextmanager
    def user(self) -> Iterator[Running]:
        """Run a process that uses the database until the block ends."""
        holder = self.holder()
        try:
            yield holder
        finally:
            if holder.process.poll() is None:
                holder.interrupt()
            holder.ended()

    def holder(self) -> Running:
        """Start a process that uses the database, and wait until it does."""
        log = self.home.parent / f"holder-{time.monotonic_ns()}.log"
        holder = Running([*self.prefix, sys.executable, "-P", "-c", stale_files.HOLD], self.environment(), log)
        until(lambda: "ready" in holder.said() or holder.process.poll() is not None, "the database is up")
        assert holder.process.poll() is None, holder.tail()
        return holder


def place_of(who: str, folder: Path) -> Place:
    """Return a home of root or of an ordinary user that does not exist yet, in a world-readable folder of theirs."""
    folder.chmod(0o755)
    if who == "root":
        need(os.geteuid() == 0, "only root can test what root may do")
        return Place(folder / "home")
    prefix = processes.as_ordinary_user()
    if prefix:
        os.chown(folder, NOBODY, NOBODY)
    return Place(folder / "home", prefix, {"HOME": str(folder), "PYTHONPATH": processes.open_clone()})


def mode(path: Path) -> int:
    """Return the permission bits of a path."""
    return stat.S_IMODE(path.stat().st_mode)


def listening(home: Path) -> list[str]:
    """Return the TCP sockets that the processes of a home listen on."""
    sockets = set()
    for pid in processes_of(home):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(str(link.readlink()))
            except OSError:
                continue
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]


def log_of(home: Path) -> str:
    """Return the end of the server's log."""
    log = Embedded(home).home / "postgresql.log"
    return log.read_text()[-2000:] if log.exists() else ""
