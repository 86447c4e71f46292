"""What a writer needs of a database; the one that talks to PostgreSQL lies above (store.sink).

Belongs here: the interface. Does not: any way to fulfil it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from leo_telemetry_pipeline.span import Span

    class StoreResult(Protocol):
        """How many spans were stored for the first time, and how many the database refused."""

        @property
        def new(self) -> int:
            """Those that were not there yet."""
            ...

        @property
        def quarantined(self) -> int:
            """Those that no database will take."""
            ...

    class Sink(Protocol):
        """A place for spans, used by one thread; only ``abort`` comes from another."""

        def store(self, spans: Sequence[Span], removed: dict[str, int], /) -> StoreResult:
            """Store spans once each, all of them or none. Raises Unavailable."""
            ...

        def announce(self, opened: Sequence[Span], ended: Sequence[tuple[str, str]], /) -> None:
            """Show spans that have no end yet, and withdraw (trace id, span id). Raises Unavailable."""
            ...

        def abort(self) -> None:
            """End what is under way at once, with an error."""
            ...

        def close(self) -> None:
            """Let go of the database."""
            ...


class Unavailable(Exception):
    """Nothing was stored, since the database is away; the text is a word for why, and never holds an address."""
