"""Parts of a writer that are loaded with its first span: span preparation, spool and journal.

Belongs here: writing one span to disk in the thread that ended it. Does not: when to do so (writer), batches (batches).
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
    """Redacted span and the segment that holds it; without a segment, ``refused`` is the reason."""

    __slots__ = ("refused", "segment", "span")

    def __init__(self, span: Span, segment: Segment | None, refused: str = "") -> None:
        self.span = span
        self.segment = segment
        self.refused = refused


class Parts:
    """Lazily loaded parts of one writer in one process."""

    def __init__(self, tally: Tally, spool: Spool, project: str, policy: redact.Policy) -> None:
        self._tally = tally
        self._project = project
        self._policy = policy
        self.spool = spool
        self.journal = Journal(spool)

    def span(self, item: Operation | Span, removed: dict[str, int]) -> Span:
        """Return the redacted span; add removed attributes by name to ``removed``. Odd values may raise anything."""
        span = to_span(item) if isinstance(item, Operation) else item
        span.attributes = self._policy.own(span.attributes, removed)
        if not span.project:
            span.project = self._project
        return redact.clean(span)

    def keep(self, item: Operation | Span | Kept, removed: dict[str, int]) -> Kept:
        """Write a span to disk unless it is already there or the disk refuses it. Raises like ``span``."""
        if isinstance(item, Kept):
            return item
        span = self.span(item, removed)
        try:
            return Kept(span, self.journal.append(span_line(span) + removed_line(removed), 1))
        except SpoolError as error:
            return Kept(span, None, error.reason)

    def put_away(self) -> None:
        """Release the journal, and the counts since the last call, to the next drain."""
        self.journal.close()
        news = self._tally.take_news()
        if news["created"] > news["stored"]:
            self.spool.keep_counters(news)

    def leave(self, kept: Kept) -> bool:
        """Count a span as spooled, or as dropped if the disk refused it; return whether it is on disk."""
        if kept.segment is not None:
            self.journal.settle(kept.segment, 1, stored=False)
        self._tally.pass_by(kept.refused)
        return not kept.refused
