"""Sink: the interface between a writer and a database.

Belongs here: the interface. Does not: implementations, such as PostgreSQL's (store.sink).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from leo_telemetry_pipeline.span import Span

    class StoreResult(Protocol):
        """Outcome of storing spans."""

        @property
        def new(self) -> int:
            """Number of spans that were not stored before."""
            ...

        @property
        def quarantined(self) -> int:
            """Number of spans that the database refused."""
            ...

    class Sink(Protocol):
        """Destination of spans, used by one thread; only ``abort`` is called by another."""

        def store(self, spans: Sequence[Span], removed: dict[str, int], /) -> StoreResult:
            """Store each span once, all or none. Raises Unavailable."""
            ...

        def announce(self, opened: Sequence[Span], ended: Sequence[tuple[str, str]], /) -> None:
            """Publish open spans, and withdraw ended ones by trace id and span id. Raises Unavailable."""

        def abort(self) -> None:
            """Abort the call in progress, which raises."""

        def close(self) -> None:
            """Close the connection."""


class Unavailable(Exception):
    """Nothing was stored, since the database is unavailable; the text is the kind of error, never an address."""
