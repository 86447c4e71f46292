"""Files in the formats of Tempo's and the Collector's own examples, with their counts, parents and durations."""

import json
from pathlib import Path

import pytest

from leo_telemetry_pipeline.sources.files.reader import BadLine, read
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.unit.sources.files.example_files import AT, CASES, facts_of, spans


def test_tempo_s_response_has_its_spans_parents_and_durations():
    """Lost: traces of Tempo users."""
    found = spans(CASES / "tempo_trace.json")
    assert [facts_of(span) for span in found] == [
        ("list-articles", "aaaa3c4d5e6f7081", None, 0, 350),
        ("select-articles", "bbbb3c4d5e6f7081", "aaaa3c4d5e6f7081", 50, 200),
        ("authenticate", "cccc3c4d5e6f7081", "aaaa3c4d5e6f7081", 260, 40),
    ]
    assert {span.trace_id for span in found} == {"0c1d2e3f-4a5b-6c7d-8e9f-a0b1c2d3e4f5"}
    assert [span.status for span in found] == ["OK", None, "ERROR"]
    assert [span.attributes["service.name"] for span in found] == ["shop-backend", "shop-backend", "auth-service"]


def test_the_collector_s_file_has_its_spans_parents_and_durations():
    """Lost: traces of Collectors that write files."""
    found = spans(CASES / "collector_file.jsonl")
    assert [facts_of(span) for span in found] == [
        ("I'm a server span", "eee19b7ec3c1b174", "eee19b7ec3c1b173", 0, 1_000),
        ("I'm a client span", "eee19b7ec3c1b173", None, -1, 1_001),
    ]
    assert [span.status for span in found] == [None, "ERROR"]
    assert {span.start_time_ms // 1_000 for span in found} <= {AT // 1_000, AT // 1_000 - 1}


@pytest.mark.parametrize(("name", "count"), [("otlp_old_ils.json", 2), ("otlp_snake_inner.json", 1)])
def test_older_field_names_are_read_or_refused_and_named(name: str, count: int):
    """Lost: a recognized request is silently dropped."""
    items = list(read(CASES / name))
    assert items
    good = [item for item in items if isinstance(item, Span)]
    assert len(good) == count or all(isinstance(item, BadLine) and item.reason for item in items)


@pytest.mark.parametrize(
    "request_",
    [
        {
            "resourceSpans": [
                {"resource": {}, "spansOfScopes": [{"spans": [{"traceId": "1" * 32, "spanId": "2" * 16}]}]}
            ]
        },
        {"resourceSpans": [{"scopeSpans": [{"items": [{"trace_id": "1" * 32, "span_id": "2" * 16}]}]}]},
        {"resourceSpans": [{"scopeSpans": {"spans": [{"traceId": "1" * 32, "spanId": "2" * 16}]}}]},
    ],
)
def test_a_request_whose_spans_are_not_found_is_reported(request_: dict, tmp_path: Path):
    """Lost: people see "0 span(s) stored" for a file full of spans."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps(request_))
    items = list(read(path))
    assert items
    assert all(isinstance(item, BadLine) and item.reason for item in items)


@pytest.mark.parametrize("request_", [{"resourceSpans": []}, {"resourceSpans": [{"resource": {}, "scopeSpans": []}]}])
def test_an_empty_request_yields_nothing(request_: dict, tmp_path: Path):
    """Lost: every quiet day causes an alarm."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps(request_))
    assert list(read(path)) == []
