"""Supervision of the embedded server: each of its users checks whether it is alive, and restarts it.

Belongs here: when to check and what to log. Does not: the check itself (postmaster), starting the server (embedded).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from leo_telemetry_pipeline.errors import UserError

CHECK_S = 1.0
# Longest pause between attempts while it does not start, for example on a full disk.
LONGEST_PAUSE_S = 30.0

_log = logging.getLogger(__name__)


class Watch:
    """A thread that runs as long as this process uses the server of a home.

    ``runs`` returns whether the server is alive; ``start_again`` restarts it, unless another user does, and returns
    whether it did.
    """

    def __init__(self, home: Path, runs: Callable[[], bool], start_again: Callable[[], bool]) -> None:
        self._home = home
        self._runs = runs
        self._start_again = start_again
        self._ends = Event()
        self._thread = Thread(target=self._work, name="leo-telemetry-database", daemon=True)

    @property
    def is_ending(self) -> bool:
        """Whether a start under way should be given up."""
        return self._ends.is_set()

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self, patience_s: float) -> None:
        """Stop, and wait for a start in progress: the server must not start after its last user has left."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def _work(self) -> None:
        pause_s, reported = CHECK_S, ""
        while not self._ends.wait(pause_s):
            if self._runs():
                pause_s, reported = CHECK_S, ""
                continue
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                if self._start_again():
                    _log.warning("The embedded database in %s had died and was restarted.", self._home)
            except Exception as error:  # noqa: BLE001  # any error may be gone at the next check
                trouble = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                if trouble != reported and not self.is_ending:
                    _log.error("%s. The start is retried until it succeeds.", trouble)
                reported = trouble
