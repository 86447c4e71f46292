"""One ``dev`` or ``worker`` per home: a lock that the kernel gives back, and a file that says who has it.

Belongs here: taking it, and who has it. Does not: what a command does when somebody else has it.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from leo_telemetry_pipeline.cli.supervise import lives
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import make_home

_FILE = "owner.lock"
# All that a killed owner started ends at once, and keeps the lock until it has.
_ENDS_S = 20.0


@dataclass(frozen=True)
class Owner:
    """Who works in a home, with the addresses of its UI and receiver; empty where it has none."""

    command: str
    pid: int
    ui: str = ""
    receiver: str = ""

    def __str__(self) -> str:
        return f"`leo-telemetry {self.command}` (process {self.pid})"


class Taken(UserError):
    """Somebody else works in the home."""

    def __init__(self, home: Path, owner: Owner | None) -> None:
        who = f"{owner} works" if owner else "Another `leo-telemetry dev` or `worker` works"
        remedy = f"end it first (kill {owner.pid})" if owner else "end it first"
        super().__init__(f"{who} in {home} already: leave it to that, or {remedy}", 1)
        self.owner = owner


@contextmanager
def held(home: Path, me: Owner) -> Iterator[int]:
    """Own a home until the block ends; yield the descriptor that holds the lock, for children. Raises Taken."""
    make_home(home)
    lock = os.open(home / _FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _take(lock, home)
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(asdict(me)).encode(), 0)
        yield lock
    finally:
        os.close(lock)


def current(home: Path) -> Owner | None:
    """Return who works in a home; None for nobody, or where that cannot be read."""
    try:
        lock = os.open(home / _FILE, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return None if _locked(lock, fcntl.LOCK_SH) else _written(lock)
    finally:
        os.close(lock)


def _take(lock: int, home: Path) -> None:
    give_up = time.monotonic() + _ENDS_S
    while not _locked(lock, fcntl.LOCK_EX):
        owner = _written(lock)
        if owner is not None and (lives(owner.pid) or time.monotonic() > give_up):
            raise Taken(home, owner)
        if owner is None and time.monotonic() > give_up - _ENDS_S + 1:
            raise Taken(home, None)
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
        # Being written at this moment, or by another version.
        return None
