"""Sender thread: the only one that waits for the database.

Belongs here: opening a sink, running jobs on it in order, backoff after a failure, giving up on a hanging job.
Does not: the jobs (batches, open_operations), other outcomes of a span (writer).
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

# After this time without an answer, the database counts as away.
PATIENCE_S = 5.0
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
# One job runs and one is queued.
_MOST_JOBS = 2
# While a flush or close waits, more jobs are accepted, up to this limit, if their spans are also on disk.
_MOST_WAITING = 20
_JOIN_S = 0.1


class Job(Protocol):
    """Work for a sink."""

    def run(self, sink: "Sink") -> None:
        """Do the work. Raises Unavailable."""

    def finish(self, done: bool) -> None:
        """Receive the outcome; only the first call counts."""


class Sender:
    """Runs jobs in order in its own thread while the database answers, and calls ``on_done`` there after each job."""

    def __init__(
        self, make_sink: "Callable[[], Sink]", prepare: Callable[[], object], on_done: Callable[[], object]
    ) -> None:
        self._make_sink = make_sink
        self._prepare = prepare
        self._on_done = on_done
        self._sink: Sink | None = None
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._backoff_s = FIRST_BACKOFF_S
        self._lock = Lock()
        self._at_work = self._given_up = False
        self.jobs: deque[Job] = deque()
        self.began_s: float | None = None
        self.again_s = 0.0
        self.answered = False

    @property
    def away(self) -> bool:
        """Whether the sender backs off after a failure."""
        return self._given_up or time.monotonic() < self.again_s

    @property
    def accepts(self) -> bool:
        """Whether a job can be offered now."""
        return len(self.jobs) < _MOST_JOBS and not self.away

    @property
    def has_room(self) -> bool:
        """Whether a job whose spans are also on disk can be offered."""
        return len(self.jobs) < _MOST_WAITING

    def busy_s(self) -> float:
        """Return how long the current job has been running, in seconds."""
        began = self.began_s
        return 0.0 if began is None else time.monotonic() - began

    def restart_clock(self) -> None:
        """Restart the clock of the current job, which received an answer and sends another request."""
        self.began_s = time.monotonic()

    def offer(self, job: Job) -> None:
        """Queue a job."""
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
        """Cancel all jobs and abort the current one; accept none until it has ended."""
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
        """End the thread, waiting for it briefly."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while (job := self._inbox.get()) is not None:
            with self._lock:
                self._at_work = job in self.jobs
            done = self._at_work and self._try(job)
            with self._lock:
                self._at_work = self._given_up = False
                # Remove the job before the callbacks, which must not see the sender as busy.
                if job in self.jobs:
                    self.jobs.remove(job)
            # No error of a callback may end the only thread that stores.
            with suppress(Exception):
                job.finish(done)
            with suppress(Exception):
                self._on_done()
        self._drop_sink()

    def _try(self, job: Job) -> bool:
        if self.away:
            return False
        self.began_s = time.monotonic()
        try:
            if self._sink is None:
                self._prepare()
                # Only the first connection initializes OpenSSL, so only it delays forks.
                with nullcontext() if self.answered else process_hooks.connecting:
                    self._sink = self._make_sink()
            job.run(self._sink)
        except Exception:  # noqa: BLE001 after any error the spans are kept and the program continues
            self._drop_sink()
            self.again_s = time.monotonic() + self._backoff_s * random.uniform(0.5, 1.0)
            self._backoff_s = min(2 * self._backoff_s, LONGEST_BACKOFF_S)
            return False
        finally:
            self.began_s = None
        self._backoff_s = FIRST_BACKOFF_S
        self.answered = True
        return True

    def _drop_sink(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with suppress(Exception):
                sink.close()
