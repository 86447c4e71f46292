"""Locks for one daemon and one UI per home: the kernel releases them, and their files name the owner.

Belongs here: taking a lock, and its owner. Does not: what a command does when a lock is taken.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import make_home
from leo_telemetry_pipeline.store.server import process_ids

# Parts of a home with one owner each: the daemon (`dev` or `worker`), and the UI with its receiver (`dev`).
DAEMON, UI = "daemon", "ui"
# The child processes of a killed owner hold the lock until they have ended.
_ENDS_S = 20.0


@dataclass(frozen=True)
class Owner:
    """Owner of a part of a home: a command, its process, and the addresses of its UI and receiver if it has them."""

    command: str
    pid: int
    began: str
    ui: str = ""
    receiver: str = ""

    def __str__(self) -> str:
        return f"`leo-telemetry {self.command}` (process {self.pid})"

    @property
    def lives(self) -> bool:
        """Whether the process is still the one that wrote this."""
        return bool(self.began) and process_ids.began(self.pid) == self.began


def this_process(command: str, *, ui: str = "", receiver: str = "") -> Owner:
    """Return this process as an owner."""
    return Owner(command, os.getpid(), process_ids.began(os.getpid()), ui, receiver)


class Taken(UserError):
    """Another process owns this part of the home."""

    def __init__(self, home: Path, owner: Owner | None) -> None:
        who = owner or "Another `leo-telemetry dev` or `worker`"
        remedy = f"end it first (kill {owner.pid})" if owner else "end it first"
        super().__init__(f"{who} is already running in {home}: use that, or {remedy}", 1)
        self.owner = owner


@contextmanager
def held(home: Path, what: str, me: Owner) -> Iterator[int]:
    """Own a part of a home until the block ends; yield the lock's descriptor, for child processes. Raises Taken."""
    make_home(home)
    lock = os.open(_file(home, what), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _take(lock, home)
        # On a full disk the owner stays unknown; whatever needs the disk reports the error.
        with suppress(OSError):
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps(asdict(me)).encode(), 0)
        yield lock
    finally:
        os.close(lock)


def current(home: Path, what: str) -> Owner | None:
    """Return the owner of a part of a home; None if there is none, or if the lock file cannot be read."""
    try:
        lock = os.open(_file(home, what), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return None if _locked(lock, fcntl.LOCK_SH) else _written(lock)
    finally:
        os.close(lock)


def _file(home: Path, what: str) -> Path:
    return home / f"{what}.lock"


def _take(lock: int, home: Path) -> None:
    began = time.monotonic()
    while not _locked(lock, fcntl.LOCK_EX):
        owner = _written(lock)
        # An owner that has not written its name yet will do so within a second.
        patience = _ENDS_S if owner is not None else 1.0
        if (owner is not None and owner.lives) or time.monotonic() > began + patience:
            raise Taken(home, owner)
        time.sleep(0.1)


def _locked(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _written(lock: int) -> Owner | None:
    try:
        return Owner(**json.loads(os.pread(lock, 4096, 0)))
    except (ValueError, TypeError):
        # The file is being written right now, or another version wrote it.
        return None
