"""Rows: each spelling of a column becomes the span it describes, or a reason that names the column."""

import uuid

import pytest

from leo_telemetry_pipeline_tests.unit.sources.files.reading import one_reason, one_span


def test_a_row_becomes_the_span_it_describes(tmp_path):
    """Lost: the history that users bring with them."""
    made = one_span(
        tmp_path,
        parent_span_id=str(uuid.UUID(int=9)),
        end_time_ms=1_770_000_005_001,
        queue_wait_ms=12,
        sd_id="SD-1",
        status="OK",
        project="shop",
        attributes={"sd_type": "feature"},
    )
    assert (made.span_type, made.span_name, made.sd_id, made.project) == ("gate", "GATE_X", "SD-1", "shop")
    assert (made.start_time_ms, made.end_time_ms) == (1_770_000_000_001, 1_770_000_005_001)
    assert (made.duration_ms, made.queue_wait_ms) == (5_000, 12)
    assert (made.parent_span_id, made.attributes) == (str(uuid.UUID(int=9)), {"sd_type": "feature"})


def test_older_leo_columns_are_read(tmp_path):
    """Lost: all gates of older logs are named gate.execute."""
    made = one_span(tmp_path, span_name="gate.execute", gate_name="GATE_PRD_REQUIRED", phase="PLAN", subagent_name="")
    assert (made.span_name, made.gate_name, made.phase) == ("gate.execute", "GATE_PRD_REQUIRED", "PLAN")
    assert made.subagent_name is None


@pytest.mark.parametrize(
    "spelling",
    [
        "69c9af76-f18d-6313-ce70-7c6c6787a767",
        "69C9AF76-F18D-6313-CE70-7C6C6787A767",
        "{69c9af76-f18d-6313-ce70-7c6c6787a767}",
        "urn:uuid:69c9af76-f18d-6313-ce70-7c6c6787a767",
        "69c9af76f18d6313ce707c6c6787a767",
    ],
)
def test_usual_spellings_of_an_id_are_read(tmp_path, spelling):
    """Lost: one trace from two tools becomes two."""
    assert one_span(tmp_path, trace_id=spelling).trace_id == "69c9af76-f18d-6313-ce70-7c6c6787a767"


def test_a_w3c_span_id_becomes_the_low_half_of_a_uuid(tmp_path):
    """Lost: spans from files and from OTLP do not share a trace."""
    made = one_span(tmp_path, span_id="45829a22fb37204c", parent_span_id="root")
    assert (made.span_id, made.parent_span_id) == ("00000000-0000-0000-4582-9a22fb37204c", None)


@pytest.mark.parametrize("parent", [None, "", "null", "0000000000000000"])
def test_usual_spellings_of_a_missing_parent_are_read(tmp_path, parent):
    """Lost: the roots of all traces."""
    assert one_span(tmp_path, parent_span_id=parent).parent_span_id is None


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [("12", 12), (12.0, 12), (12.7, 13), ("12.7", 13), (" 1e3 ", 1000), ("", None), (None, None)],
)
def test_usual_spellings_of_a_number_are_read(tmp_path, given_value, kept):
    """Lost: rows of tools that write numbers as text or with a fraction."""
    assert one_span(tmp_path, duration_ms=given_value).duration_ms == kept


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"duration_ms": 5}, (5, None)),
        ({"duration_ms": "5.0"}, (5, None)),
        ({"duration_ms": 0.46}, (0, 460)),
        ({"duration_ms": "5.5"}, (6, -500)),
        ({"duration_ms": "1.499999"}, (1, 499)),
        ({"duration_ms": "1234us"}, (1, 234)),
        ({"duration_ms": "-0.0004"}, (0, None)),
        ({"duration_ms": 5, "duration_rest_us": -300}, (5, -300)),
        ({"duration_ms": "5", "duration_rest_us": "12"}, (5, 12)),
        ({"duration_ms": "5", "duration_rest_us": ""}, (5, None)),
        ({"start_time_ms": "1770000000000.1", "end_time_ms": "1770000000005.36", "duration_ms": None}, (5, 260)),
        (
            {
                "start_time_ms": "2026-02-02T02:40:00.0001Z",
                "end_time_ms": "2026-02-02T02:40:00.0014Z",
                "duration_ms": "",
            },
            (1, 300),
        ),
    ],
)
def test_microseconds_are_kept_where_a_row_has_them(tmp_path, row, kept):
    """Lost: work of half a millisecond would be 0 or 1 ms, and an exported table could not be read back as it was."""
    made = one_span(tmp_path, **row)
    assert (made.duration_ms, made.duration_rest_us) == kept


@pytest.mark.parametrize(
    "text", ["2026-02-02T02:40:00.001Z", "2026-02-02T02:40:00.001", "2026-02-02 03:40:00.001+01:00"]
)
def test_times_may_be_iso_8601_and_default_to_utc(tmp_path, text):
    """Lost: exports that write times for people."""
    assert one_span(tmp_path, start_time_ms=text).start_time_ms == 1_770_000_000_001


def test_missing_values_are_not_computed(tmp_path):
    """Lost: an open span seems to have ended."""
    made = one_span(tmp_path, duration_ms=None, end_time_ms=1_770_000_009_000)
    assert (made.duration_ms, made.end_time_ms) == (None, 1_770_000_009_000)
    assert one_span(tmp_path).end_time_ms is None


def test_unknown_columns_become_attributes_except_the_database_s_own(tmp_path):
    """Lost: columns of a newer or modified table."""
    made = one_span(tmp_path, attributes='{"a": 1}', colour="red", a=2, id=7, created_at="2026-02-02", empty=None)
    assert made.attributes == {"a": 1, "colour": "red"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trace_id": ...}, "trace_id is missing"),
        ({"span_id": ""}, "span_id is missing"),
        ({"span_id": "12"}, "span_id is not a UUID: '12'"),
        ({"trace_id": 12}, "trace_id is a int, not a UUID"),
        ({"span_id": "0" * 16}, "span_id is all zeros"),
        ({"span_type": " "}, "span_type is empty"),
        ({"span_name": ...}, "span_name is missing"),
        ({"start_time_ms": ...}, "start_time_ms is missing"),
        ({"start_time_ms": "2026-13-01"}, "start_time_ms is not a time"),
        ({"start_time_ms": True}, "start_time_ms is true, not a number"),
        ({"duration_ms": -1}, "duration_ms -1 is negative"),
        ({"duration_ms": "1_000"}, "duration_ms is not a number"),
        ({"duration_ms": 0, "duration_rest_us": -1}, "duration_rest_us -1 is not the rest of duration_ms 0"),
        ({"duration_ms": 9, "duration_rest_us": 500}, "duration_rest_us 500 is not the rest of duration_ms 9"),
        ({"duration_ms": float("inf")}, "duration_ms is not a number"),
        ({"end_time_ms": 5}, "end_time_ms 5 is before start_time_ms"),
        ({"attributes": [1]}, "attributes is a list, not an object"),
        ({"attributes": "{"}, "attributes is not a JSON object"),
        ({"sd_id": {}}, "sd_id is a dict, not text"),
    ],
)
def test_a_bad_row_has_a_reason_that_names_the_column(tmp_path, changes, reason):
    """Lost: nobody learns how to correct the file."""
    assert one_reason(tmp_path, **changes).startswith(reason)
