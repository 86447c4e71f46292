"""Lifeline process: runs a command for its parent, and kills the command's process group when the parent dies.

Belongs here: the process between ``supervise.group`` and its command; it leads their process group, and the other end
of its pipe closes when the parent dies. Does not: how a living parent ends both.
"""

import _thread
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

FINISH = "finish"


def command_line(line: int, held: Sequence[int], command: Sequence[str]) -> list[str]:
    """Return the arguments that run a command while the other end of the pipe ``line`` is open.

    The descriptors in ``held`` keep the parent's locks until every process of the group has ended.
    """
    numbers = ",".join(map(str, held))
    return [*_OURS, str(line), numbers, *command]


_OURS = (sys.executable, "-P", "-W", "ignore", "-m", "leo_telemetry_pipeline.cli.processes.lifeline")
_asked = 0


def main() -> None:
    """Run a command and exit with its status; or clean up after a killed parent."""
    if sys.argv[1] == FINISH:
        _finish(_numbers(sys.argv[2]))
        return
    line, held, command = int(sys.argv[1]), _numbers(sys.argv[2]), sys.argv[3:]
    # Handled instead of ignored, because the command would inherit ignored signals. The whole process group gets them;
    # the command decides what to do.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _note)
    process = subprocess.Popen(command)
    if _asked:
        # The signal may have arrived before the command existed.
        process.send_signal(_asked)
    _thread.start_new_thread(_watch, (line, held))
    code = process.wait()
    if code < 0:
        # Die of the same signal as the command. SIGKILL has no handler to reset.
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a handler's signature
    global _asked
    _asked = number


def _watch(line: int, held: Sequence[int]) -> None:
    """Kill the whole group when the parent dies; another worker retries the row of an unfinished analysis."""
    os.read(line, 1)
    try:
        # This child has a session of its own, so it outlives this group and cleans up after it.
        subprocess.Popen(
            [*_OURS, FINISH, ",".join(map(str, held))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=held,
        )
    finally:
        os.killpg(0, signal.SIGKILL)


def _finish(held: Sequence[int]) -> None:
    """Wait until the group is gone, then stop the embedded database unless it has other users."""
    from leo_telemetry_pipeline.settings import Settings
    from leo_telemetry_pipeline.store.server import database

    os.read(0, 1)
    settings = Settings()
    server = database.running(settings).embedded
    if server is None or not (server.data / "postmaster.pid").exists():
        return
    with database.opened(settings):
        # Release the inherited locks first: only the last user stops the server.
        for descriptor in held:
            os.close(descriptor)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


if __name__ == "__main__":
    main()
