"""What Claude Code runs at each prompt, sub-agent and tool: note the event; at an end, make spans of the notes.

Belongs here: reading the event, the file of notes that a session's hooks share, handing spans to the spool, behind
the session's back. Does not: what a note holds and which spans notes make (collect/claude_hooks), the database,
which is never asked. Somebody waits for this, so whatever not every event needs is imported where it is needed.
"""

# pathlib takes longer to import than a note takes to write.
# ruff: noqa: PTH105, PTH108, PTH112, PTH118, PTH123

import fcntl
import os
import select
import stat
import time

from leo_telemetry_pipeline.cli import hook

LONGEST_EVENT = 64 << 20
PATIENCE_S = 2.0
# The hooks run side by side: what belongs before the end of a session may be noted after it.
LATE_S = 1.0
# Spans are also made in the middle of a long answer, each time that its notes have grown by so much.
MANY_NOTES = 64 << 10
# Where the spool takes nothing for long, what comes on top is lost.
MOST_NOTES = 4 << 20
# A session without a word for so long was killed, or will not miss what it began.
FORGOTTEN_S = 86_400
_PART = ".part"


def main() -> None:
    """Take an event on stdin; always end with 0 and an empty stdout."""
    try:
        if not hook.switched_off():
            _take(time.time_ns(), time.monotonic_ns())
    except BaseException as error:  # noqa: BLE001 - no failure of ours may stop a session
        hook.complain(f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error))
    # Not sys.exit: taking the interpreter apart is time that the session waits for.
    os._exit(0)


def _take(wall_ns: int, monotonic_ns: int) -> None:
    hook.occupy_standard_descriptors()
    text = _read()
    if not text.strip():
        return hook.complain("no event came on stdin; Claude Code runs this, see `leo-telemetry hook install --spans`")
    import json

    from leo_telemetry_pipeline.collect import claude_hooks

    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return hook.complain(f"the event is no JSON ({len(text)} bytes)")
    kept = claude_hooks.note(event, wall_ns, monotonic_ns)
    session = event.get("session_id") if kept else None
    if kept is None or not isinstance(session, str) or not session:
        return None
    folder = _folder()
    path = os.path.join(folder, _file_name(session))
    with _Notes(path) as notes:
        before = notes.size()
        notes.add(json.dumps({"session": claude_hooks.storable(session, 200), **kept}))
        many = notes.size() // MANY_NOTES > before // MANY_NOTES
    if many or kept["event"] in claude_hooks.ENDS:
        _behind()
        _make_spans(path)
    elif kept["event"] == "UserPromptSubmit":
        _behind()
        _sweep(folder)
    if kept["event"] == "SessionEnd":
        time.sleep(LATE_S)
        _make_spans(path, ended_ns=monotonic_ns)
    return None


def _behind() -> None:
    """Go on in a process that nobody waits for, whose complaints go to the hooks' log; this one ends."""
    if os.fork():
        os._exit(0)
    os.setsid()
    # A folder that is to be deleted is not held.
    os.chdir("/")
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, place in enumerate((nothing, nothing, hook.open_log()[0])):
        os.dup2(place, descriptor)


class _Notes:
    """The file of a session's notes, held against its other hooks, of which many run at once."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> "_Notes":
        while True:
            self.file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self.file, fcntl.LOCK_EX)
            # Whoever held it may have put another in its place.
            if os.fstat(self.file).st_nlink:
                return self
            os.close(self.file)

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def size(self) -> int:
        return os.fstat(self.file).st_size

    def add(self, line: str) -> None:
        if self.size() > MOST_NOTES:
            raise OSError(f"{self.path} holds {MOST_NOTES} bytes already; this event is lost")
        # The end of a line that was torn by a full disk must not spoil this one.
        data = b"\n" + line.encode()
        if os.write(self.file, data) < len(data):
            raise OSError(f"{self.path}: the disk is full, and this event is lost")

    def read(self) -> list[dict]:
        import json

        found = []
        for line in os.pread(self.file, self.size(), 0).split(b"\n"):
            try:
                item = json.loads(line) if line else None
            except ValueError:
                continue
            if isinstance(item, dict) and "event" in item:
                found.append(item)
        return found

    def replace(self, items: list[dict]) -> None:
        """Put others in the place of all notes, at once; without any the file goes."""
        if not items:
            return os.unlink(self.path)
        import json

        part = self.path + _PART
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write("\n".join(map(json.dumps, items)))
        return os.replace(part, self.path)


def _make_spans(path: str, *, ended_ns: float | None = None) -> None:
    """Move what is complete to the spool, or all of a session that ended; the notes stay where that takes nothing."""
    from leo_telemetry_pipeline import redact
    from leo_telemetry_pipeline.collect import claude_hooks
    from leo_telemetry_pipeline.collect.spool import Spool, folder_of
    from leo_telemetry_pipeline.settings import Settings

    settings = Settings()
    with _Notes(path) as notes:
        items = notes.read()
        session = next((item["session"] for item in items if "session" in item), "")
        final = ended_ns is not None and not claude_hooks.resumed(items, ended_ns)
        made, needed = claude_hooks.spans(items, session=session, project=settings.project, final=final)
        if made:
            Spool(folder_of(str(settings.home)), settings.spool_bytes).write([redact.clean(span) for span in made])
        notes.replace([{"session": session, **item} for item in needed])


def _sweep(folder: str) -> None:
    """Close the notes of sessions that nobody heard of for a day."""
    for entry in os.scandir(folder):
        try:
            if entry.stat(follow_symlinks=False).st_mtime > time.time() - FORGOTTEN_S:
                continue
            if entry.name.endswith(_PART):
                os.unlink(entry.path)
            else:
                _make_spans(entry.path, ended_ns=float("inf"))
        except Exception as error:  # noqa: BLE001 - one that cannot be read must not keep the others
            hook.complain(f"{entry.path}: {error}")


def _folder() -> str:
    folder = os.path.join(hook.home(), "claude")
    if not os.path.isdir(folder):
        from leo_telemetry_pipeline.settings import Settings, make_home

        make_home(Settings().home, inside="claude")
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(f"{folder} is not a folder that only you can write to, so nothing is noted")
    return folder


def _file_name(session: str) -> str:
    if len(session) <= 64 and set(session) <= set("0123456789abcdef-"):
        return session
    import hashlib

    return hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _read() -> bytes:
    """Return what stdin has, up to its end or to a long pause; a terminal has nothing."""
    if os.isatty(0):
        return b""
    parts, size = [], 0
    while size <= LONGEST_EVENT and select.select([0], [], [], PATIENCE_S)[0]:
        part = os.read(0, 1 << 20)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)
