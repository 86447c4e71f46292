"""Unsupported files, each with a remedy: compressed files, other trace formats, files without spans.

Belongs here: recognizing them by their first bytes or keys. Does not: supported formats (formats, reader).
"""

import json
import re
from typing import NamedTuple

from leo_telemetry_pipeline.sources.files import column_maps

# How many bytes of a file are inspected.
HEAD = 65_536
_SAMPLE_LINES = 5
_FEW_COLUMNS = 3

# First bytes, name of the format, and the command that decompresses it for `leo-telemetry import -`.
_PACKED = (
    (b"BZh91AY&SY", "bzip2", "bzip2 -dc"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
    (b"\x1f\x9d", "compress (.Z)", "uncompress -c"),
    (b"PK\x03\x04", "zip", "unzip -p"),
)
_BINARY = (
    (b"SQLite format 3\x00", "an SQLite database", "export the table: sqlite3 -header -csv"),
    (b"Obj\x01", "Avro", "write Parquet or JSON lines instead"),
    (b"ORC", "ORC", "write Parquet or JSON lines instead"),
    (b"ARROW1", "Arrow IPC (Feather)", "write Parquet instead"),
    (b"PGDMP", "a dump of pg_dump -Fc", "restore it with pg_restore into workflow_trace_log"),
    (b"%PDF", "a PDF", "name a file of spans"),
    (b"\x89PNG", "a picture", "name a file of spans"),
)


class Unsupported(NamedTuple):
    """A recognized format: its name with an article, and the remedy."""

    name: str
    remedy: str


def packed(head: bytes) -> Unsupported | None:
    """Return the compression of a file that must be decompressed first, by its first bytes; None for others."""
    if head.startswith(b"PK\x03\x04") and b"xl/" in head[:4_096]:
        return Unsupported("a spreadsheet (.xlsx)", "save it as CSV")
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":  # the byte in between is the compression level
        head = b"BZh91AY&SY"
    for magic, name, unpack in _PACKED:
        if head.startswith(magic):
            return Unsupported(f"compressed with {name}", f"`{unpack} FILE | leo-telemetry import -`")
    return None


_OVER_OTLP = "send them by OTLP to `leo-telemetry serve`, or let a Collector write OTLP/JSON"
_CONVERT = "write one JSON line per span: see README.md, Your own work"

# Combinations of keys that identify a format.
_OBJECTS: tuple[tuple[frozenset[str], Unsupported], ...] = tuple(
    (frozenset(keys.split()), Unsupported(name, remedy))
    for keys, name, remedy in (
        ("traceEvents", "Chrome's trace event format", _CONVERT),
        ("ph ts pid", "Chrome's trace event format", _CONVERT),
        (
            "sessionId type message",
            "a Claude Code transcript",
            "`leo-telemetry hook install --spans` measures sessions",
        ),
        ("sessionId type uuid", "a Claude Code transcript", "`leo-telemetry hook install --spans` measures sessions"),
        (
            "sessionId display project",
            "Claude Code's history",
            "`leo-telemetry hook install --spans` measures sessions",
        ),
        ("type summary leafUuid", "a Claude Code transcript", "`leo-telemetry hook install --spans` measures sessions"),
        ("name context start_time", "the console output of OpenTelemetry's Python SDK", _OVER_OTLP),
        ("name context attributes", "the console output of OpenTelemetry's Python SDK", _OVER_OTLP),
        ("resource instrumentationScope traceId", "the console output of OpenTelemetry's JavaScript SDK", _OVER_OTLP),
        ("Name SpanContext", "the console output of OpenTelemetry's Go SDK", _OVER_OTLP),
        ("traceId annotations binaryAnnotations", "Zipkin v1 JSON", "ask Zipkin for /api/v2/trace/ID"),
        ("resource service trace_id span_id start", "JSON of Datadog", _OVER_OTLP),
        ("Traces UnprocessedTraceIds", "JSON of AWS X-Ray", _CONVERT),
        ("trace_id id segments", "JSON of AWS X-Ray", _CONVERT),
        ("messages model", "model requests", "name a file of spans"),
        ("nbformat cells", "a notebook", "name a file of spans"),
        ("resourceLogs", "logs of OpenTelemetry", "export traces instead: logs and metrics hold no spans"),
        ("scopeLogs", "logs of OpenTelemetry", "export traces instead: logs and metrics hold no spans"),
        ("resourceMetrics", "metrics of OpenTelemetry", "export traces instead: logs and metrics hold no spans"),
        ("scopeMetrics", "metrics of OpenTelemetry", "export traces instead: logs and metrics hold no spans"),
    )
)
_LEVELS = frozenset(("level", "severity", "levelname", "lvl", "log.level", "loglevel", "severity_text"))
_TEXTS = (
    (re.compile(r"\s*(?:--|/\*!|CREATE TABLE|INSERT INTO|SET |BEGIN;|COPY \w)"), "an SQL dump",
     "load it with psql into workflow_trace_log, or export CSV"),
    (re.compile(r"\s*<(?:!doctype html|html|\?xml|[a-z]+[ >])", re.IGNORECASE), "HTML or XML",
     "check whether the download failed"),
    (re.compile(r"\s*\{\s*(?:resource|traceId|instrumentationScope|name|parentSpanContext)\s*:", re.MULTILINE),
     "the console output of OpenTelemetry's JavaScript SDK", _OVER_OTLP),
    (re.compile(r"version https://git-lfs"), "a pointer of Git LFS", "`git lfs pull`"),
)  # fmt: skip


def likely(head: bytes) -> Unsupported | None:
    """Return the likely format of a file without a readable span, None if unknown."""
    for magic, name, remedy in _BINARY:
        if head.startswith(magic):
            return Unsupported(name, remedy)
    if b"\0" in head or _share_unprintable(head) > 0.1:
        return Unsupported("binary data, such as protobuf or a profile", "write OTLP/JSON, JSON lines, CSV or Parquet")
    text = head.decode("utf-8", "replace").lstrip("\ufeff")
    value = _first_object(text)
    if value is not None:
        return _object(value)
    for pattern, name, remedy in _TEXTS:
        if pattern.match(text):
            return Unsupported(name, remedy)
    return _table(text)


def _object(value: dict) -> Unsupported | None:
    har = value.get("log")
    if isinstance(har, dict) and "entries" in har:
        return Unsupported("a HAR file of a browser", _CONVERT)
    for keys, unsupported in _OBJECTS:
        if keys <= value.keys():
            return unsupported
    if _LEVELS & {key.lower() for key in value}:
        return Unsupported("log lines", "name a file of spans")
    return None


def _first_object(text: str) -> dict | None:
    text = re.sub(r"\A[\s\[,]+", "", text)
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return _cut_object(text)
    return value if isinstance(value, dict) else None


def _cut_object(text: str) -> dict | None:
    # The first keys of an object that is longer than the head, or broken.
    first = re.findall(r'\A\{\s*"([^"\\]{1,100})"\s*:\s*([\[{])?', text) if text.startswith("{") else []
    if not first:
        return None
    names = re.findall(r'[{,]\s*"([\w.@-]{1,100})"\s*:', text[:4_096])
    value: dict = dict.fromkeys(names)
    if first[0][0] == "log":
        value["log"] = dict.fromkeys(names)
    return value


def _table(text: str) -> Unsupported | None:
    lines = [line for line in text.splitlines()[: _SAMPLE_LINES + 1] if line.strip()]
    if len(lines) < 2:
        return None
    delimiter = column_maps.delimiter_of(lines[0])
    widths = {line.count(delimiter) + 1 for line in lines[:_SAMPLE_LINES]}
    if len(widths) == 1 and widths.pop() >= _FEW_COLUMNS:
        return Unsupported("CSV", "name its columns: --map trace_id=THEIRS,... (leo-telemetry import --help)")
    return None


def _share_unprintable(head: bytes) -> float:
    text = head[:4_096].decode("utf-8", "replace")
    odd = sum(letter == "\ufffd" or (letter < " " and letter not in "\t\r\n") for letter in text)
    return odd / max(1, len(text))
