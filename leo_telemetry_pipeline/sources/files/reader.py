"""File reader: yields spans from rows in JSON, CSV or Parquet and from other JSON trace formats, by content.

Belongs here: choosing how a file is read; a bad line never stops the others. Does not: lines and gzip (lines), rows
(rows), formats of objects (formats, unsupported), columns of other tools (column_maps), Parquet (parquet), whether a
file should be stored (admission).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.claude.imported import SessionNotes
from leo_telemetry_pipeline.sources.claude.otel_notes import note_of
from leo_telemetry_pipeline.sources.files import column_maps, formats, json_documents, parquet, unsupported
from leo_telemetry_pipeline.sources.files.lines import MAX_LINE, NOT_UTF8, TOO_LONG, InputFile
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.sources.rows import span_from_row
from leo_telemetry_pipeline.span import InvalidSpan, InvalidStart, Span

_TEXT_KEPT = 2_000
_WORD = re.compile(r"[A-Za-z0-9+/=_-]{20,}", re.ASCII).fullmatch
NOT_MAPPED = "--map and --preset are for rows, but this is a trace request: leave them out"
UNKNOWN_SPANS = "a trace request without a span that can be read: its fields have unknown names"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line, or part of one, that yielded no span.

    ``line`` counts from 1. ``reason`` and ``text`` (at most 2,000 characters) are redacted and may be stored. If the
    line is not a span at all, ``text`` is empty and ``keys`` lists its keys. ``times`` are start and end as given, if
    the start is out of range.
    """

    file: str
    line: int
    reason: str
    text: str
    keys: str = ""
    project: str = ""
    times: tuple[int, int | None] | None = None


@dataclass
class Seen:
    """Properties of a file, other than its spans, that the reader found.

    ``head``: its decompressed beginning. ``others``: number of requests with logs or metrics. ``clocks``: number of
    spans per time field and unit of their format (see formats.Shape). ``exact_times``: columns whose type includes a
    unit.
    """

    head: bytes = b""
    others: int = 0
    clocks: Counter[str] = field(default_factory=Counter)
    exact_times: frozenset[str] = frozenset()


class _How(NamedTuple):
    """How rows become spans: default project, attribute policy, and counts of removed attributes."""

    project: str
    policy: redact.Policy
    removed: dict[str, int]


class _Reading(NamedTuple):
    """State of reading one file."""

    path: Path
    how: _How
    columns: dict[str, str] | None
    own: Callable[[dict], dict] | None
    seen: Seen
    on_bytes: Callable[[int], object] | None
    claude: SessionNotes

    def span(self, row: dict) -> Span:
        """Return the span of a row, after applying the column map. Raise InvalidSpan."""
        return span_from_row(self.own(row) if self.own else row, *self.how)


def read(
    path: Path,
    *,
    file: BinaryIO | None = None,
    column_map: dict[str, str] | None = None,
    preset: str | None = None,
    project: str = "",
    policy: redact.Policy | None = None,
    removed: dict[str, int] | None = None,
    seen: Seen | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> Iterator[Span | BadLine]:
    """Yield each span of the file, redacted, and a BadLine for anything else.

    If ``file`` is given, ``path`` is only its name. ``column_map`` (see column_maps) and ``preset`` apply to rows; the
    map overrides the preset. A Parquet row counts as a line. ``project`` is the default for spans without one.
    Attributes that ``policy`` removes are counted in ``removed``; ``seen`` receives other properties of the file.
    ``on_bytes`` gets the number of bytes on disk consumed since its last call.
    The file is never held in memory as a whole, unless its JSON values span lines. Raise UserError if nothing of it
    can be read.
    """
    if preset is not None:
        column_map = {**column_maps.preset(preset), **(column_map or {})}
    column_maps.check_map(column_map or {})
    how = _How(project, policy or redact.Policy(), {} if removed is None else removed)
    own = column_maps.object_maker(column_map) if column_map else None
    return _read(
        file, _Reading(Path(path), how, column_map, own, seen if seen is not None else Seen(), on_bytes, SessionNotes())
    )


def _read(given: BinaryIO | None, reading: _Reading) -> Iterator[Span | BadLine]:
    path = reading.path
    try:
        is_parquet = given is None and parquet.is_parquet(path)
        file = given or path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: name a readable file") from None
    if is_parquet:
        file.close()
        yield from _parquet(reading)
        return
    with file:
        source = InputFile(file, reading.on_bytes)
        head, blocks = _head(source.blocks())
        reading.seen.head = head[: unsupported.HEAD]
        _refuse(path, head)
        kind = _format(path.name.lower(), head, mapped=bool(reading.columns))
        yield from {"csv": _csv, "documents": _documents, "lines": _lines}[kind](reading, source, blocks)
        yield from reading.claude.rest(reading.how.project)
        if source.damage:
            yield _bad(reading, max(source.line, 1), source.damage, source.rest)


def _refuse(path: Path, head: bytes) -> None:
    if head.startswith(parquet.MAGIC):
        raise UserError(f"{path}: Parquet cannot be read compressed or from a pipe: name the plain file", 1)
    packing = unsupported.packed(head)
    if packing:
        raise UserError(f"{path}: this is {packing.name}, which is not supported: {packing.remedy}", 1)


def _head(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    # Read ahead until there are two lines that are not blank; return these, and all blocks from the first.
    head = b""
    for block in blocks:
        head += block
        if head.lstrip().count(b"\n") > 1 or len(head) > MAX_LINE:
            break
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(), chain([head], blocks)


def _format(name: str, head: bytes, *, mapped: bool) -> str:
    first, _, others = head.partition(b"\n")
    first, second = first.strip(), others.lstrip().partition(b"\n")[0].strip()
    named = re.sub(r"\.(gz|xz|zst)$", "", name).endswith((".csv", ".tsv"))
    if first.startswith((b"{", b"[")) and not (named and mapped):
        return "documents" if json_documents.is_document(first, second) else "lines"
    columns = first.replace(b'"', b"").replace(b";", b",").replace(b"\t", b",").split(b",")
    return "csv" if mapped or named or {b"trace_id", b"span_id"} <= set(columns) else "lines"


def _lines(reading: _Reading, source: InputFile, blocks: Iterable[bytes]) -> Iterator[Span | BadLine]:
    loads, span_of = json.loads, reading.span
    for number, raw in source.lines(blocks):
        if len(raw) > MAX_LINE:
            yield _bad(reading, number, TOO_LONG, raw)
            continue
        value = None
        try:
            value = loads(raw.decode())
            if type(value) is dict and "trace_id" in value:
                if json_documents.has_float_times(value):
                    value = json_documents.exact(value, raw)
                yield span_of(value)
                continue
        except InvalidSpan as error:
            yield _bad(reading, number, error, raw, value)
        except UnicodeDecodeError:
            yield _bad(reading, number, NOT_UTF8, raw)
        except (ValueError, RecursionError) as error:
            yield from [_bad(reading, number, json_documents.reason(error), raw)] * bool(raw.strip())
        else:
            for item in _from_value(json_documents.exact(value, raw), reading):
                yield item if isinstance(item, Span) else _bad(reading, number, item, raw, value)


def _documents(reading: _Reading, source: InputFile, blocks: Iterable[bytes]) -> Iterator[Span | BadLine]:
    data = bytearray()
    for block in blocks:
        data += block
        if len(data) > json_documents.MAX_DOCUMENT:
            raise UserError(
                f"{reading.path}: too large for JSON over several lines: write one row per line (jq -c '.[]')"
            )
    for number, value, raw in json_documents.values(bytes(data), complete=not source.damage):
        for item in _from_value(json_documents.exact(value, raw), reading):
            yield item if isinstance(item, Span) else _bad(reading, number, item, raw, value)
    if source.damage:
        source.line = data.count(b"\n") + 1
        source.rest = bytes(data[data.rfind(b"\n") + 1 :])


def _csv(reading: _Reading, source: InputFile, blocks: Iterable[bytes]) -> Iterator[Span | BadLine]:
    lines = source.lines(blocks)
    header = next((raw for _, raw in lines if raw.strip()), None)
    if header is None:
        return
    text = header.decode("utf-8", "replace").strip("\r")
    delimiter = column_maps.delimiter_of(text)
    names = column_maps.fields_of(text, delimiter)
    if isinstance(names, str):
        raise UserError(f"{reading.path}: its first line is not a header: {names}")
    make = column_maps.row_maker(names, reading.columns, str(reading.path))
    for number, raw, fields in column_maps.Records(lines, delimiter, len(names)):
        if isinstance(fields, str):
            yield _bad(reading, number, fields, raw, is_span=True)
            continue
        row = None
        try:
            row = make(fields)
            yield span_from_row(row, *reading.how)
        except InvalidSpan as error:
            yield _bad(reading, number, error, raw, row, is_span=True)


def _parquet(reading: _Reading) -> Iterator[Span | BadLine]:
    column_map = reading.columns or {}
    exact = reading.seen.exact_times = parquet.exact_times(reading.path)
    if column_map:
        reading = reading._replace(own=column_maps.object_maker(column_map, exact))
    # Include constants, so that their targets do not count as missing.
    sources = {target: column_maps.column_of(target, column_map) for target in column_map}
    for number, row in parquet.rows(reading.path, reading.on_bytes, sources):
        if isinstance(row, str):
            yield _bad(reading, number, row, "")
            continue
        try:
            yield reading.span(row)
        except InvalidSpan as error:
            raw = json.dumps(row, ensure_ascii=False, default=str)
            yield _bad(reading, number, error, raw, row, is_span=True)


def _from_value(value: object, reading: _Reading) -> Iterator[Span | InvalidSpan | str]:
    if isinstance(value, list):
        for item in value:
            # Zipkin returns arrays of traces, each an array of spans.
            for inner in item if isinstance(item, list) else [item]:
                yield from _from_object(inner, reading)
    else:
        yield from _from_object(value, reading)


def _from_object(value: object, reading: _Reading) -> Iterator[Span | InvalidSpan | str]:
    if not isinstance(value, dict):
        yield str(value) if isinstance(value, json_documents.Broken) else "not an object"
        return
    if not _is_row(value, reading):
        value = formats.unwrapped(value)
    is_row = _is_row(value, reading)
    shape = None if is_row else formats.shape_of(value)
    if shape is not None:
        yield from _from_shape(shape, value, reading)
    elif not is_row and formats.is_other_signal(value):
        reading.seen.others += not reading.claude.add_logs(value, reading.how.policy)
    else:
        try:
            yield reading.span(value)
        except InvalidSpan as error:
            yield error


def _is_row(value: dict, reading: _Reading) -> bool:
    # Check this first: a row may have columns that are the marks of other formats.
    return "trace_id" in value or column_maps.column_of("trace_id", reading.columns) in value


def _from_shape(shape: formats.Shape, value: dict, reading: _Reading) -> Iterator[Span | InvalidSpan | str]:
    if reading.columns:
        yield NOT_MAPPED
        return
    is_empty = True
    for request in shape.requests(value):
        notes: list[dict] = []
        items = (
            [request] if isinstance(request, str) else otlp.spans_from_request(request, *reading.how, note_of, notes)
        )
        for item in items:
            is_empty = False
            reading.seen.clocks[shape.clock] += 1
            yield item if isinstance(item, Span | InvalidSpan) else str(item)
        for note in notes:
            is_empty = False
            reading.seen.clocks[shape.clock] += 1
            reading.claude.add(note)
        yield from reading.claude.surplus(reading.how.project)
    if is_empty and formats.holds_spans(value):
        yield UNKNOWN_SPANS


def _bad(
    reading: _Reading,
    number: int,
    reason: InvalidSpan | str,
    raw: bytes | str,
    value: object = None,
    *,
    is_span: bool = False,
) -> BadLine:
    # Redact more text than is kept, so that a secret is not missed at the cut.
    text = raw if isinstance(raw, str) else raw[: 4 * (_TEXT_KEPT + redact.REACH) + 4].decode("utf-8", "replace")
    is_kept = is_span or (formats.is_span(value) if isinstance(value, dict | list) else formats.is_text_of_span(text))
    # A single word may be one line of a multi-line key, which would not be recognized as a secret.
    shown = f"[one word of {len(text)} characters]" if _WORD(text.strip()) else redact.text(text, _TEXT_KEPT)
    named = value.get("project") if isinstance(value, dict) else None
    return BadLine(
        redact.text(str(reading.path)),
        number,
        redact.text(str(reason)),
        shown if is_kept else "",
        keys="" if is_kept else formats.keys(value),
        project=redact.name(named, redact.MAX_NAME) if isinstance(named, str) and named else reading.how.project,
        times=(reason.start, reason.end) if isinstance(reason, InvalidStart) else None,
    )
