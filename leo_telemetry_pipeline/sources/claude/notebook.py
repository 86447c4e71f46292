"""The notebook: a file of notes per session of Claude Code, which its hooks and the receiver share.

Belongs here: holding a notebook against other processes, appending, reading, replacing; the folder they lie in.
Does not: what a note holds (hook_notes, otel_notes), when spans are made of notes (cli.claude.hook_spans, web.claude).
A session waits for a hook, so whatever not every event needs is imported where it is needed.
"""

# pathlib takes longer to import than a note takes to write.
# ruff: noqa: PTH105, PTH108, PTH112, PTH118, PTH120, PTH123

import fcntl
import os
import stat

FOLDER = "claude"
# Where the spool takes nothing for long, what hooks add on top is lost.
MOST_BYTES = 4 << 20
# The receiver refuses what is too much, and is sent it again: several of the largest requests have room.
MOST_RECEIVED_BYTES = 64 << 20
PART = ".part"


class Full(OSError):
    """A notebook that holds as much as it may."""


class Notebook:
    """The file of a session's notes, held against the other processes that add to it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> "Notebook":
        while True:
            self.file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self.file, fcntl.LOCK_EX)
            # The previous holder may have put another in its place.
            if os.fstat(self.file).st_nlink:
                return self
            os.close(self.file)

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def size(self) -> int:
        """Return the size in bytes."""
        return os.fstat(self.file).st_size

    def add(self, *lines: str, sync: bool = False, most: int = MOST_BYTES) -> None:
        """Append lines, with ``sync`` durably. Raise OSError where it holds more than ``most``, or the disk is full."""
        is_new = not self.size()
        if self.size() > most:
            raise Full(f"{self.path} holds {most} bytes already; this event is lost")
        # The end of a line that was torn by a full disk must not spoil this one.
        data = "".join(f"\n{line}" for line in lines).encode()
        if os.write(self.file, data) < len(data):
            raise OSError(f"{self.path}: the disk is full, and this event is lost")
        if sync:
            os.fsync(self.file)
            if is_new:
                _sync_folder(os.path.dirname(self.path))

    def read(self) -> list[dict]:
        """Return all notes that can be read."""
        return _parsed(os.pread(self.file, self.size(), 0))

    def replace(self, notes: list[dict]) -> None:
        """Put others in the place of all notes, at once; without any the file goes."""
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
    """Return the folder of notebooks, made if need be. Raise OSError where others may write to it."""
    folder = os.path.join(home, FOLDER)
    if not os.path.isdir(folder):
        from pathlib import Path

        from leo_telemetry_pipeline.settings import make_home

        make_home(Path(home), inside=FOLDER)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(f"{folder} is not a folder that only you can write to, so nothing is noted")
    return folder


def file_name(session: str) -> str:
    """Return the name of a session's notebook, which is not trusted to be a file name itself."""
    if 0 < len(session) <= 64 and set(session) <= set("0123456789abcdef-"):
        return session
    import hashlib

    return hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def session_of(notes: list[dict]) -> str:
    """Return the session that notes are about, empty for none."""
    return next((note["session"] for note in notes if isinstance(note.get("session"), str)), "")


def notes_of(home: str) -> list[list[dict]]:
    """Return the notes of each session in a home, without holding or changing them; unreadable ones are left out."""
    try:
        entries = sorted(os.scandir(os.path.join(home, FOLDER)), key=lambda entry: entry.name)
    except OSError:
        return []
    found = []
    for entry in entries:
        if entry.name.endswith(PART) or not entry.is_file(follow_symlinks=False):
            continue
        try:
            with open(entry.path, "rb") as file:
                found.append(_parsed(file.read(2 * MOST_RECEIVED_BYTES)))
        except OSError:
            # Its session has just ended.
            continue
    return [notes for notes in found if notes]


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parsed(data: bytes) -> list[dict]:
    import json

    found = []
    for line in data.split(b"\n"):
        try:
            item = json.loads(line) if line else None
        except ValueError:
            continue
        if isinstance(item, dict) and "event" in item:
            found.append(item)
    return found
