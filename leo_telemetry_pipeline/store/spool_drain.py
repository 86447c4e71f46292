"""Drain of a home's spool into the database, by a command, an analysis or a receiver.

Belongs here: storing spooled spans and the result of the drain. Does not: the spool's files (spool).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.spool.drain import Drained, OpenDrain, opened
from leo_telemetry_pipeline.store import collection_stats, spans
from leo_telemetry_pipeline.store.server.database import Database


def drain(database: Database, home: Path, by: str, *, at_most_s: float | None = None) -> Drained:
    """Store the spans in a home's spool, and the result under ``by``; start no segment after ``at_most_s`` seconds.

    Raises psycopg2.Error, or UserError if the spool cannot be read; spans that are not stored stay in it.
    """
    folder = spool.folder_of(str(home))
    try:
        with opened(folder, at_most_s=at_most_s) as drain:
            try:
                for batch in drain.batches:
                    batch.stored = spans.store(database, batch.spans, batch.removed, source="spool")
            except BaseException:
                with suppress(Exception):
                    _note(database, drain, by)
                raise
            _note(database, drain, by)
            return drain.drained
    except OSError as error:
        raise UserError(f"The spool {folder} cannot be read ({error.strerror or error}): check its owner", 1) from None


def _note(database: Database, drain: OpenDrain, by: str) -> None:
    done = drain.drained
    if done.busy:
        return
    with drain.counted() as counters:
        if done.segments or done.torn or counters:
            brought = (done.segments, done.spans, done.new, done.quarantined, done.torn)
            collection_stats.note_drain(database, collection_stats.Drain(by, *brought, summed(counters)))


def summed(counters: Iterable[Mapping]) -> dict:
    """Return the sum of the counters of several processes."""
    total: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for counted in counters:
        total.update({name: count for name, count in counted.items() if isinstance(count, int)})
        dropped.update(counted.get("dropped", {}))
    return {**total, "dropped": dict(dropped)} if total or dropped else {}
