"""Conversion of Parquet values to row values, by the purpose and type of each column.

Belongs here: ids, times and attributes as pyarrow represents them. Does not: opening files (parquet), what a row means
(rows).
"""

import base64
import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_IDS = ("trace_id", "span_id", "parent_span_id")
_TIMES = ("start_time_ms", "end_time_ms", "duration_ms", "queue_wait_ms")
_MOMENTS = _TIMES[:2]
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_HEX = re.compile(rb"[0-9a-fA-F]{16}").fullmatch

Read = Callable[[Any], object]


def targets(sources: Mapping[str, str]) -> dict[str, str]:
    """Return our column for each column of a file; ids and times take precedence."""
    columns: dict[str, str] = {}
    for target, name in sources.items():
        if name not in columns or target in _IDS or target in _TIMES:
            columns[name] = target
    return columns


def rows_of(batch: "pa.RecordBatch", columns: Mapping[str, str], file: str) -> Iterator[dict]:
    """Yield the rows of a batch; ``columns`` maps the file's columns to ours.

    Raises UserError for a column whose type does not fit its purpose.
    """
    # pandas writes its index as a column.
    names = [name for name in batch.schema.names if not name.startswith("__index_level_")]
    read = [_column(batch.column(name), columns.get(name, name), f"{file}: column {name}") for name in names]
    for values in zip(*read, strict=True):
        yield dict(zip(names, values, strict=True))


def is_time(kind: "pa.DataType") -> bool:
    """Return whether a type is a time type, whose unit is part of the type."""
    import pyarrow.types as of

    kind = kind.value_type if of.is_dictionary(kind) else kind
    return of.is_timestamp(kind) or of.is_duration(kind) or of.is_time(kind) or of.is_date(kind)


def _column(column: "pa.Array", target: str, what: str) -> list:
    import pyarrow as pa
    import pyarrow.types as of

    kind = column.type
    if of.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if target in _TIMES:
        return _times(column, target, what)
    if of.is_timestamp(kind):
        # Nanoseconds would be returned as pandas values.
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    values = column.to_pylist()
    if target in _IDS:
        return [_id(value) for value in values]
    if target in COLUMNS and _is_binary(kind) and target != "attributes":
        return [_name(value) for value in values]
    read = _reader(kind)
    return values if read is None else [None if value is None else read(value) for value in values]


def _times(column: "pa.Array", target: str, what: str) -> list:
    """Return exact milliseconds; numbers and text are returned as they are."""
    import pyarrow as pa
    import pyarrow.types as of

    kind = column.type
    if of.is_float16(kind) or (of.is_float32(kind) and target in _MOMENTS):
        raise UserError(f"{what} is a {kind}, which cannot hold an exact time: write it as int64 or timestamp", 1)
    if of.is_timestamp(kind) or of.is_duration(kind) or of.is_time(kind):
        counts = column.cast(pa.int32() if of.is_time32(kind) else pa.int64()).to_pylist()
        per_ms = Decimal(_PER_SECOND[kind.unit]) / 1_000
        return [None if count is None else _exact(Decimal(count) / per_ms) for count in counts]
    if of.is_date(kind):
        days = column.cast(pa.date32()).cast(pa.int32()).to_pylist()
        return [None if count is None else count * 86_400_000 for count in days]
    if _is_binary(kind):
        return [_name(value) for value in column.to_pylist()]
    return column.to_pylist()


def _exact(milliseconds: Decimal) -> int | Decimal:
    return int(milliseconds) if milliseconds == milliseconds.to_integral_value() else milliseconds


def _id(value: object) -> object:
    if not isinstance(value, bytes):
        return value if value is None or isinstance(value, int | str) else str(value)
    # 16 hex digits are the text of a span id; the 16 bytes of a UUID look like that less than once in 10^17.
    if len(value) == 8 or (len(value) == 16 and not _HEX(value)):
        return value.hex()
    return _name(value)


def _name(value: object) -> object:
    # Bytes that are not UTF-8 stay bytes; span_from_row refuses them and names the column.
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _reader(kind: "pa.DataType") -> Read | None:
    """Return the conversion of a type's values to JSON values, None if none is needed."""
    import pyarrow.types as of

    if of.is_dictionary(kind):
        return _reader(kind.value_type)
    if of.is_string(kind) or of.is_large_string(kind) or of.is_integer(kind) or of.is_boolean(kind) or of.is_null(kind):
        return None
    if of.is_map(kind):
        return _pairs(_reader(kind.key_type), _reader(kind.item_type))
    if of.is_struct(kind):
        return _members({field.name: _reader(field.type) for field in kind})
    if of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind):
        return _items(_reader(kind.value_type))
    return _scalar(kind)


def _scalar(kind: "pa.DataType") -> Read:
    import pyarrow.types as of

    if _is_binary(kind):
        return _bytes
    if of.is_floating(kind):
        return lambda value: value if math.isfinite(value) else None
    if of.is_decimal(kind):
        return lambda value: int(value) if value == value.to_integral_value() else float(value)
    if of.is_timestamp(kind) or of.is_date(kind) or of.is_time(kind):
        return lambda value: value.isoformat()
    if of.is_duration(kind):
        return lambda value: round(value.total_seconds() * 1_000)
    return str


def _pairs(key: Read | None, item: Read | None) -> Read:
    def read(value: list) -> dict:
        return {str(key(name) if key else name): _or_none(item, content) for name, content in value}

    return read


def _members(readers: dict[str, Read | None]) -> Read:
    def read(value: dict) -> dict:
        # A member that a row lacks is None in Parquet.
        return {name: _or_none(readers[name], member) for name, member in value.items() if member is not None}

    return read


def _items(item: Read | None) -> Read:
    return lambda value: [_or_none(item, element) for element in value]


def _or_none(read: Read | None, value: object) -> object:
    return value if read is None or value is None else read(value)


def _is_binary(kind: "pa.DataType") -> bool:
    import pyarrow.types as of

    return of.is_binary(kind) or of.is_large_binary(kind) or of.is_fixed_size_binary(kind) or of.is_binary_view(kind)
