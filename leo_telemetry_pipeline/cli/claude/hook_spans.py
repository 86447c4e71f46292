"""Hook for prompts, sub-agents and tools: append each event to the session's notes; at an end, assemble spans.

Belongs here: reading the event, when spans are assembled, writing them to the spool. Does not: notes, their spans and
their file (sources.claude), the database. A session waits for this, so imports are lazy.
"""

# pathlib takes longer to import than a note takes to write.
# ruff: noqa: PTH108, PTH112, PTH118, PTH123

import os
import select
import time

from leo_telemetry_pipeline.cli.claude import hook

LONGEST_EVENT = 64 << 20
PATIENCE_S = 2.0
# Hooks run concurrently: events from before the end of a session may be noted up to this long after it.
LATE_S = 1.0
# During a long answer, spans are also assembled each time the notes have grown by this many bytes.
MANY_NOTES = 64 << 10
# A session silent for this long was probably killed.
FORGOTTEN_S = 86_400
# A process age above this is implausible and ignored.
OLDEST_START_NS = 60_000_000_000
# End time of a session that can receive no further events.
FORGOTTEN = float("inf")


def main() -> None:
    """Handle an event on stdin; always exit with 0 and an empty stdout."""
    try:
        if not hook.switched_off():
            age_ns = _age_ns()
            _take(time.time_ns() - age_ns, time.monotonic_ns() - age_ns)
    except BaseException as error:  # noqa: BLE001 - no failure of ours may stop a session
        hook.complain(f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error))
    # sys.exit would make the session wait for the interpreter's teardown.
    os._exit(0)


def _age_ns() -> int:
    """Return the age of this process in ns: on a busy machine, Python starts long after the event.

    Linux reports the start truncated to ticks of 10 ms, so one tick is added. Elsewhere the age is 0.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19]) + 1
        started_ns = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started_ns
    except (OSError, ValueError, IndexError, AttributeError):
        return 0
    return age_ns if 0 < age_ns < OLDEST_START_NS else 0


def _take(wall_ns: int, monotonic_ns: int) -> None:
    hook.refuse_others_home()
    hook.occupy_standard_descriptors()
    text = _read()
    if not text.strip():
        return hook.complain("no event on stdin: Claude Code runs this, see `leo-telemetry hook install --spans`")
    import json

    from leo_telemetry_pipeline.sources.claude import hook_notes, notebook

    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return hook.complain(f"the event is not JSON ({len(text)} bytes)")
    kept = hook_notes.note(event, wall_ns, monotonic_ns)
    session = event.get("session_id") if kept else None
    if kept is None or not isinstance(session, str) or not session:
        return None
    if project := hook.setting("PROJECT"):
        # The process that assembles the spans may belong to another project.
        kept["project"] = hook_notes.storable(project, 200)
    folder = notebook.checked_folder(hook.home())
    path = os.path.join(folder, notebook.file_name(session))
    with notebook.Notebook(path) as notes:
        before = notes.size()
        notes.add(json.dumps({"session": hook_notes.storable(session, 200), **kept}))
        many = notes.size() // MANY_NOTES > before // MANY_NOTES
    if many or kept["event"] in (*hook_notes.ENDS, "UserPromptSubmit"):
        _behind()
        _make_spans(path)
        sweep(folder)
    if kept["event"] == "SessionEnd":
        time.sleep(LATE_S)
        _make_spans(path, ended_ns=monotonic_ns)
    return None


def _behind() -> None:
    """Continue in a background process that logs to the hooks' log; this one exits."""
    if os.fork():
        os._exit(0)
    os.setsid()
    # Do not keep the working directory in use.
    os.chdir("/")
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, place in enumerate((nothing, nothing, hook.open_log()[0])):
        os.dup2(place, descriptor)


def _make_spans(path: str, *, ended_ns: float | None = None) -> None:
    """Move complete spans, or all spans of an ended session, to the spool; if that fails, the notes stay."""
    from leo_telemetry_pipeline import redact
    from leo_telemetry_pipeline.settings import Settings
    from leo_telemetry_pipeline.sources.claude import assembler, notebook
    from leo_telemetry_pipeline.spool.spool import Spool, folder_of

    settings = Settings()
    with notebook.Notebook(path) as notes:
        items = notes.read()
        session = notebook.session_of(items)
        final = ended_ns is not None and not assembler.resumed(items, ended_ns)
        now_ns = 0 if ended_ns == FORGOTTEN else time.time_ns()
        spans, rest = assembler.spans(items, session=session, project=settings.project, final=final, now_ns=now_ns)
        if spans:
            Spool(folder_of(str(settings.home)), settings.spool_bytes).write([redact.clean(span) for span in spans])
        # An unchanged file keeps its mtime, which shows how long the session has been silent.
        if spans or not rest or len(rest) < len(items):
            notes.replace([{"session": session, **item} for item in rest])


def sweep(folder: str) -> None:
    """Assemble spans of quiet sessions, and close sessions that have been silent for a day."""
    from leo_telemetry_pipeline.sources.claude import evidence, notebook

    for entry in os.scandir(folder) if os.path.isdir(folder) else ():
        try:
            quiet_s = time.time() - entry.stat(follow_symlinks=False).st_mtime
            if quiet_s > FORGOTTEN_S and entry.name.endswith(notebook.PART):
                os.unlink(entry.path)
            elif quiet_s > FORGOTTEN_S:
                _make_spans(entry.path, ended_ns=FORGOTTEN)
            elif quiet_s > evidence.QUIET_S and not entry.name.endswith(notebook.PART):
                _make_spans(entry.path)
        except Exception as error:  # noqa: BLE001 - one unreadable file must not block the others
            hook.complain(f"{entry.path}: {error}")


def _read() -> bytes:
    """Read stdin up to its end or a long pause; read nothing from a terminal."""
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
