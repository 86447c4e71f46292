"""What a writer needs once it has something to write: its way of making spans, its spool, its journal.

Belongs here: putting one span on disk in the thread that ended it, for durable writers and for what ends late.
Does not: when that is done (writer), batches (batches).
"""

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool.journal import Journal
from leo_telemetry_pipeline.spool.segments import Segment, removed_line, span_line
from leo_telemetry_pipeline.spool.spool import Spool, SpoolError
from leo_telemetry_pipeline.tracing.operation import Operation
from leo_telemetry_pipeline.tracing.to_span import to_span
from leo_telemetry_pipeline.writer.counters import Tally


class Kept:
    """A redacted span, and the segment that has it; without one, ``refused`` says why."""

    __slots__ = ("refused", "segment", "span")

    def __init__(self, span: Span, segment: Segment | None, refused: str = "") -> None:
        self.span = span
        self.segment = segment
        self.refused = refused


class Parts:
    """The parts of one writer in one process."""

    def __init__(self, tally: Tally, spool: Spool, project: str, policy: redact.Policy) -> None:
        self._tally = tally
        self._project = project
        self._policy = policy
        self.spool = spool
        self.journal = Journal(spool)

    def span(self, item: Operation | Span, removed: dict[str, int]) -> Span:
        """Return the redacted span of an operation, or of a span; count what is not kept in ``removed``, by name.

        Raises whatever odd values make it raise.
        """
        span = to_span(item) if isinstance(item, Operation) else item
        span.attributes = self._policy.own(span.attributes, removed)
        if not span.project:
            span.project = self._project
        return redact.clean(span)

    def keep(self, item: Operation | Span | Kept, removed: dict[str, int]) -> Kept:
        """Put a span on disk, if it is not there and the disk takes it. Raises as ``span`` does."""
        if isinstance(item, Kept):
            return item
        span = self.span(item, removed)
        try:
            return Kept(span, self.journal.append(span_line(span) + removed_line(removed), 1))
        except SpoolError as error:
            return Kept(span, None, error.reason)

    def put_away(self) -> None:
        """Leave to the drainers what is on disk, and what was counted since this was last done."""
        self.journal.close()
        news = self._tally.take_news()
        if news["created"] > news["stored"]:
            self.spool.keep_counters(news)

    def leave(self, kept: Kept) -> bool:
        """Leave a span to the drainers, counted; say whether the disk has it."""
        if kept.segment is not None:
            self.journal.settle(kept.segment, 1, stored=False)
        self._tally.pass_by(kept.refused)
        return not kept.refused
