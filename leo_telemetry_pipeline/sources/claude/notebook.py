"""Notebook: one file of notes per Claude Code session, shared by its hooks and the receiver.

Belongs here: locking, appending, reading and replacing notebooks, and their folder.
Does not: the contents of notes (hook_notes, otel_notes), when spans are built (cli.claude.hook_spans,
web.receiver.claude).
"""

# A session waits for its hooks, and importing pathlib or json takes longer than writing a note.
# ruff: noqa: PTH105, PTH108, PTH112, PTH118, PTH120, PTH123

import fcntl
import os
import stat

FOLDER = "claude"
# Events beyond this are lost, which happens only if the spool accepts nothing for a long time.
MOST_BYTES = 4 << 20
# Room for several of the largest requests; the receiver refuses further ones, and clients send them again.
MOST_RECEIVED_BYTES = 64 << 20
PART = ".part"


class Full(OSError):
    """A notebook that has reached its size limit."""


class Notebook:
    """The file of a session's notes, locked against other processes."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> "Notebook":
        while True:
            self.file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self.file, fcntl.LOCK_EX)
            # The previous holder may have replaced the file.
            if os.fstat(self.file).st_nlink:
                return self
            os.close(self.file)

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def size(self) -> int:
        """Return the size in bytes."""
        return os.fstat(self.file).st_size

    def add(self, *lines: str, sync: bool = False, most: int = MOST_BYTES) -> None:
        """Append lines, durably with ``sync``. Raise OSError if the file exceeds ``most`` bytes or the disk is full."""
        is_new = not self.size()
        if self.size() > most:
            raise Full(f"{self.path} already holds {most} bytes, so this event is lost: see `leo-telemetry doctor`")
        # Start a new line, in case a full disk truncated the last one.
        data = "".join(f"\n{line}" for line in lines).encode()
        if os.write(self.file, data) < len(data):
            raise OSError(f"{self.path}: the disk is full, so this event is lost: make room")
        if sync:
            os.fsync(self.file)
            if is_new:
                _sync_folder(os.path.dirname(self.path))

    def read(self) -> list[dict]:
        """Return all valid notes."""
        return _parsed(os.pread(self.file, self.size(), 0))

    def replace(self, notes: list[dict]) -> None:
        """Replace all notes atomically; without new ones, delete the file."""
        if not notes:
            return os.unlink(self.path)
        import json

        part = self.path + PART
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write("\n".join(map(json.dumps, notes)))
            file.flush()
            os.fsync(file.fileno())
        return os.replace(part, self.path)


def checked_folder(home: str) -> str:
    """Return the folder of notebooks, created if missing. Raise OSError if others may write to it."""
    folder = os.path.join(home, FOLDER)
    if not os.path.isdir(folder):
        from pathlib import Path

        from leo_telemetry_pipeline.settings import make_home

        make_home(Path(home), inside=FOLDER)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise OSError(f"{folder} must be a folder that only you can write to: no events are recorded until it is")
    return folder


def file_name(session: str) -> str:
    """Return the file name of a session's notebook; a session id that may be unsafe in a path is hashed."""
    if 0 < len(session) <= 64 and set(session) <= set("0123456789abcdef-"):
        return session
    import hashlib

    return hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def session_of(notes: list[dict]) -> str:
    """Return the session of some notes, empty for none."""
    return next((note["session"] for note in notes if isinstance(note.get("session"), str)), "")


def notes_of(home: str) -> list[list[dict]]:
    """Return the notes of each session in a home without locking; unreadable notebooks are left out."""
    try:
        entries = sorted(os.scandir(os.path.join(home, FOLDER)), key=lambda entry: entry.name)
    except OSError:
        return []
    sessions = []
    for entry in entries:
        if entry.name.endswith(PART) or not entry.is_file(follow_symlinks=False):
            continue
        try:
            with open(entry.path, "rb") as file:
                sessions.append(_parsed(file.read(2 * MOST_RECEIVED_BYTES)))
        except OSError:
            # The session has just ended, which removed the file.
            continue
    return [notes for notes in sessions if notes]


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parsed(data: bytes) -> list[dict]:
    import json

    notes = []
    for line in data.split(b"\n"):
        try:
            item = json.loads(line) if line else None
        except ValueError:
            continue
        if isinstance(item, dict) and "event" in item:
            notes.append(item)
    return notes
