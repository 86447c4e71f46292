"""Supervision of the embedded server: each of its users looks whether it lives, and has it started again.

Belongs here: when to look and what to log. Does not: telling whether it lives (postmaster), starting it (embedded).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from leo_telemetry_pipeline.errors import UserError

LOOK_S = 1.0
# Between attempts while it does not start, such as with a full disk.
LONGEST_REST_S = 30.0

_log = logging.getLogger(__name__)


class Watch:
    """A thread that lasts as long as this process uses the server of a home.

    ``runs`` tells whether the server lives; ``start_again`` whether it started it, rather than another user.
    """

    def __init__(self, home: Path, runs: Callable[[], bool], start_again: Callable[[], bool]) -> None:
        self._home = home
        self._runs = runs
        self._start_again = start_again
        self._ends = Event()
        self._thread = Thread(target=self._look, name="leo-telemetry-database", daemon=True)

    @property
    def is_ending(self) -> bool:
        """Whether a start under way should be given up."""
        return self._ends.is_set()

    def begin(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self, patience_s: float) -> None:
        """Look no more, and wait for a start under way: the server must not begin to run after its last user."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def _look(self) -> None:
        rest_s, reported = LOOK_S, ""
        while not self._ends.wait(rest_s):
            if self._runs():
                rest_s, reported = LOOK_S, ""
                continue
            rest_s = min(2 * rest_s, LONGEST_REST_S)
            try:
                if self._start_again():
                    _log.warning("The embedded database in %s had died and was started again.", self._home)
            except Exception as error:  # noqa: BLE001  # whatever it is, it may be mended by the next look
                trouble = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                if trouble != reported and not self.is_ending:
                    _log.error("%s. The start is tried again until it works.", trouble)
                reported = trouble
