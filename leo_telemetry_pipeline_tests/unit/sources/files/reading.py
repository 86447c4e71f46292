"""Read files from bytes, as the reader reads them from disk."""

import json
import uuid
from pathlib import Path

from hypothesis import HealthCheck, settings

from leo_telemetry_pipeline.sources.files import unsupported
from leo_telemetry_pipeline.sources.files.parquet import MAGIC
from leo_telemetry_pipeline.sources.files.reader import BadLine, read
from leo_telemetry_pipeline.span import Span

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def row(number: int = 1, **changes) -> dict:
    values = {
        "trace_id": str(uuid.UUID(int=1)),
        "span_id": str(uuid.UUID(int=number)),
        "span_type": "gate",
        "span_name": "GATE_X",
        "start_time_ms": 1_770_000_000_000 + number,
        "duration_ms": 5_000,
        **changes,
    }
    return {name: value for name, value in values.items() if value is not ...}


def rows(count: int) -> bytes:
    return b"".join(json.dumps(row(number)).encode() + b"\n" for number in range(1, count + 1))


def read_bytes(folder: Path, content: bytes, name: str = "f.jsonl", **options) -> list[Span | BadLine]:
    path = folder / name
    path.write_bytes(content)
    return list(read(path, **options))


def one_span(folder: Path, **changes) -> Span:
    (made,) = read_bytes(folder, json.dumps(row(**changes)).encode())
    assert isinstance(made, Span), made
    return made


def one_reason(folder: Path, **changes) -> str:
    (made,) = read_bytes(folder, json.dumps(row(**changes)).encode())
    assert isinstance(made, BadLine), made
    return made.reason


def is_refused(content: bytes) -> bool:
    """Return whether a file is refused as a whole by its start, as some of Hypothesis's files are."""
    begun = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    return any(head.startswith(MAGIC) or unsupported.packed(head) is not None for head in (content, begun))


def kinds(found: list[Span | BadLine]) -> str:
    return "".join("s" if isinstance(item, Span) else "b" for item in found)
