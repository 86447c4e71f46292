"""SessionStart hook, for which the session waits: read the event, pass it to a detached child, exit.

Belongs here: that handover, importing only os and sys, because every import delays the session.
Does not: the database, log lines, JSON; those belong to the child (hook_child).
"""

# pathlib, typing, contextlib and subprocess each take longer to import than this whole hook takes to run.
# ruff: noqa: PTH103, PTH111, PTH116, PTH117, PTH118, PTH208, S606, SIM105

import os
import sys

LONGEST_EVENT = 65_536
# A caller may never close its end of the pipe: an event ends at a pause of QUIET_S, and at the latest after PATIENCE_S.
PATIENCE_S = 1.0
QUIET_S = 0.1
# Any empty pipe accepts this many bytes without blocking.
_PIPE_HOLDS = 4096


def session_start() -> None:
    """Start the detached child with the event from stdin; always exit with 0 and an empty stdout."""
    try:
        if not switched_off():
            refuse_others_home()
            occupy_standard_descriptors()
            complaints = _hand_over(_read_event())
            if complaints:
                complain("; ".join(complaints))
    except BaseException as error:  # noqa: BLE001 - no failure of ours may stop a session
        complain(f"nothing was started: {error}")
    # sys.exit would make the session wait for the interpreter's teardown.
    os._exit(0)


def home() -> str:
    """Return the same as ``Settings().home`` (a test compares them), without the slow import of settings."""
    named = setting("HOME")
    if named:
        return os.path.expanduser(named)
    if os.geteuid() == 0:
        return "/var/lib/leo-telemetry"
    if sys.platform == "darwin":
        folder = os.path.expanduser("~/Library/Application Support/leo-telemetry")
    else:
        folder = os.path.expanduser((os.environ.get("XDG_DATA_HOME", "") or "~/.local/share") + "/leo-telemetry")
    # expanduser leaves the tilde in place if the user has no home folder.
    return folder.removeprefix("~")


def switched_off() -> bool:
    """Return whether ``LEO_TELEMETRY_ENABLED`` switches everything off, as ``Settings().enabled`` does."""
    return setting("ENABLED").lower() in ("false", "no", "off", "0")


def setting(name: str) -> str:
    """Return a setting as ``Settings`` reads it, without the quotes that a .env file may contain."""
    text = os.environ.get("LEO_TELEMETRY_" + name, "").strip()
    quoted = len(text) > 1 and text[0] in "\"'" and text[0] == text[-1]
    return text[1:-1].strip() if quoted else text


def refuse_others_home() -> None:
    """Raise PermissionError if the home may belong to someone else; ``Settings.check_home`` decides doubtful cases."""
    try:
        folder = os.stat(home())
    except OSError:
        return
    if folder.st_uid == os.geteuid() and not folder.st_mode & 0o022:
        return
    from leo_telemetry_pipeline.errors import UserError
    from leo_telemetry_pipeline.settings import Settings

    try:
        Settings().check_home()
    except UserError as error:
        raise PermissionError(error.message) from None


def occupy_standard_descriptors() -> None:
    """Occupy descriptors 0 to 2 that the caller closed, so that no file of ours gets their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def open_log() -> tuple[int, str]:
    """Return a descriptor for the log, and a warning if it cannot be written."""
    folder = os.path.join(home(), "logs")
    path = os.path.join(folder, "hook.log")
    try:
        if not os.path.isabs(path):
            return os.open(os.devnull, os.O_WRONLY), f"LEO_TELEMETRY_HOME is {home()!r}: give an absolute path"
        # makedirs applies its mode only to the last folder; the umask also covers files that the child creates.
        os.umask(0o077)
        os.makedirs(folder, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600), ""
    except OSError as error:
        return os.open(os.devnull, os.O_WRONLY), f"{path} cannot be written ({error.strerror}), so nothing is logged"


def complain(text: str) -> None:
    """Write one line to stderr, ignoring errors."""
    line = " ".join(f"leo-telemetry hook: {text}".split())
    try:
        os.write(2, os.fsencode(line) + b"\n")
    except OSError:
        pass  # stderr has no reader.


def _read_event() -> bytes:
    """Return the event from stdin, as far as it arrives in time; read nothing from a terminal."""
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
        pass  # The child only logs the event, and works without it.
    return event


def _hand_over(event: bytes) -> list[str]:
    """Start the child, and return a description of each failure."""
    log, complaint = open_log()
    complaints = [complaint] if complaint else []
    event_out, event_in = os.pipe()
    # A successful exec closes this pipe, so any data in it is the reason for a failure.
    failed_out, failed_in = os.pipe()
    between = os.fork()
    if between == 0:
        _detach(event, event_out, event_in, failed_in, log)
    os.close(failed_in)
    os.close(event_out)
    os.close(event_in)
    failure = b""
    while more := os.read(failed_out, 4096):
        failure += more
    if len(event) <= _PIPE_HOLDS:
        _wait_for(between)
    if failure:
        complaints.append("nothing was started: " + os.fsdecode(failure))
    return complaints


def _detach(event: bytes, event_out: int, event_in: int, failed_in: int, log: int) -> None:
    """In the first child: become a session leader, start the second child, write the event to it, exit."""
    try:
        os.setsid()
        # The second child is not a session leader, so it can never acquire a controlling terminal.
        if os.fork() == 0:
            _become_child(event_out, log, failed_in)
        os.close(failed_in)
        os.close(event_out)
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        while event:
            event = event[os.write(event_in, event) :]
    except BaseException as error:  # noqa: BLE001 - a forked child must never return to the caller
        _report(failed_in, error)
    os._exit(0)


def _become_child(event_out: int, log: int, failed_in: int) -> None:
    try:
        # Do not keep the working directory in use, nor import modules from it (-P).
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
        pass  # The caller ignores SIGCHLD, so the kernel has reaped the child.


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass  # The descriptor that listed /dev/fd is already closed.


def _report(failed_in: int, error: BaseException) -> None:
    try:
        os.write(failed_in, os.fsencode(str(error)))
    except OSError:
        pass  # The pipe is closed: the child is running, and only its event is lost.
