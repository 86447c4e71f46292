"""State shared by a writer and its worker thread: queue, open operations, counters, progress of closing.

Belongs here: the state of one writer in one process; a forked child has its own.
Does not: changing it (writer, worker_thread). Read for every span that ends, so it has plain attributes.
"""

import math
import time
from collections import deque
from queue import SimpleQueue

from leo_telemetry_pipeline.writer.counters import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from leo_telemetry_pipeline.span import Span
    from leo_telemetry_pipeline.tracing.operation import Operation
    from leo_telemetry_pipeline.writer.preparing import Kept


class WriterState:
    """State of one writer; attributes change atomically, since a signal handler may read them at any moment.

    ``of_parent`` holds, by id, the operations open when this process was forked, which belong to the parent.
    """

    def __init__(self, of_parent: "dict[int, Operation]") -> None:
        # References keep their ids from being reused.
        self.of_parent = of_parent
        self.open: dict[Operation, None] = {}
        self.queue: deque[Operation | Span | Kept] = deque()
        self.tally = Tally()
        # Wakes the thread; True if urgent. A parked thread waits for nothing else.
        self.bell: SimpleQueue[bool] = SimpleQueue()
        self.parked = True
        # Position up to which a flush waits for all spans to be settled.
        self.hurry_to = 0
        self.closing = self.out_of_time = False
        # Number of spans the thread has prepared, which shows whether it hangs.
        self.progress = 0
        # Deadline, by time.monotonic(): spans not on disk by then are lost.
        self.until_s = math.inf
        self.trouble: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether no time is left, not even for writing to disk."""
        return self.out_of_time and time.monotonic() >= self.until_s

    @property
    def in_a_hurry(self) -> bool:
        """Whether a flush or close waits for the queue to empty."""
        return self.closing or not self.tally.have_ended(self.hurry_to)

    def give_up(self) -> None:
        """Count unsettled spans as lost, unless on disk; ignore later reports on them."""
        self.tally.give_up(self.queue)
