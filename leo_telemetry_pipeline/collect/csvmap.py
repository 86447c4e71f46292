"""A CSV file of any tool becomes rows: which of its columns is which of ours.

Belongs here: the column map, its text form and presets, units of time, records of a CSV file.
Does not: what a row means (rows).

A map gives a source for each of our columns, here in its text form:
``trace_id=TraceID,start_time_ms=Start:ns,span_type=:gate,attributes.pod=PodName``.
A source is a column of the file; behind a time it may name its unit (``:ns``, ``:us``, ``:ms``, ``:s``).
With a colon in front it is no column but the value itself.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.collect.lines import MAX_LINE, NOT_UTF8, TOO_LONG
from leo_telemetry_pipeline.collect.rows import attributes_of, is_number
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import COLUMNS

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
_REQUIRED = ("trace_id", "span_id", "span_type", "span_name", "start_time_ms")
_MOMENTS = ("start_time_ms", "end_time_ms")
_TIMES = (*_MOMENTS, "duration_ms", "queue_wait_ms")
_NANOSECONDS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_ATTRIBUTE = "attributes."
_MAX_JOINED = 100
UNCLOSED = "a quote opens here and does not close"


def parse_map(text: str) -> dict[str, str]:
    """Return the column map that a text describes; raise UserError where it names no column of ours."""
    column_map: dict[str, str] = {}
    for part in text.split(","):
        target, equals, source = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not equals or not target or not source:
            raise UserError(f"column map: {part.strip()!r} is not of the form OUR_COLUMN=THEIR_COLUMN")
        if target in column_map:
            raise UserError(f"column map: {target} is given twice: leave one of them out")
        column_map[target] = source
    check_map(column_map)
    return column_map


def check_map(column_map: dict[str, str]) -> None:
    """Raise UserError if the map has a target that is no column of ours."""
    for target in column_map:
        if target not in COLUMNS and target.removeprefix(_ATTRIBUTE) in (target, ""):
            known = ", ".join(COLUMNS)
            raise UserError(f"column map: {target!r} is no column: use {_ATTRIBUTE}NAME or one of {known}")


def preset(name: str) -> dict[str, str]:
    """Return the preset column map of that name; raise UserError if there is none."""
    if name not in PRESETS:
        raise UserError(f"there is no preset {name!r}: use one of {', '.join(PRESETS)}")
    return PRESETS[name]


def row_maker(header: list[str], column_map: dict[str, str] | None, file: str) -> Callable[[list[str]], dict]:
    """Return what turns the fields of one record into a row for ``span_from_row``.

    Without a map every column counts by its own name; with one, only what the map and our own names say.
    Raise UserError, naming file and header, if a source is not there or a required column has none.
    """
    names = [name.strip() for name in header]
    kept = COLUMNS if column_map else [name for name in names if name]
    sources = {name: name for name in kept if name in names} | (column_map or {})
    shown = redact.text(", ".join(names), 500)
    for target in _REQUIRED:
        if target not in sources:
            raise UserError(f"{file}: nothing gives {target}: map it to a column of its header: {shown}")
    constants: dict[str, str] = {}
    plan: list[tuple[str, int, Callable[[str], object] | None]] = []
    for target, source in sources.items():
        name, unit = _split_unit(target, source, names)
        if name in names:
            plan.append((target, names.index(name), _converter(unit, target in _MOMENTS) if unit else None))
        elif source.startswith(":"):
            constants[target] = source[1:]
        else:
            raise UserError(f"{file}: no column {name!r} for {target}: name one of its header: {shown}")
    return _maker(constants, plan)


def _split_unit(target: str, source: str, names: list[str]) -> tuple[str, str]:
    name, _, unit = source.rpartition(":")
    if source not in names and target in _TIMES and name and unit in _NANOSECONDS:
        return name, unit
    return source, ""


def _maker(constants: dict[str, str], plan: list) -> Callable[[list[str]], dict]:
    nested = any(target.startswith(_ATTRIBUTE) for target in (*constants, *(step[0] for step in plan)))

    def make(fields: list[str]) -> dict:
        row: dict = dict(constants)
        for target, index, convert in plan:
            field = fields[index]
            row[target] = convert(field) if convert else field
        return _with_attributes(row) if nested else row

    return make


def _with_attributes(row: dict) -> dict:
    plain = {name: value for name, value in row.items() if not name.startswith(_ATTRIBUTE)}
    ours = {name.removeprefix(_ATTRIBUTE): value for name, value in row.items() if name not in plain}
    given = {name: value for name, value in ours.items() if value != ""}
    return {**plain, "attributes": {**attributes_of(row.get("attributes")), **given}}


def _converter(unit: str, is_moment: bool) -> Callable[[str], object]:
    nanoseconds = _NANOSECONDS[unit]

    def convert(text: str) -> object:
        text = text.strip()
        if not is_number(text):
            return text  # span_from_row says what is wrong with it
        value = int(text) if text.isdecimal() else Decimal(text)
        # Moments are cut and durations rounded, as where times come by OTLP.
        try:
            return int((value * nanoseconds + (0 if is_moment else 500_000)) // 1_000_000)
        except ArithmeticError:
            return text

    return convert


def delimiter_of(header: str) -> str:
    """Return what separates the columns of a header: comma, semicolon or tab, whichever is there most."""
    return max(",;\t", key=header.count)


def fields_of(record: str, delimiter: str) -> list[str] | str:
    """Return the fields of one record, or the reason why it is none."""
    if '"' not in record:
        return record.split(delimiter)
    try:
        return next(csv.reader([record], delimiter=delimiter), [])
    except csv.Error as error:
        return f"not CSV: {error}"


class Records:
    """The records of a CSV file behind its header, each as line number, raw text and fields or a reason.

    Quoted fields may go over several lines. A quote that never closes spoils its own line only.
    """

    def __init__(self, lines: Iterator[tuple[int, bytes]], delimiter: str, width: int) -> None:
        self._lines = lines
        self._ahead: deque[tuple[int, bytes]] = deque()
        self._delimiter = delimiter
        self._width = width

    def __iter__(self) -> Iterator[tuple[int, bytes, list[str] | str]]:
        """Yield the records, blank lines left out."""
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
