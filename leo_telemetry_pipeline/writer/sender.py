"""The one thread that waits for the database, so that nothing else has to.

Belongs here: making a sink, handing it one job after another, resting after a failure, giving up on one that hangs.
Does not: what the jobs are (batches, open_operations), and what else can be done with a span (writer).
"""

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Protocol

from leo_telemetry_pipeline.writer import process_hooks

if TYPE_CHECKING:
    from leo_telemetry_pipeline.writer.sink import Sink

# A job that takes longer is taken from a database that does not answer.
PATIENCE_S = 5.0
FIRST_REST_S = 0.5
LONGEST_REST_S = 30.0
# One at work, and one ready for when that is done.
_MOST_JOBS = 2
# While somebody waits for the database, more of them, whose spans are on disk as well.
_MOST_WAITING = 20
_GOODBYE_S = 0.1


class Job(Protocol):
    """What is done with a sink."""

    def run(self, sink: "Sink") -> None:
        """Do it. Raises Unavailable."""
        ...

    def finish(self, done: bool) -> None:
        """Hear whether it was done; of several answers, the first counts."""
        ...


class Sender:
    """Takes jobs as long as the database answers; ``accepts`` and ``away`` say whether it does.

    Jobs are done in order. ``told`` is called, in this thread, after each of them.
    """

    def __init__(
        self, make_sink: "Callable[[], Sink]", prepare: Callable[[], object], told: Callable[[], object]
    ) -> None:
        self._make_sink = make_sink
        self._prepare = prepare
        self._told = told
        self._sink: Sink | None = None
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._rest_s = FIRST_REST_S
        self._lock = Lock()
        self._at_work = self._given_up = False
        self.jobs: deque[Job] = deque()
        self.began_s: float | None = None
        self.again_s = 0.0
        self.answered = False

    @property
    def away(self) -> bool:
        """Whether the database is not asked now, since it did not answer."""
        return self._given_up or time.monotonic() < self.again_s

    @property
    def accepts(self) -> bool:
        """Whether a job can be offered now."""
        return len(self.jobs) < _MOST_JOBS and not self.away

    @property
    def has_room(self) -> bool:
        """Whether a job whose spans are on disk can be offered all the same."""
        return len(self.jobs) < _MOST_WAITING

    def busy_s(self) -> float:
        """Return for how long the job that is at work has been."""
        began = self.began_s
        return 0.0 if began is None else time.monotonic() - began

    def goes_on(self) -> None:
        """Hear, from the job at work, that the database has answered and the job asks it anew."""
        self.began_s = time.monotonic()

    def offer(self, job: Job) -> None:
        """Hand over a job."""
        if self._thread is None:
            thread = Thread(target=self._run, name="leo-telemetry-sender", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is about to end
                job.finish(False)
                return
            self._thread = thread
        self.jobs.append(job)
        self._inbox.put(job)

    def give_up(self) -> None:
        """Call off all jobs, and end what the database has in hand; it is not asked again until that has ended."""
        with self._lock:
            jobs = list(self.jobs)
            self.jobs.clear()
            self._given_up = self._at_work
            sink = self._sink if self._at_work else None
        for job in jobs:
            job.finish(False)
        if sink is not None:
            sink.abort()

    def close(self) -> None:
        """Let the thread end, and wait a moment for it."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join(_GOODBYE_S)

    def _run(self) -> None:
        while (job := self._inbox.get()) is not None:
            with self._lock:
                self._at_work = job in self.jobs
            done = self._at_work and self._try(job)
            with self._lock:
                self._at_work = self._given_up = False
                # Before it is told: whoever is told must not take the sender for busy.
                if job in self.jobs:
                    self.jobs.remove(job)
            # Whatever goes wrong there, this thread is the only one that stores.
            with suppress(Exception):
                job.finish(done)
            with suppress(Exception):
                self._told()
        self._drop_sink()

    def _try(self, job: Job) -> bool:
        if self.away:
            return False
        self.began_s = time.monotonic()
        try:
            if self._sink is None:
                self._prepare()
                # Only the first of them sets up what a fork must not meet half done: later ones delay nobody.
                with nullcontext() if self.answered else process_hooks.connecting:
                    self._sink = self._make_sink()
            job.run(self._sink)
        except Exception:  # noqa: BLE001 whatever it is, the spans are kept and the program goes on
            self._drop_sink()
            self.again_s = time.monotonic() + self._rest_s * random.uniform(0.5, 1.0)
            self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
            return False
        finally:
            self.began_s = None
        self._rest_s = FIRST_REST_S
        self.answered = True
        return True

    def _drop_sink(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with suppress(Exception):
                sink.close()
