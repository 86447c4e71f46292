"""JSON documents: requests and rows, bare, in an array, pretty or not."""

import json
from pathlib import Path

import pytest

from leo_telemetry_pipeline.sources.files.reader import BadLine
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.unit.sources.files.reading import kinds, read_bytes, row, rows

OTLP = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "69c9af76f18d6313ce707c6c6787a767",
                            "spanId": "45829a22fb37204c",
                            "name": "work",
                            "startTimeUnixNano": "1770000000000000000",
                        },
                        {"name": "bad"},
                    ]
                }
            ]
        }
    ]
}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(OTLP),
        json.dumps(OTLP, indent=2),
        json.dumps([OTLP]),
        json.dumps({"path": "/v1/traces", "headers": {}, "body": OTLP}),
        json.dumps({"path": "/v1/traces", "body": json.dumps(OTLP)}),
        json.dumps({"path": "/v1/traces", "body": OTLP}, indent=1),
    ],
)
def test_an_otlp_request_may_be_bare_wrapped_or_pretty_printed(tmp_path, content):
    """Lost: files of a collector's exporter or a receiver's log."""
    found = read_bytes(tmp_path, content.encode(), "f.json", project="shop")
    assert kinds(found) == "sb"
    assert isinstance(found[0], Span)
    assert found[0].project == "shop"


IDS = {"traceId": "69c9af76f18d6313ce707c6c6787a767", "name": "work"}
JAEGER = {"traceID": "69c9af76f18d6313ce707c6c6787a767", "spanID": "45829a22fb37204c", "operationName": "work"}
NANOSECONDS = {"startTimeUnixNano": "1770000000000000000", "endTimeUnixNano": "1770000000000460000"}


@pytest.mark.parametrize(
    "document",
    [
        {"resourceSpans": [{"scopeSpans": [{"spans": [IDS | {"spanId": "45829a22fb37204c"} | NANOSECONDS]}]}]},
        IDS | {"id": "45829a22fb37204c", "timestamp": 1_770_000_000_000_000, "duration": 460},
        JAEGER | {"startTime": 1_770_000_000_000_000, "duration": 460},
    ],
    ids=["OpenTelemetry", "Zipkin", "Jaeger"],
)
def test_microseconds_are_kept_from_each_format_that_has_them(tmp_path, document):
    """Lost: work of half a millisecond would be 0 ms, and getting 50 % slower is not seen."""
    (made,) = read_bytes(tmp_path, json.dumps(document).encode(), "f.json")
    assert isinstance(made, Span)
    assert (made.duration_ms, made.duration_rest_us) == (0, 460)


def test_requests_with_logs_and_metrics_are_skipped(tmp_path):
    """Lost: real bad lines, hidden in a list with requests that are not errors."""
    bodies: list[dict] = [{"resourceLogs": []}, {"resourceMetrics": []}, {}]
    lines = [json.dumps({"path": "/v1/x", "body": body}) for body in bodies] + [json.dumps(bodies[0])]
    assert read_bytes(tmp_path, "\n".join(lines).encode()) == []


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_rows_is_read(tmp_path, indent):
    """Lost: JSON exports of most database tools."""
    content = json.dumps([row(1), row(2, span_id="bad"), row(3)], indent=indent).encode()
    assert kinds(read_bytes(tmp_path, content, "f.json")) == "sbs"
    assert kinds(read_bytes(tmp_path, rows(2).replace(b"}\n{", b"},\n{").join([b"[", b"]"]), "f.json")) == "ss"


def test_a_broken_row_in_a_pretty_printed_array_does_not_affect_the_others(tmp_path):
    """Lost: all rows after the first error."""
    text = json.dumps([row(1), row(2), row(3)], indent=2).replace('"span_type": "gate"', '"span_type": gate', 2)
    found = read_bytes(tmp_path, text.replace('"span_type": gate', '"span_type": "gate"', 1).encode(), "f.json")
    assert kinds(found) == "sbs"
    assert isinstance(found[1], BadLine)
    assert found[1].line == 10


def test_a_column_map_is_refused_for_trace_requests(tmp_path):
    """Lost: a column map silently has no effect."""
    found = read_bytes(tmp_path, json.dumps(OTLP).encode(), column_map={"start_time_ms": "start:s"})
    assert [item.reason for item in found if isinstance(item, BadLine)] == [
        "--map and --preset are for rows, but this is a trace request: leave them out"
    ]


OF_OTHERS = [
    {"traceID": "a1", "spanID": "b2", "operationName": "GET"},
    {"data": [{"traceID": "a1", "spans": []}]},
    {"traceID": "a1", "spans": []},
    {"resource": {}, "scopeSpans": []},
    {"resourceSpans": []},
    {"scopeLogs": [], "resource_logs": []},
    {"body": {"traceId": "a1", "id": "b2"}},
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("columns", OF_OTHERS)
def test_a_row_is_recognized_whatever_other_columns_it_has(
    columns: dict, array: bool, indent: int | None, tmp_path: Path
):
    """Lost: rows that also carry the ids of another tool."""
    made = row() | columns
    content = json.dumps([made, made] if array else made, indent=indent).encode()
    found = read_bytes(tmp_path, content)
    assert kinds(found) == ("ss" if array else "s")
    assert isinstance(found[0], Span)
    assert (found[0].trace_id, found[0].attributes) == (row()["trace_id"], columns)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "values",
    [
        {"traceId": "1" * 32, "id": "2" * 16, "name": "n", "ts": 1_770_000_000_001},
        {"traceId": "1" * 32, "id": "2" * 16, "name": "n", "ts": 1_770_000_000_001, "body": {"size": 7}},
        {"traceId": "1" * 32, "id": "2" * 16, "name": "n", "ts": 1_770_000_000_001, "spans": [], "traceID": "x"},
        {"traceId": "1" * 32, "id": "2" * 16, "name": "n", "ts": 1_770_000_000_001, "resourceSpans": []},
    ],
)
def test_mapped_rows_are_recognized_although_they_resemble_another_format(
    values: dict, indent: int | None, tmp_path: Path
):
    """Lost: a column map has no effect on fields that are named as in Zipkin."""
    column_map = {"trace_id": "traceId", "span_id": "id", "span_type": ":gate", "span_name": "name"}
    column_map["start_time_ms"] = "ts"
    [found] = read_bytes(tmp_path, json.dumps(values, indent=indent).encode(), column_map=column_map)
    assert isinstance(found, Span), found
    assert (found.span_name, found.start_time_ms) == ("n", 1_770_000_000_001)
    assert found.attributes == {
        name: values[name] for name in ("body", "spans", "traceID", "resourceSpans") if name in values
    }
