"""Archive sealed spans to Parquet, one file per sealed part of a day, and restore them.

Belongs here: names and content of these files, and their verification. Does not: when spans are archived (rules),
reading Parquet (sources.files.parquet).

A file is written under a temporary name, forced to disk, renamed and read back; only then is the part recorded as
archived. An interrupted archive is written again.
"""

import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2.extensions

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.sources.files import parquet
from leo_telemetry_pipeline.span import COLUMNS
from leo_telemetry_pipeline.store import ends
from leo_telemetry_pipeline.store.days import whole
from leo_telemetry_pipeline.store.retention import partitions
from leo_telemetry_pipeline.store.retention.rules import Archived, Part
from leo_telemetry_pipeline.store.server.database import Database

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "1"
GROUP = 50_000
ROWS_AT_ONCE = 10_000
_NAMES = (*COLUMNS, "created_at")
# Archives of unreleased versions lack the microseconds.
_REQUIRED = frozenset(_NAMES) - {"duration_rest_us"}
_TYPES = {
    "trace_id": "uuid",
    "span_id": "uuid",
    "parent_span_id": "uuid",
    "duration_rest_us": "smallint",
    "created_at": "timestamptz",
}
_AS_TEXT = {"trace_id", "span_id", "parent_span_id", "attributes"}
_OF_A_PART = (
    "start_time_ms >= %(from_ms)s AND start_time_ms < %(to_ms)s"
    " AND created_at >= coalesce(%(since)s::timestamptz, '-infinity') AND created_at < %(before)s"
)


def name_of(day: date, number: int) -> str:
    """Return the file name of a part."""
    return f"spans-{day}-{number}.parquet"


def folder(path: str, *, create: bool = True) -> Path:
    """Return the archive folder, created if missing; raise UserError if it cannot be written.

    Without ``create``, only check whether it could be created.
    """
    target = Path(path).expanduser()
    if not target.is_absolute():
        raise UserError(f"{PREFIX}ARCHIVE is {path!r}: give an absolute path")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UserError(f"{PREFIX}ARCHIVE is set, but pyarrow is not installed: {parquet.INSTALL}") from None
    existing = next(path for path in (target, *target.parents) if path.exists())
    refused = f"{PREFIX}ARCHIVE ({target}) cannot be used"
    if not existing.is_dir():
        raise UserError(f"{refused}: {existing} is a file; name a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{refused}: {existing} is not writable; name a writable folder")
    try:
        if create:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{refused}: {error.strerror}; name a folder that can be created and written") from None
    return target


def write(database: Database, part: Part, into: Path) -> Archived:
    """Write the spans of a part to its own file, and record that.

    Raises Busy (partitions), OSError or UserError, without recording anything.
    """
    import pyarrow as pa

    path = into / name_of(part.day, part.number)
    # Hidden and unique to this part: a crash may leave it behind, and the next attempt overwrites it.
    temporary = into / f".{path.name}.{part.archive_id}"
    with database.transaction(seconds=3600) as cursor:
        _take(cursor, part)
        _refuse_others(path, part)
        # A slow disk must not be mistaken for a stopped process.
        cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', '10min', true)")
        try:
            spans = _write(temporary, part, _rows(cursor, part))
        except (OSError, pa.ArrowException) as error:
            temporary.unlink(missing_ok=True)
            raise OSError(f"{path} could not be written ({error}): is there room on the disk?") from None
        temporary.replace(path)
        _to_disk(into)
        notes = parquet.notes(path)
        with parquet.opened(path) as file:
            stored = file.metadata.num_rows
        if stored != spans or notes.get(parquet.ARCHIVE_ID) != part.archive_id:
            raise OSError(f"{path} has {stored} span(s) instead of {spans}: is the disk sound?")
        cursor.execute(
            "UPDATE telemetry_sealed_days SET archive = %s, archived_at = clock_timestamp()"
            " WHERE day = %s AND part = %s",
            (str(path), part.day, part.number),
        )
    return Archived(part.day, part.number, str(path), spans)


def _take(cursor: psycopg2.extensions.cursor, part: Part) -> None:
    partitions.take(cursor, "archive", part.day)
    cursor.execute(
        "SELECT FROM telemetry_sealed_days WHERE day = %s AND part = %s AND archived_at IS NULL AND dropped_at IS NULL"
        " FOR UPDATE",
        (part.day, part.number),
    )
    if not cursor.fetchall():
        # Archived meanwhile, and its spans may be gone: writing now would overwrite the good file.
        raise partitions.Busy


def is_known(database: Database, archive_id: str) -> bool:
    """Return whether an archive was written by this database."""
    return bool(database.rows("SELECT FROM telemetry_sealed_days WHERE archive_id::text = %s", (archive_id,)))


def restore(
    database: Database, path: Path, archive_id: str, on_bytes: Callable[[int], object] | None = None
) -> tuple[int, int]:
    """Restore the spans of one of this database's archives; return how many it holds and how many were missing.

    Spans keep their ``created_at``, so that history does not count them again. A span that arrived again without an end
    is replaced by the archived one. The part is kept as long as if it had been imported now.
    """
    read = new = 0
    with parquet.opened(path) as file:
        if missing := _REQUIRED.difference(file.schema_arrow.names):
            raise UserError(f"{path} has no column {', '.join(sorted(missing))}: it was changed after it was archived")
        database.rows(
            "SELECT ensure_trace_partitions(day, day) FROM telemetry_sealed_days WHERE archive_id::text = %s",
            (archive_id,),
        )
        for group in range(file.num_row_groups):
            for batch in parquet.batches(file, group):
                read += batch.num_rows
                new += _put_back(database, batch, archive_id)
            if on_bytes is not None:
                on_bytes(parquet.packed_bytes(file, group))
    # Clear dropped_at only now: until everything is restored, only the history has the whole day.
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE telemetry_sealed_days SET dropped_at = NULL"
            " WHERE archive_id::text = %s AND restored_at > dropped_at",
            (archive_id,),
        )
    return read, new


def _put_back(database: Database, batch: "pa.RecordBatch", archive_id: str) -> int:
    arrays = ", ".join(f"%({name})s::{_type(name)}[]" for name in _NAMES)
    values = ", ".join(f"{name}::jsonb" if name == "attributes" else name for name in _NAMES)
    with database.transaction() as cursor:
        cursor.execute(
            f"INSERT INTO {partitions.TABLE} AS s ({', '.join(_NAMES)})"
            f" SELECT {values} FROM unnest({arrays}) AS archived ({', '.join(_NAMES)})"
            # Set created_at too, since the sealed history has counted the complete span already.
            f" ON CONFLICT ({ends.KEY}) DO UPDATE SET {ends.FROM_EXCLUDED}, created_at = excluded.created_at"
            f" WHERE {ends.WITHOUT_END} AND (excluded.duration_ms IS NOT NULL OR excluded.end_time_ms IS NOT NULL)"
            f" {ends.STORED}",
            {name: _values(batch, name) for name in _NAMES},
        )
        new = cursor.rowcount
        if new:
            # In the same transaction, so that restored spans are never mistaken for old ones.
            cursor.execute(
                "UPDATE telemetry_sealed_days SET restored_at = now() WHERE archive_id::text = %s",
                (archive_id,),
            )
        return new


def _values(batch: "pa.RecordBatch", name: str) -> list:
    return batch.column(name).to_pylist() if name in batch.schema.names else [None] * batch.num_rows


def _type(name: str) -> str:
    return _TYPES.get(name, "bigint" if name.endswith("_ms") else "text")


def _refuse_others(path: Path, part: Part) -> None:
    if not path.exists():
        return
    try:
        archive_id = parquet.notes(path).get(parquet.ARCHIVE_ID)
    except UserError:
        archive_id = None
    if archive_id != part.archive_id:
        raise UserError(f"{path} exists but is not from this database: name another folder in {PREFIX}ARCHIVE")


def _rows(cursor: psycopg2.extensions.cursor, part: Part) -> Iterator[list[tuple]]:
    columns = ", ".join(f"{name}::text" if name in _AS_TEXT else name for name in _NAMES)
    cursor.execute(
        f"DECLARE archived NO SCROLL CURSOR FOR SELECT {columns} FROM {partitions.TABLE} WHERE {_OF_A_PART}"
        " ORDER BY start_time_ms, trace_id, span_id",
        whole(part.day).parameters() | {"since": part.since, "before": part.before},
    )
    while True:
        cursor.execute(f"FETCH {ROWS_AT_ONCE} FROM archived")
        rows = cursor.fetchall()
        if not rows:
            return
        yield rows


def _write(path: Path, part: Part, fetched: Iterator[list[tuple]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"bigint": pa.int64(), "smallint": pa.int16(), "timestamptz": pa.timestamp("us", "UTC")}
    schema = pa.schema([(name, types.get(_type(name), pa.string())) for name in _NAMES])
    spans = 0
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
            for group in _groups(fetched, schema):
                writer.write_table(group)
                spans += group.num_rows
            writer.add_key_value_metadata(
                {
                    "leo_telemetry.format": FORMAT,
                    "leo_telemetry.day": str(part.day),
                    "leo_telemetry.part": str(part.number),
                    "leo_telemetry.spans": str(spans),
                    parquet.ARCHIVE_ID: part.archive_id,
                }
            )
        file.flush()
        os.fsync(file.fileno())
    return spans


def _groups(fetched: Iterator[list[tuple]], schema: "pa.Schema") -> "Iterator[pa.Table]":
    import pyarrow as pa

    # Columns take a fraction of the memory of rows.
    waiting: list[pa.Table] = []
    for rows in fetched:
        columns = [pa.array(column, of.type) for column, of in zip(zip(*rows, strict=True), schema, strict=True)]
        waiting.append(pa.Table.from_arrays(columns, schema=schema))
        if sum(table.num_rows for table in waiting) >= GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _to_disk(into: Path) -> None:
    descriptor = os.open(into, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
