"""What runs a command for its parent, and ends all of it where the parent was killed.

Belongs here: the process between ``supervise.group`` and its command. Does not: how a living parent ends both.

It leads the group of its command. The parent alone holds the other end of a pipe, which the kernel closes with it.
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
    """Return the arguments that run a command for as long as the pipe ``line`` has another end.

    Descriptors that are ``held`` keep locks of the parent until all has ended.
    """
    numbers = ",".join(map(str, held))
    return [*_OURS, str(line), numbers, *command]


_OURS = (sys.executable, "-P", "-W", "ignore", "-m", "leo_telemetry_pipeline.cli.processes.lifeline")
_asked = 0


def main() -> None:
    """Run a command, end as it ends; or finish what a killed parent left."""
    if sys.argv[1] == FINISH:
        _finish(_numbers(sys.argv[2]))
        return
    line, held, command = int(sys.argv[1]), _numbers(sys.argv[2]), sys.argv[3:]
    # Not ignored: the command would inherit that. The whole group gets these, and the command decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _note)
    process = subprocess.Popen(command)
    if _asked:
        # It may have come before there was a command to get it.
        process.send_signal(_asked)
    _thread.start_new_thread(_watch, (line, held))
    code = process.wait()
    if code < 0:
        # As if the parent had started the command itself. SIGKILL has no handler to take away.
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a handler's signature
    global _asked
    _asked = number


def _watch(line: int, held: Sequence[int]) -> None:
    """End the whole group with its parent, at once: the row of an analysis under way is retried by another worker."""
    os.read(line, 1)
    try:
        # In a session of its own, it outlives this group and goes on when that is gone.
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
    """Once the group is gone, stop the embedded database unless somebody else uses it."""
    from leo_telemetry_pipeline.settings import Settings
    from leo_telemetry_pipeline.store.server import database

    os.read(0, 1)
    settings = Settings()
    server = database.running(settings).embedded
    if server is None or not (server.data / "postmaster.pid").exists():
        return
    with database.opened(settings):
        # Only one of its users can be the last one.
        for descriptor in held:
            os.close(descriptor)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


if __name__ == "__main__":
    main()
