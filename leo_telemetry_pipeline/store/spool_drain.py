"""From the spool of a home into the database, by whoever has one: a command, an analysis, a receiver.

Belongs here: emptying a spool, and keeping what that brought. Does not: the spool's files (collect).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.spool.drain import drain as empty
from leo_telemetry_pipeline.store import collection_stats, spans
from leo_telemetry_pipeline.store.server.database import Database


def drain(database: Database, home: Path, by: str, *, at_most_s: float | None = None) -> Drained:
    """Store what waits in the spool of a home, and note it under ``by``; begin nothing after ``at_most_s``.

    Raises psycopg2.Error where the database does not take it, and UserError where the spool cannot be read: what is
    not stored stays where it is.
    """

    def store(batch: list[Span], removed: dict[str, int]) -> spans.Stored:
        return spans.store(database, batch, removed, source="spool")

    def note(done: Drained) -> None:
        if done.segments or done.torn or done.counters:
            counted = summed(done.counters)
            brought = (done.segments, done.spans, done.new, done.quarantined, done.torn)
            collection_stats.note_drain(database, collection_stats.Drain(by, *brought, counted))

    folder = spool.folder_of(str(home))
    try:
        return empty(folder, store, at_most_s=at_most_s, note=note)
    except OSError as error:
        raise UserError(f"The spool {folder} cannot be read ({error.strerror or error}): see whose it is", 1) from None


def summed(counters: Iterable[Mapping]) -> dict:
    """Return the counters of several processes as one."""
    total: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for one in counters:
        total.update({name: count for name, count in one.items() if isinstance(count, int)})
        dropped.update(one.get("dropped", {}))
    return {**total, "dropped": dict(dropped)} if total or dropped else {}
