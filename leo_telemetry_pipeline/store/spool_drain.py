"""Drain of a home's spool into the database, by a command, an analysis or a receiver.

Belongs here: storing spooled spans and the result of the drain. Does not: the spool's files (spool).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.spool.drain import drain as drain_folder
from leo_telemetry_pipeline.store import collection_stats, spans
from leo_telemetry_pipeline.store.server.database import Database


def drain(database: Database, home: Path, by: str, *, at_most_s: float | None = None) -> Drained:
    """Store the spans in a home's spool, and the result under ``by``; begin nothing after ``at_most_s`` seconds.

    Raises psycopg2.Error, or UserError if the spool cannot be read; spans that are not stored stay in it.
    """

    def store(batch: list[Span], removed: dict[str, int]) -> spans.Stored:
        return spans.store(database, batch, removed, source="spool")

    def note(done: Drained) -> None:
        if done.segments or done.torn or done.counters:
            counted = summed(done.counters)
            totals = (done.segments, done.spans, done.new, done.quarantined, done.torn)
            collection_stats.note_drain(database, collection_stats.Drain(by, *totals, counted))

    folder = spool.folder_of(str(home))
    try:
        return drain_folder(folder, store, at_most_s=at_most_s, note=note)
    except OSError as error:
        raise UserError(f"The spool {folder} cannot be read ({error.strerror or error}): check its owner", 1) from None


def summed(counters: Iterable[Mapping]) -> dict:
    """Return the sum of the counters of several processes."""
    total: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for counted in counters:
        total.update({name: count for name, count in counted.items() if isinstance(count, int)})
        dropped.update(counted.get("dropped", {}))
    return {**total, "dropped": dict(dropped)} if total or dropped else {}
