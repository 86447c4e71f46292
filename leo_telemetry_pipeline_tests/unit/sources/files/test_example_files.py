"""Files in the formats of Jaeger's, Zipkin's and Java's own examples, with their counts, parents and durations."""

import json
from pathlib import Path

import pytest

from leo_telemetry_pipeline.sources.files import zipkin
from leo_telemetry_pipeline.sources.files.reader import BadLine, read
from leo_telemetry_pipeline_tests.unit.sources.files.example_files import CASES, facts_of, spans


def test_a_download_of_jaeger_s_ui_has_its_spans_parents_and_durations():
    """Lost: traces of Jaeger users."""
    found = spans(CASES / "jaeger_ui.json")
    assert [facts_of(span) for span in found] == [
        ("HTTP GET /dispatch", "01a2b3c4d5e6f708", None, 0, 732),
        ("SQL SELECT", "2b3c4d5e6f708192", "01a2b3c4d5e6f708", 10, 305),
        # CHILD_OF precedes FOLLOWS_FROM; a reference to another trace is not a parent.
        ("FindDriverIDs", "3c4d5e6f70819203", "01a2b3c4d5e6f708", 320, 0),
        ("publish", "4d5e6f7081920314", "3c4d5e6f70819203", 330, 13),
    ]
    assert {span.trace_id for span in found} == {"0c1d2e3f-4a5b-6c7d-8e9f-a0b1c2d3e4f5"}
    assert [span.status for span in found] == [None, "ERROR", "OK", None]
    assert [span.attributes["service.name"] for span in found] == ["frontend", "mysql", "driver", "driver"]
    assert found[0].attributes["http.status_code"] == 200


def test_single_traces_and_spans_of_jaeger_are_read(tmp_path: Path):
    """Lost: files with one trace or one span of Jaeger per line."""
    whole = json.loads((CASES / "jaeger_ui.json").read_text())
    [trace] = whole["data"]
    path = tmp_path / "x.jsonl"
    single = [{**span, "process": trace["processes"][span["processID"]]} for span in trace["spans"]]
    for lines in ([trace], [whole], single):
        path.write_text("\n".join(map(json.dumps, lines)))
        assert spans(path) == spans(CASES / "jaeger_ui.json")


def test_zipkin_v2_has_its_spans_parents_and_durations_and_both_halves_of_a_shared_id():
    """Lost: traces of Zipkin users, and the server's half of each call."""
    found = spans(CASES / "zipkin_v2.json")
    half = zipkin.server_half("5982fe77008310cc80f1da5e10147517", "352bff9a74ca9ad2")
    assert [facts_of(span) for span in found] == [
        ("get", "352bff9a74ca9ad2", "6b221d5bc9e6496c", 0, 41),
        ("get /api", half, "352bff9a74ca9ad2", 0, 26),
        ("get /", "6b221d5bc9e6496c", None, -1, 60),
        ("poll", "8310cc80f1da5e10", None, 0, None),
    ]
    assert found[3].trace_id == "00000000-0000-0000-8310-cc80f1da5e10"
    assert [span.status for span in found] == [None, "ERROR", None, None]
    assert found[1].attributes == {
        "service.name": "backend",
        "http.method": "GET",
        "error": "500",
        "span.kind": "server",
        "status_message": "500",
    }


@pytest.mark.parametrize("shape", ["lines", "traces", "pretty", "single"])
def test_all_layouts_of_zipkin_files_are_read(shape: str, tmp_path: Path):
    """Lost: responses of Zipkin's API with many traces, and logs of reporters."""
    given = json.loads((CASES / "zipkin_v2.json").read_text())
    texts = {
        "lines": "\n".join(map(json.dumps, given)),
        "traces": json.dumps([given[:3], given[3:]]),
        "pretty": json.dumps([given[:3], given[3:]], indent=2),
        "single": json.dumps(given[:1]) + "\n" + json.dumps(given[1:]),
    }
    path = tmp_path / "z.json"
    path.write_text(texts[shape])
    assert spans(path) == spans(CASES / "zipkin_v2.json")


def test_resource_spans_without_a_request_are_read():
    """Lost: the output of Java's logging exporter."""
    assert [facts_of(span) for span in spans(CASES / "java_logging.jsonl")] == [
        ("I'm a server span", "eee19b7ec3c1b174", "eee19b7ec3c1b173", 0, 1_000),
        ("I'm a client span", "eee19b7ec3c1b173", None, -1, 1_001),
    ]


@pytest.mark.parametrize("name", ["trace", "result"])
def test_a_request_wrapped_in_a_query_response_is_read(name: str, tmp_path: Path):
    """Lost: responses of newer query services of Tempo and Jaeger."""
    request = {"resourceSpans": [json.loads((CASES / "java_logging.jsonl").read_text().splitlines()[0])]}
    path = tmp_path / "x.json"
    path.write_text(json.dumps({name: request}))
    assert len(spans(path)) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"timestamp": None}, "Zipkin: timestamp is missing"),
        ({"timestamp": "soon"}, "Zipkin: timestamp is not a number of microseconds"),
        ({"duration": -1}, "Zipkin: duration is not a number of microseconds"),
        ({"id": "xyz"}, "spanId is not 16 hex digits"),
        ({"traceId": ""}, "traceId is not 32 hex digits"),
    ],
)
def test_an_error_in_a_zipkin_span_names_zipkin_s_field(changes: dict, reason: str, tmp_path: Path):
    """Lost: nobody learns which field to correct, if the reason names one that the file does not have."""
    given = json.loads((CASES / "zipkin_v2.json").read_text())[0] | changes
    path = tmp_path / "z.json"
    path.write_text(json.dumps([given]))
    [bad] = read(path)
    assert isinstance(bad, BadLine)
    assert bad.reason == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"startTime": None}, "Jaeger: startTime is missing"),
        ({"duration": "long"}, "Jaeger: duration is not a number of microseconds"),
        ({"operationName": ""}, "name is missing or empty"),
        ({"spanID": "z"}, "spanId is not 16 hex digits"),
    ],
)
def test_an_invalid_jaeger_span_does_not_affect_the_others(changes: dict, reason: str, tmp_path: Path):
    """Lost: a whole trace because of one span."""
    given = json.loads((CASES / "jaeger_ui.json").read_text())
    given["data"][0]["spans"][1] |= changes
    path = tmp_path / "j.json"
    path.write_text(json.dumps(given))
    items = list(read(path))
    assert [item.reason for item in items if isinstance(item, BadLine)] == [reason]
    assert len(items) == 4
