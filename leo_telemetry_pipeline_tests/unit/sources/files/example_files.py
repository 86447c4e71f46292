"""Example files of other tools, read whole."""

from pathlib import Path

from leo_telemetry_pipeline.sources.files.reader import BadLine, read
from leo_telemetry_pipeline.span import Span

CASES = Path(__file__).resolve().parents[3] / "cases"
AT = 1_795_955_340_000


def spans(path: Path) -> list[Span]:
    """Read a file in which every span is valid."""
    items = list(read(path))
    assert not [item for item in items if isinstance(item, BadLine)]
    return [item for item in items if isinstance(item, Span)]


def facts_of(span: Span) -> tuple:
    """Return name, id, parent, start and duration of a span."""
    parent = span.parent_span_id and span.parent_span_id[-17:].replace("-", "")
    return span.span_name, span.span_id[-17:].replace("-", ""), parent, span.start_time_ms - AT, span.duration_ms
