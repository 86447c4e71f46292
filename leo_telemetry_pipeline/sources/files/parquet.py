"""Parquet reader: rows in batches.

Belongs here: opening files, even damaged ones. Does not: values of columns (parquet_values), what a row means (rows),
writing (store.retention.archive).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.files import parquet_values
from leo_telemetry_pipeline.sources.rows import REQUIRED

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC = b"PAR1"
ARCHIVE_ID = "leo_telemetry.archive_id"
INSTALL = "install pyarrow: pip install 'leo-telemetry-pipeline[parquet]'"
ROWS_AT_ONCE = 10_000


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet, whatever its name. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def notes(path: Path) -> dict[str, str]:
    """Return the key-value metadata of a Parquet file. Raises UserError."""
    with opened(path) as file:
        metadata = file.metadata.metadata or {}
        return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in metadata.items()}


def exact_times(path: Path) -> frozenset[str]:
    """Return the columns whose type includes a unit of time. Raises UserError."""
    with opened(path) as file:
        return frozenset(field.name for field in file.schema_arrow if parquet_values.is_time(field.type))


def rows(
    path: Path, on_bytes: Callable[[int], object] | None = None, sources: Mapping[str, str] | None = None
) -> Iterator[tuple[int, dict | str]]:
    """Yield number (from 1) and values of each row, or number and the reason why rows from there on are missing.

    ``sources`` gives the file's column for ours where the names differ. ``on_bytes`` gets the number of bytes of the
    file consumed since its last call. Raises UserError if nothing of the file can be read.
    """
    sources = sources or {}
    columns = parquet_values.targets(sources)
    with opened(path) as file:
        available = {columns.get(name, name) for name in file.schema_arrow.names} | set(sources)
        if missing := [name for name in REQUIRED if name not in available]:
            needed = f"a file of spans has {', '.join(REQUIRED)}, or --map names their columns"
            raise UserError(f"{path} has no column {', '.join(missing)}: {needed}", 1)
        first = 1
        for group in range(file.num_row_groups):
            count, number = file.metadata.row_group(group).num_rows, first
            try:
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=[group], use_threads=False):
                    for row in parquet_values.rows_of(batch, columns, str(path)):
                        yield number, row
                        number += 1
            except (OSError, ValueError) as error:
                yield number, f"rows {number} to {first + count - 1} cannot be read: {' '.join(str(error).split())}"
            first += count
            if on_bytes is not None:
                on_bytes(packed_bytes(file, group))


@contextmanager
def opened(path: Path) -> "Iterator[pq.ParquetFile]":
    """Yield an open Parquet file. Raises UserError."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f"{path} is Parquet, but pyarrow is not installed: {INSTALL}") from None
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read as Parquet ({' '.join(str(error).split())}): is it complete?") from None
    with file:
        yield file


def batches(file: "pq.ParquetFile", group: int) -> "Iterator[pa.RecordBatch]":
    """Yield a row group in batches of at most 10,000 rows, with times in microseconds."""
    import pyarrow as pa

    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=[group], use_threads=False):
        columns = [
            # Nanoseconds would be returned as pandas values.
            column.cast(pa.timestamp("us", column.type.tz), safe=False)
            if pa.types.is_timestamp(column.type)
            else column
            for column in batch.columns
        ]
        yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def packed_bytes(file: "pq.ParquetFile", group: int) -> int:
    """Return the compressed size of a row group in bytes."""
    metadata = file.metadata.row_group(group)
    return sum(metadata.column(index).total_compressed_size for index in range(metadata.num_columns))
