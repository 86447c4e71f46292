"""A Parquet file becomes rows, a piece at a time; the only reader of that format.

Belongs here: opening and damage of such files. Does not: values of columns (parquet_values), what a row means (rows),
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
    """Tell whether a file is Parquet, whatever its name. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def notes(path: Path) -> dict[str, str]:
    """Return what the writer of a Parquet file noted in it. Raises UserError."""
    with opened(path) as file:
        noted = file.metadata.metadata or {}
        return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in noted.items()}


def exact_times(path: Path) -> frozenset[str]:
    """Return the columns whose type says what unit their times have. Raises UserError."""
    with opened(path) as file:
        return frozenset(field.name for field in file.schema_arrow if parquet_values.is_time(field.type))


def rows(
    path: Path, on_bytes: Callable[[int], object] | None = None, sources: Mapping[str, str] | None = None
) -> Iterator[tuple[int, dict | str]]:
    """Yield number, from 1, and values of each row; a text instead of values says why rows from there are missing.

    ``sources`` says which column of the file gives one of ours, where it has another name. ``on_bytes`` gets how many
    bytes of the file were consumed since it was last called. Raises UserError where nothing of the file can be read.
    """
    sources = sources or {}
    columns = parquet_values.targets(sources)
    with opened(path) as file:
        given = {columns.get(name, name) for name in file.schema_arrow.names} | set(sources)
        if missing := [name for name in REQUIRED if name not in given]:
            needed = f"a file of spans has {', '.join(REQUIRED)}, or a --map to them"
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
        raise UserError(f"{path} is Parquet, and pyarrow is not installed: {INSTALL}") from None
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read as Parquet ({' '.join(str(error).split())}): is it whole?") from None
    with file:
        yield file


def batches(file: "pq.ParquetFile", group: int) -> "Iterator[pa.RecordBatch]":
    """Yield a row group in batches of at most 10,000 rows, times to the microsecond."""
    import pyarrow as pa

    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=[group], use_threads=False):
        columns = [
            # A finer time would come as a value of pandas.
            column.cast(pa.timestamp("us", column.type.tz), safe=False)
            if pa.types.is_timestamp(column.type)
            else column
            for column in batch.columns
        ]
        yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def packed_bytes(file: "pq.ParquetFile", group: int) -> int:
    """Return how many bytes a row group takes in the file."""
    found = file.metadata.row_group(group)
    return sum(found.column(index).total_compressed_size for index in range(found.num_columns))
