"""What a writer and its thread share: the queue between them, what is open, the counters, and how far closing is.

Belongs here: the state of one writer in one process; a forked child has one of its own.
Does not: who changes what when (writer, worker_thread). Read for each span that ends, so it has plain attributes.
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
    """Changed by both sides, each attribute at once: a signal handler may see it at any moment.

    ``of_parent`` are operations, by id, that were open when this process was forked: they are its parent's.
    """

    def __init__(self, of_parent: "dict[int, Operation]") -> None:
        # Kept, so that no other operation gets the id of one of them.
        self.of_parent = of_parent
        self.open: dict[Operation, None] = {}
        self.queue: deque[Operation | Span | Kept] = deque()
        self.tally = Tally()
        # Wakes the thread, which is parked when it waits for nothing else; True for what is urgent.
        self.bell: SimpleQueue[bool] = SimpleQueue()
        self.parked = True
        # The position up to which somebody waits for all spans to have their end.
        self.hurry_to = 0
        self.closing = self.out_of_time = False
        # How many spans the thread has made: whether it goes on.
        self.progress = 0
        # Of time.monotonic(): what is not on disk by then is lost.
        self.until_s = math.inf
        self.trouble: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is no time left, not even for writing to disk."""
        return self.out_of_time and time.monotonic() >= self.until_s

    @property
    def in_a_hurry(self) -> bool:
        """Whether somebody waits for the queue to be empty."""
        return self.closing or not self.tally.have_ended(self.hurry_to)

    def give_up(self) -> None:
        """Count unsettled spans as lost, unless they are on disk; later reports on them are ignored."""
        self.tally.give_up(self.queue)
