"""A file becomes spans: JSON lines, OTLP/JSON requests or CSV, plain or gzip, or Parquet, told apart by content.

Belongs here: which format a file has, and that a bad line never stops the others.
Does not: lines and gzip (lines), rows (rows), OTLP (otlp), columns of a CSV file (csvmap), values of Parquet (parquet).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.collect import csvmap, documents, otlp, parquet
from leo_telemetry_pipeline.collect.lines import MAX_LINE, NOT_UTF8, TOO_LONG, Source
from leo_telemetry_pipeline.collect.rows import span_from_row
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import InvalidSpan, Span

_TEXT_KEPT = 2_000
_WORD = re.compile(r"[A-Za-z0-9+/=_-]{20,}", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line, or a part of one, that gave no span: where it is, why, and what it says.

    ``line`` counts from 1. ``reason`` and ``text``, of at most 2,000 characters, hold no secret and may be stored.
    """

    file: str
    line: int
    reason: str
    text: str


class _How(NamedTuple):
    """How values of a file become spans: their project, what may be kept of them, and what was not."""

    project: str
    policy: redact.Policy
    removed: dict[str, int]


def read(
    path: Path,
    *,
    column_map: dict[str, str] | None = None,
    preset: str | None = None,
    project: str = "",
    policy: redact.Policy | None = None,
    removed: dict[str, int] | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> Iterator[Span | BadLine]:
    """Yield a storable span for each that the file holds, and a BadLine for what is none.

    ``column_map`` (see csvmap) and ``preset`` are for CSV, the map going before the preset. A row of Parquet counts as
    a line.
    ``project`` is for spans that name none. Attributes that ``policy`` takes away are counted in ``removed``.
    ``on_bytes`` gets how many bytes of the file, as it lies on disk, were consumed since it was last called.
    The file is never held in memory as a whole, unless its JSON values lie over several lines. Raise UserError
    where nothing of the file can be read.
    """
    if preset is not None:
        column_map = {**csvmap.preset(preset), **(column_map or {})}
    csvmap.check_map(column_map or {})
    how = _How(project, policy or redact.Policy(), {} if removed is None else removed)
    return _read(Path(path), column_map, how, on_bytes)


def _read(
    path: Path,
    column_map: dict[str, str] | None,
    how: _How,
    on_bytes: Callable[[int], object] | None,
) -> Iterator[Span | BadLine]:
    try:
        is_parquet = parquet.is_parquet(path)
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: name a file that can be read") from None
    if is_parquet:
        file.close()
        yield from _parquet(path, column_map, how, on_bytes)
        return
    with file:
        source = Source(file, on_bytes)
        head, blocks = _head(source.blocks())
        kind = "csv" if column_map else _format(path.name.lower(), head)
        if kind == "csv":
            items = _csv(path, source, blocks, column_map, how)
        elif kind == "documents":
            items = _documents(path, source, blocks, how)
        else:
            items = _lines(path, source, blocks, how)
        yield from items
        if source.damage:
            yield _bad(path, max(source.line, 1), source.damage, source.rest)


def _head(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    # As many blocks as have two lines that say something, then all blocks from the first.
    head = b""
    for block in blocks:
        head += block
        if head.lstrip().count(b"\n") > 1 or len(head) > MAX_LINE:
            break
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(), chain([head], blocks)


def _format(name: str, head: bytes) -> str:
    first, _, others = head.partition(b"\n")
    first, second = first.strip(), others.lstrip().partition(b"\n")[0].strip()
    if first.startswith((b"{", b"[")):
        return "documents" if documents.is_document(first, second) else "lines"
    columns = first.replace(b'"', b"").replace(b";", b",").replace(b"\t", b",").split(b",")
    named = name.removesuffix(".gz").endswith((".csv", ".tsv"))
    return "csv" if named or {b"trace_id", b"span_id"} <= set(columns) else "lines"


def _lines(path: Path, source: Source, blocks: Iterable[bytes], how: _How) -> Iterator[Span | BadLine]:
    loads = json.loads
    for number, raw in source.lines(blocks):
        if len(raw) > MAX_LINE:
            yield _bad(path, number, TOO_LONG, raw)
            continue
        try:
            value = loads(raw.decode())
            if type(value) is dict and "trace_id" in value:
                yield span_from_row(value, *how)
                continue
        except InvalidSpan as error:
            yield _bad(path, number, str(error), raw)
        except UnicodeDecodeError:
            yield _bad(path, number, NOT_UTF8, raw)
        except (ValueError, RecursionError) as error:
            if raw and not raw.isspace():
                yield _bad(path, number, documents.reason(error), raw)
        else:
            for item in _from_value(value, how):
                yield item if isinstance(item, Span) else _bad(path, number, item, raw)


def _documents(path: Path, source: Source, blocks: Iterable[bytes], how: _How) -> Iterator[Span | BadLine]:
    data = bytearray()
    for block in blocks:
        data += block
        if len(data) > documents.MAX_DOCUMENT:
            raise UserError(f"{path}: too large for JSON over several lines: write one row a line (jq -c '.[]')")
    for number, value, raw in documents.values(bytes(data), complete=not source.damage):
        for item in _from_value(value, how):
            yield item if isinstance(item, Span) else _bad(path, number, item, raw)
    if source.damage:
        source.line = data.count(b"\n") + 1
        source.rest = bytes(data[data.rfind(b"\n") + 1 :])


def _csv(
    path: Path, source: Source, blocks: Iterable[bytes], column_map: dict[str, str] | None, how: _How
) -> Iterator[Span | BadLine]:
    lines = source.lines(blocks)
    header = next((raw for _, raw in lines if raw.strip()), None)
    if header is None:
        return
    text = header.decode("utf-8", "replace").strip("\r")
    delimiter = csvmap.delimiter_of(text)
    names = csvmap.fields_of(text, delimiter)
    if isinstance(names, str):
        raise UserError(f"{path}: its first line is no header: {names}")
    make = csvmap.row_maker(names, column_map, str(path))
    for number, raw, fields in csvmap.Records(lines, delimiter, len(names)):
        if isinstance(fields, str):
            yield _bad(path, number, fields, raw)
            continue
        try:
            yield span_from_row(make(fields), *how)
        except InvalidSpan as error:
            yield _bad(path, number, str(error), raw)


def _parquet(
    path: Path, column_map: dict[str, str] | None, how: _How, on_bytes: Callable[[int], object] | None
) -> Iterator[Span | BadLine]:
    if column_map:
        raise UserError(
            f"{path} is Parquet, and --map and --preset are for CSV: rename its columns where it is written"
        )
    for number, row in parquet.rows(path, on_bytes):
        if isinstance(row, str):
            yield _bad(path, number, row, "")
            continue
        try:
            yield span_from_row(row, *how)
        except InvalidSpan as error:
            yield _bad(path, number, str(error), json.dumps(row, ensure_ascii=False))


def _from_value(value: object, how: _How) -> Iterator[Span | str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield from _from_object(_unwrapped(item), how)
        else:
            yield str(item) if isinstance(item, documents.Broken) else "not an object"


def _unwrapped(value: dict) -> dict:
    # A request as a receiver wrote it down: {"path": ..., "headers": ..., "body": ...}
    body = value.get("body")
    if "trace_id" in value or not isinstance(body, dict | str):
        return value
    try:
        body = json.loads(body) if isinstance(body, str) else body
    except (ValueError, RecursionError):
        return value
    return (body or {"resourceSpans": []}) if isinstance(body, dict) else value


def _from_object(value: dict, how: _How) -> Iterator[Span | str]:
    if otlp.is_trace_request(value):
        for item in otlp.spans_from_request(value, *how):
            yield item if isinstance(item, Span) else str(item)
    elif not otlp.is_other_signal(value):
        try:
            yield span_from_row(value, *how)
        except InvalidSpan as error:
            yield str(error)


def _bad(path: Path, number: int, reason: str, raw: bytes | str) -> BadLine:
    # Of what is kept, no secret; so more is read than kept.
    text = raw if isinstance(raw, str) else raw[: 4 * (_TEXT_KEPT + redact.REACH) + 4].decode("utf-8", "replace")
    # A word that is a whole line may be a piece of a key that lies over several; alone it is not known as one.
    shown = f"[one word of {len(text)} characters]" if _WORD(text.strip()) else redact.text(text, _TEXT_KEPT)
    return BadLine(redact.text(str(path)), number, redact.text(reason), shown)
