"""What a session waits for: take the SessionStart event, hand it to a detached child, and be gone.

Belongs here: that hand-over, with nothing but os and sys, because whoever starts a session feels each import.
Does not: the database, the log's lines, JSON; those are the child's (hook_child).
"""

# pathlib, typing, contextlib and subprocess each take longer to import than all that happens here.
# ruff: noqa: PTH103, PTH111, PTH116, PTH117, PTH118, PTH208, S606, SIM105

import os
import sys

LONGEST_EVENT = 65_536
# A caller may never close its end: an event that pauses for QUIET_S is over, and one that never comes, too.
PATIENCE_S = 1.0
QUIET_S = 0.1
# So much fits into any empty pipe at once.
_PIPE_HOLDS = 4096


def session_start() -> None:
    """Start the detached child with the event on stdin; always end with 0 and an empty stdout."""
    try:
        if not switched_off():
            refuse_others_home()
            occupy_standard_descriptors()
            complaints = _hand_over(_read_event())
            if complaints:
                complain("; ".join(complaints))
    except BaseException as error:  # noqa: BLE001 - no failure of ours may stop a session
        complain(f"nothing was started: {error}")
    # Not sys.exit: taking the interpreter apart is time that the session waits for.
    os._exit(0)


def home() -> str:
    """Return what ``Settings().home`` is: importing settings would cost more than all the rest (a test compares)."""
    named = setting("HOME")
    if named:
        return os.path.expanduser(named)
    if os.geteuid() == 0:
        return "/var/lib/leo-telemetry"
    if sys.platform == "darwin":
        folder = os.path.expanduser("~/Library/Application Support/leo-telemetry")
    else:
        folder = os.path.expanduser((os.environ.get("XDG_DATA_HOME", "") or "~/.local/share") + "/leo-telemetry")
    # Left as it is where the user has no home folder.
    return folder.removeprefix("~")


def switched_off() -> bool:
    """Tell whether ``LEO_TELEMETRY_ENABLED`` says that nothing shall happen, as ``Settings().enabled`` does."""
    return setting("ENABLED").lower() in ("false", "no", "off", "0")


def setting(name: str) -> str:
    """Return a setting's text as ``Settings`` reads it, without the quotes that a .env file may keep."""
    text = os.environ.get("LEO_TELEMETRY_" + name, "").strip()
    quoted = len(text) > 1 and text[0] in "\"'" and text[0] == text[-1]
    return text[1:-1].strip() if quoted else text


def refuse_others_home() -> None:
    """Raise PermissionError where a home may not be ours: ``settings.refuse_others_home`` decides, if need be."""
    try:
        found = os.stat(home())
    except OSError:
        return
    if found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return
    from leo_telemetry_pipeline.errors import UserError
    from leo_telemetry_pipeline.settings import Settings

    try:
        Settings().check_home()
    except UserError as error:
        raise PermissionError(error.message) from None


def occupy_standard_descriptors() -> None:
    """Open nothing where the caller closed one: a file of ours would get its number and be taken for it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def open_log() -> tuple[int, str]:
    """Return a descriptor for words that nobody reads now, and a complaint where they will be lost."""
    folder = os.path.join(home(), "logs")
    path = os.path.join(folder, "hook.log")
    try:
        if not os.path.isabs(path):
            return os.open(os.devnull, os.O_WRONLY), f"LEO_TELEMETRY_HOME is {home()!r}: give an absolute path"
        # The mode of makedirs is for the last folder only; what the child makes is for its owner alone too.
        os.umask(0o077)
        os.makedirs(folder, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600), ""
    except OSError as error:
        return os.open(os.devnull, os.O_WRONLY), f"{path} cannot be written ({error.strerror}), so nothing is logged"


def complain(text: str) -> None:
    """Write one line to stderr, if anybody listens."""
    line = " ".join(f"leo-telemetry hook: {text}".split())
    try:
        os.write(2, os.fsencode(line) + b"\n")
    except OSError:
        pass  # Nobody listens.


def _read_event() -> bytes:
    """Return what stdin has, as far as it comes soon; a terminal has nothing."""
    if os.isatty(0):
        return b""
    import select
    import time

    event, end = b"", time.monotonic() + PATIENCE_S
    try:
        while len(event) < LONGEST_EVENT:
            left = end - time.monotonic()
            wait = min(left, QUIET_S) if event else left
            if wait <= 0 or not select.select([0], [], [], wait)[0]:
                break
            more = os.read(0, LONGEST_EVENT - len(event))
            if not more:
                break
            event += more
    except OSError:
        pass  # The child says that the event is missing; it would not do anything else with one.
    return event


def _hand_over(event: bytes) -> list[str]:
    """Start the child and return what could not be done, in words."""
    log, complaint = open_log()
    complaints = [complaint] if complaint else []
    event_out, event_in = os.pipe()
    # Closed by a successful exec, so whatever can be read from it is why there was none.
    failed_out, failed_in = os.pipe()
    between = os.fork()
    if between == 0:
        _detach(event, event_out, event_in, failed_in, log)
    os.close(failed_in)
    os.close(event_out)
    os.close(event_in)
    failed = b""
    while more := os.read(failed_out, 4096):
        failed += more
    if len(event) <= _PIPE_HOLDS:
        _wait_for(between)
    if failed:
        complaints.append("nothing was started: " + os.fsdecode(failed))
    return complaints


def _detach(event: bytes, event_out: int, event_in: int, failed_in: int, log: int) -> None:
    """In the first child: lead a new session, start the second child, feed it the event, end."""
    try:
        os.setsid()
        # Being no leader of its session, the second child can never get a terminal.
        if os.fork() == 0:
            _become_child(event_out, log, failed_in)
        os.close(failed_in)
        os.close(event_out)
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        while event:
            event = event[os.write(event_in, event) :]
    except BaseException as error:  # noqa: BLE001 - nothing of ours may run on twice
        _report(failed_in, error)
    os._exit(0)


def _become_child(event_out: int, log: int, failed_in: int) -> None:
    try:
        # Neither a folder that is to be deleted is held, nor is what lies in it imported (-P).
        os.chdir("/")
        os.dup2(event_out, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for name in os.listdir("/dev/fd"):
            if int(name) > 2 and int(name) != failed_in:
                _close(int(name))
        os.execv(sys.executable, [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli.claude.hook_child"])
    except BaseException as error:  # noqa: BLE001 - as in _detach
        _report(failed_in, error)
    os._exit(0)


def _wait_for(process: int) -> None:
    try:
        os.waitpid(process, 0)
    except ChildProcessError:
        pass  # The caller ignores SIGCHLD, so the system has done it.


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass  # The one that listed the folder is closed already.


def _report(failed_in: int, error: BaseException) -> None:
    try:
        os.write(failed_in, os.fsencode(str(error)))
    except OSError:
        pass  # Closed: the child runs, and only its event is lost.
