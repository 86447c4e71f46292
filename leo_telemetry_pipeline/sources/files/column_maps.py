"""Column maps: translate another tool's columns to ours, for CSV, JSON objects and Parquet.

Belongs here: maps, their text form and presets, units of time, records of a CSV file. Does not: what a row means
(rows), parsing numbers (times).

A map gives the source of each of our columns, such as
``trace_id=TraceID,start_time_ms=Start:ns,span_type=:gate,attributes.pod=PodName``. A source is a column of the file,
for a time also with a unit (``:ns``, ``:us``, ``:ms``, ``:s``, ``:d`` for days, ``:excel`` for the days of a
spreadsheet). With a leading colon it is a constant value.
"""

import csv
from collections import deque
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources import times
from leo_telemetry_pipeline.sources.files.lines import MAX_LINE, NOT_UTF8, TOO_LONG
from leo_telemetry_pipeline.sources.rows import REQUIRED, attributes_of
from leo_telemetry_pipeline.span import COLUMNS, InvalidSpan

PRESETS: dict[str, dict[str, str]] = {
    "nezha": {
        "trace_id": "TraceID",
        "span_id": "SpanID",
        "parent_span_id": "ParentID",
        "span_type": ":operation",
        "span_name": "OperationName",
        "start_time_ms": "StartTimeUnixNano:ns",
        "end_time_ms": "EndTimeUnixNano:ns",
        "duration_ms": "Duration:us",
        "attributes.pod": "PodName",
    },
}
_MOMENTS = ("start_time_ms", "end_time_ms")
_TIMES = (*_MOMENTS, "duration_ms", "queue_wait_ms")
_DAY_NS = 86_400_000_000_000
EXCEL = "excel"
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "d": _DAY_NS, EXCEL: _DAY_NS}
# 1970-01-01 as a spreadsheet's day number.
_EXCEL_1970 = 25_569
# How databases write NULL in text.
_NULLS = ("\\N", "NULL")
_ATTRIBUTE = "attributes."
_MAX_JOINED = 100
_FEW_DIGITS = 19
UNCLOSED = "a quote opens here and is never closed"


def parse_map(text: str) -> dict[str, str]:
    """Parse a column map. Raise UserError if it is malformed or names a column that is not ours."""
    column_map: dict[str, str] = {}
    for part in text.split(","):
        target, equals, source = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not equals or not target or not source:
            raise UserError(f"column map: {part.strip()!r} is not of the form OUR_COLUMN=THEIR_COLUMN")
        if target in column_map:
            raise UserError(f"column map: {target} is given twice: remove one")
        column_map[target] = source
    check_map(column_map)
    return column_map


def check_map(column_map: dict[str, str]) -> None:
    """Raise UserError if the map has a target that is not one of our columns."""
    for target in column_map:
        if target not in COLUMNS and target.removeprefix(_ATTRIBUTE) in (target, ""):
            known = ", ".join(COLUMNS)
            raise UserError(f"column map: {target!r} is not a column: use {_ATTRIBUTE}NAME or one of {known}")


def as_text(column_map: dict[str, str]) -> str:
    """Return the text form of a map."""
    return ",".join(f"{target}={source}" for target, source in column_map.items())


def column_of(target: str, column_map: dict[str, str] | None) -> str:
    """Return the file's column for one of our columns, without a unit."""
    source = (column_map or {}).get(target, target)
    return _split_unit(target, source, ())[0]


def preset(name: str) -> dict[str, str]:
    """Return the preset column map of that name. Raise UserError if there is none."""
    if name not in PRESETS:
        raise UserError(f"there is no preset {name!r}: use one of {', '.join(PRESETS)}")
    return PRESETS[name]


def row_maker(header: list[str], column_map: dict[str, str] | None, file: str) -> Callable[[list[str]], dict]:
    """Return a function that converts the fields of a record to a row for ``span_from_row``.

    Without a map, all columns are kept under their names; with a map that renames, only mapped columns and ours.
    Raise UserError with file and header if a source is missing or a required column has no source.
    """
    names = [name.strip() for name in header]
    # A map that only adds units does not affect the other columns.
    is_renaming = any(column_of(target, column_map) != target for target in column_map or ())
    kept = COLUMNS if is_renaming else [name for name in names if name]
    sources = {name: name for name in kept if name in names} | (column_map or {})
    shown = redact.text(", ".join(names), 500)
    for target in REQUIRED:
        if target not in sources:
            raise UserError(f"{file}: there is no column for {target}: map it to one of {shown}")
    constants: dict[str, str] = {}
    plan: list[tuple[str, int, str]] = []
    for target, source in sources.items():
        name, unit = _split_unit(target, source, names)
        if name in names:
            plan.append((target, names.index(name), unit))
        elif source.startswith(":"):
            constants[target] = source[1:]
        else:
            raise UserError(f"{file}: there is no column {name!r} for {target}: map it to one of {shown}")
    return _maker(constants, plan)


def object_maker(column_map: dict[str, str], exact: Collection[str] = ()) -> Callable[[dict], dict]:
    """Return a function that converts a JSON object or a Parquet row to a row for ``span_from_row``.

    Unmapped keys are kept. Columns in ``exact`` are milliseconds already, so units in the map do not apply.
    """

    def make(values: dict) -> dict:
        sources = {target: (source, *_split_unit(target, source, values)) for target, source in column_map.items()}
        used = {name for _, name, _ in sources.values()}
        row = {name: value for name, value in values.items() if name not in used}
        for target, (source, name, unit) in sources.items():
            if name in values:
                row[target] = _converted(values[name], target, unit) if unit and name not in exact else values[name]
            elif source.startswith(":"):
                row[target] = source[1:]
        return _with_attributes(row)

    return make


def _split_unit(target: str, source: str, names: Collection[str]) -> tuple[str, str]:
    name, _, unit = source.rpartition(":")
    if source not in names and target in _TIMES and name and unit in UNITS:
        return name, unit
    return source, ""


def _maker(constants: dict[str, str], plan: list) -> Callable[[list[str]], dict]:
    nested = any(target.startswith(_ATTRIBUTE) for target in (*constants, *(step[0] for step in plan)))

    def make(fields: list[str]) -> dict:
        row: dict = dict(constants)
        for target, index, unit in plan:
            field = fields[index]
            if unit:
                row[target] = _converted(field, target, unit)
            elif target in _TIMES and field.isdecimal() and len(field) < _FEW_DIGITS:
                row[target] = int(field)  # fast path for the usual spelling
            else:
                row[target] = "" if field in _NULLS else field
        return _with_attributes(row) if nested else row

    return make


def _with_attributes(row: dict) -> dict:
    plain = {name: value for name, value in row.items() if not name.startswith(_ATTRIBUTE)}
    if len(plain) == len(row):
        return row
    ours = {name.removeprefix(_ATTRIBUTE): value for name, value in row.items() if name not in plain}
    # An attribute holds even a time as a plain number.
    given = {
        name: float(value) if isinstance(value, Decimal) else value
        for name, value in ours.items()
        if value not in ("", None)
    }
    return {**plain, "attributes": {**attributes_of(row.get("attributes")), **given}}


def _converted(value: object, target: str, unit: str) -> object:
    """Return a time in exact milliseconds; anything but a number is returned as is, for span_from_row to refuse."""
    try:
        count = times.number(value, target)
        if count is None:
            return None
        if unit == EXCEL and target in _MOMENTS:
            # A spreadsheet's times are days as floats, a few microseconds off.
            return times.rounded(times.scaled(count - _EXCEL_1970, UNITS[unit]))
        return times.scaled(count, UNITS[unit])
    except (InvalidSpan, ArithmeticError):
        return value


def delimiter_of(header: str) -> str:
    """Return the delimiter of a header: comma, semicolon or tab, whichever is most frequent."""
    return max(",;\t", key=header.count)


def fields_of(record: str, delimiter: str) -> list[str] | str:
    """Return the fields of a record, or the reason why it is invalid."""
    if '"' not in record:
        return record.split(delimiter)
    try:
        return next(csv.reader([record], delimiter=delimiter), [])
    except csv.Error as error:
        return f"not CSV: {error}"


class Records:
    """The records of a CSV file after its header: line number, raw text, and its fields or the reason why it has none.

    Quoted fields may span lines. An unclosed quote invalidates only its own line.
    """

    def __init__(self, lines: Iterator[tuple[int, bytes]], delimiter: str, width: int) -> None:
        self._lines = lines
        self._ahead: deque[tuple[int, bytes]] = deque()
        self._delimiter = delimiter
        self._width = width

    def __iter__(self) -> Iterator[tuple[int, bytes, list[str] | str]]:
        """Yield the records, without blank lines."""
        while line := self._next():
            number, raw = line
            if len(raw) > MAX_LINE:
                yield number, raw, TOO_LONG
            elif raw and not raw.isspace():
                if raw.count(b'"') % 2:
                    yield self._over_lines(number, raw)
                else:
                    yield number, raw, self._fields(raw)

    def _next(self) -> tuple[int, bytes] | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)

    def _over_lines(self, number: int, raw: bytes) -> tuple[int, bytes, list[str] | str]:
        joined, taken = raw, []
        while len(taken) < _MAX_JOINED and len(joined) <= MAX_LINE and joined.count(b'"') % 2:
            line = self._next()
            if line is None:
                break
            taken.append(line)
            joined += b"\n" + line[1]
        fields = self._fields(joined) if taken and not joined.count(b'"') % 2 else UNCLOSED
        if isinstance(fields, str):
            self._ahead.extendleft(reversed(taken))
            return number, raw, UNCLOSED
        return number, joined, fields

    def _fields(self, raw: bytes) -> list[str] | str:
        try:
            fields = fields_of(raw.decode().removesuffix("\r"), self._delimiter)
        except UnicodeDecodeError:
            return NOT_UTF8
        if isinstance(fields, list) and len(fields) != self._width:
            return f"has {len(fields)} fields where the header has {self._width}"
        return fields
