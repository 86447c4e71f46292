"""Admission: a wrong file is refused before anything is stored, with a remedy that works."""

import json
import re
import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources import plausible
from leo_telemetry_pipeline.sources.files import column_maps, reader
from leo_telemetry_pipeline.sources.files.admission import JUDGED, MOST_BAD, AdmissionRules, FileCheck, Refused
from leo_telemetry_pipeline.sources.files.reader import BadLine
from leo_telemetry_pipeline.sources.plausible import DAY_MS
from leo_telemetry_pipeline.span import Span

CASES = Path(__file__).resolve().parents[3] / "cases"
NOW = 1_795_968_000_000  # 2026-11-29 16:00 UTC


def row(start: object = NOW, **more: object) -> dict:
    ids = {"trace_id": str(uuid.uuid4()), "span_id": str(uuid.uuid4())}
    return {**ids, "span_type": "gate", "span_name": "G", "start_time_ms": start, **more}


def written(folder: Path, rows: list, name: str = "f.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in rows))
    return path


def check(path: Path, **more) -> FileCheck:
    rules = {name: more.pop(name) for name in ("accept", "end_wins") if name in more}
    return FileCheck(str(path), AdmissionRules(NOW, 90, **rules), **more)


def admitted(path: Path, *, by: FileCheck | None = None, **more) -> list[Span | BadLine]:
    by = by or check(path, **more)
    return list(by.admit(reader.read(path, column_map=by.column_map, preset=by.preset, seen=by.seen)))


def refusal(path: Path, **more) -> str:
    with pytest.raises(Refused) as refused:
        admitted(path, **more)
    assert refused.value.exit_code == 1
    assert "\n" not in refused.value.message
    assert str(path) in refused.value.message
    return refused.value.message


def read_as_suggested(path: Path, message: str) -> list[Span]:
    """Read a file again with the map that a message suggests, parsed like a shell."""
    found = re.search(r"use `(--map [^`]+)`", message)
    assert found, message
    [_, text] = shlex.split(found[1])
    items = admitted(path, column_map=column_maps.parse_map(text))
    assert not [item for item in items if isinstance(item, BadLine)]
    return [item for item in items if isinstance(item, Span)]


def test_a_transcript_is_refused_in_one_line_that_names_it():
    """Lost: all lines of a conversation are in a table that many may read."""
    message = refusal(CASES / "wrong_file.jsonl")
    assert "a Claude Code transcript" in message
    assert "Alex" not in message


def test_a_hundred_bad_lines_before_the_first_span_suffice(tmp_path: Path):
    """Lost: an import takes hours, and fills a table with lines that are not spans."""
    read: list[object] = []

    def endless() -> Iterator[BadLine]:
        while True:
            read.append(1)
            yield BadLine("f", len(read), "trace_id is missing", "")

    with pytest.raises(Refused, match=f"no spans in its first {MOST_BAD} lines"):
        list(check(tmp_path).admit(endless()))
    assert len(read) == MOST_BAD


def test_bad_lines_before_a_good_one_are_quarantined(tmp_path: Path):
    """Lost: a good file because of a bad start."""
    items = admitted(written(tmp_path, ["{oops"] * (MOST_BAD - 1) + [row()] + ["{oops"] * 500))
    assert [isinstance(item, Span) for item in items].index(True) == MOST_BAD - 1
    assert len(items) == MOST_BAD + 500


@pytest.mark.parametrize("rows", [[], ["", " "], [{"resourceSpans": []}], [{"body": {}}]])
def test_an_empty_file_is_admitted(rows: list, tmp_path: Path):
    """Lost: every quiet day causes an alarm."""
    assert admitted(written(tmp_path, rows)) == []


@pytest.mark.parametrize(
    "rows", [[{"resourceLogs": [{}]}], [{"resourceMetrics": []}] * 3, [{"resource": {}, "scopeLogs": []}]]
)
def test_a_file_of_logs_or_metrics_is_recognized(rows: list, tmp_path: Path):
    """Lost: people see "0 span(s) stored" for the wrong one of three files."""
    assert "only OpenTelemetry logs or metrics" in refusal(written(tmp_path, rows))


def test_seconds_are_refused_with_a_map_that_reads_them():
    """Lost: a month of history is filed under January 1970."""
    message = refusal(CASES / "sec.jsonl")
    assert "these look like seconds: use `--map start_time_ms=start_time_ms:s`" in message
    assert "; all on 1970-01-21)" in message
    assert "--accept-times" in message
    found = read_as_suggested(CASES / "sec.jsonl", message)
    assert [span.start_time_ms for span in found[:2]] == [1_795_955_340_000, 1_795_955_341_000]
    assert len(found) == 20


UNITS = {
    "s": NOW // 1_000,
    "us": NOW * 1_000,
    "ns": NOW * 1_000_000,
    "excel": NOW / DAY_MS + 25_569,
    "d": NOW // DAY_MS,
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["json", "pretty", "csv", "parquet", "named"])
def test_the_suggested_remedy_works(unit: str, kind: str, tmp_path: Path):
    """Lost: users follow the remedy and get the same message again."""
    value = UNITS[unit]
    made = [row(value, end_time_ms=value, colour="red") for _ in range(5)]
    path, more = tmp_path / "f.data", {}
    if kind == "json":
        written(tmp_path, made, path.name)
    elif kind == "pretty":
        path.write_text(json.dumps(made, indent=2))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(made), path)
    else:
        names = [name if kind == "csv" else name.replace("start_time_ms", "Start at") for name in made[0]]
        lines = [",".join(names), *(",".join(map(str, each.values())) for each in made)]
        written(tmp_path, lines, path.name)
        more = {"column_map": {"start_time_ms": "Start at"}} if kind == "named" else {}
    message = refusal(path, **more)
    assert f"these look like {plausible.WORDS[unit]}" in message
    found = read_as_suggested(path, message)
    assert {span.start_time_ms // DAY_MS for span in found} == {NOW // DAY_MS}
    assert {span.end_time_ms for span in found} == {span.start_time_ms for span in found}
    # A map that only adds units loses nothing.
    assert kind == "named" or {span.attributes.get("colour") for span in found} == {"red"}


@pytest.mark.parametrize("column_map", [None, {"start_time_ms": "start_time_ms:us"}, {"sd_id": "colour"}])
@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_a_time_type_with_the_wrong_unit_is_named_without_a_useless_map(
    column_map: dict[str, str] | None, unit: str, tmp_path: Path
):
    """Lost: users follow the remedy and get the same message again."""
    table, path = pa.Table.from_pylist([row(colour="red")] * 5), tmp_path / "f.data"
    finer = {"s": 1, "ms": 1_000, "us": 1_000_000}[unit]
    wrong = pa.array([NOW * finer] * 5, pa.timestamp(unit))
    pq.write_table(table.set_column(4, "start_time_ms", wrong), path)
    message = refusal(path, column_map=column_map)
    assert (
        "the type of start_time_ms has a different unit from its values: write it as int64 or with the right type"
        in message
    )
    assert "--map" not in message


def test_a_duration_type_with_the_wrong_unit_is_named(tmp_path: Path):
    """Lost: the suggested map has no effect."""
    table, path = pa.Table.from_pylist([row(NOW - 9_000, end_time_ms=NOW)] * 5), tmp_path / "f.data"
    pq.write_table(table.append_column("D", pa.array([9_000] * 5, pa.duration("s"))), path)
    message = refusal(path, column_map={"duration_ms": "D:s"})
    assert "the type of D has a different unit from its values" in message


@pytest.mark.parametrize(("unit", "factor"), [("ns", 1_000_000), ("us", 1_000), ("s", 1 / 1_000)])
def test_durations_in_another_unit_are_refused_with_a_map_that_reads_them(unit: str, factor: float, tmp_path: Path):
    """Lost: 5.2 seconds become two months."""
    made = [row(end_time_ms=NOW + took, duration_ms=took * factor) for took in (5_210, 9_000, 7_777)]
    path = written(tmp_path, made)
    message = refusal(path)
    assert plausible.CONTRADICTION in message
    found = read_as_suggested(path, message)
    assert [span.duration_ms for span in found] == [5_210, 9_000, 7_777]


@pytest.mark.parametrize(
    ("divisor", "words"), [(1_000_000, "milliseconds"), (10**9, "seconds"), (1_000, "microseconds")]
)
def test_milliseconds_in_a_nanosecond_field_are_recognized(divisor: int, words: str, tmp_path: Path):
    """Lost: a service's whole history is filed under January 1970."""
    one = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "x", "startTimeUnixNano": NOW * 1_000_000 // divisor}
    path = written(tmp_path, [{"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}])
    assert f"startTimeUnixNano looks like {words} instead of nanoseconds" in refusal(path)


def test_milliseconds_in_zipkin_s_microseconds_are_recognized(tmp_path: Path):
    """Lost: the whole history of a Zipkin user is filed under January 1970."""
    path = written(tmp_path, [[{"traceId": "1" * 16, "id": "2" * 16, "name": "x", "timestamp": NOW}]])
    assert "timestamp looks like milliseconds instead of microseconds" in refusal(path)


def test_accepted_times_are_stored_unchanged_and_counted():
    """Lost: a way to store unusual but true times."""
    by = check(CASES / "sec.jsonl", accept=True)
    assert len(admitted(CASES / "sec.jsonl", by=by)) == 20
    assert by.wrong == {plausible.TOO_EARLY: 20}


@pytest.mark.parametrize(
    ("start", "wrong"), [(NOW + 5 * DAY_MS, plausible.TOO_LATE), (NOW - 900 * DAY_MS, plausible.TOO_EARLY), (0, "1970")]
)
def test_a_file_of_implausible_times_is_refused_but_a_few_are_admitted_and_counted(
    start: int, wrong: str, tmp_path: Path
):
    """Lost: a good file because of a few rows of a wrong clock; or the report of these."""
    path = written(tmp_path, [row(start) for _ in range(3)] + [row() for _ in range(2)])
    assert wrong in refusal(path)
    path = written(tmp_path, [row(start) for _ in range(2)] + [row() for _ in range(2)])
    by = check(path)
    assert len(admitted(path, by=by)) == 4
    assert by.wrong.total() == 2


def test_the_first_thousand_spans_decide_before_any_is_yielded(tmp_path: Path):
    """Lost: half a file is stored and half refused."""
    path = written(tmp_path, [row(0)] * (JUDGED // 2 + 1) + [row()] * JUDGED)
    assert f"501 of its first {JUDGED} spans" in refusal(path)
    path = written(tmp_path, [row()] * JUDGED + [row(0)] * (JUDGED * 2))
    by = check(path)
    assert len(admitted(path, by=by)) == 3 * JUDGED
    assert by.wrong == {plausible.TOO_EARLY: 2 * JUDGED}


@pytest.mark.parametrize(("end_wins", "kept"), [(True, 5_210), (False, 5_210_000_000)])
def test_the_end_takes_precedence_over_a_contradicting_duration(end_wins: bool, kept: int, tmp_path: Path):
    """Lost: a span of seconds is stored as one of two months; or an archive is not read back as it was."""
    odd = row(end_time_ms=NOW + 5_210, duration_ms=5_210_000_000)
    path = written(tmp_path, [odd, row(duration_ms=1), row(duration_ms=1)])
    by = check(path, end_wins=end_wins)
    first = admitted(path, by=by)[0]
    assert isinstance(first, Span)
    assert first.duration_ms == kept
    assert by.wrong == {plausible.CONTRADICTION: 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"traceEvents": [{"ph": "X", "ts": 1, "pid": 1}]}', "Chrome's trace event format"),
        (
            b'[{"ph": "B", "ts": 1, "pid": 1, "name": "x"},\n{"ph": "E", "ts": 2, "pid": 1}]',
            "Chrome's trace event format",
        ),
        (
            json.dumps(
                {"name": "x", "context": {"trace_id": "0x1"}, "kind": "k", "start_time": "2026"}, indent=4
            ).encode(),
            "console output of OpenTelemetry's Python SDK",
        ),
        (
            b"{\n  resource: {\n    attributes: {\n      'service.name': 'x'\n    }\n  },\n  traceId: 'abc'\n}\n",
            "console output of OpenTelemetry's JavaScript SDK",
        ),
        (b'{"log": {"version": "1.2", "entries": [{"time": 1}]}}', "a HAR file"),
        (
            b"--\n-- PostgreSQL database dump\n--\nSET x = 1;\nINSERT INTO workflow_trace_log VALUES (1);\n",
            "an SQL dump",
        ),
        (b"\x0a\x04\x08\x01\x10\x02\x12\x00\x00\x00" * 30, "binary data"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "HTML or XML"),
        (b'{"ts": 1, "level": "info", "msg": "x", "trace_id": "%s"}\n' % (b"1" * 32), "log lines"),
        (b'{"traceId": "1", "id": "2", "annotations": [], "binaryAnnotations": [], "timestamp": 1}', "Zipkin v1"),
        (b"TraceID,SpanID,Name,Start\n1,2,x,3\n4,5,y,6\n", "CSV"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:x\nsize 1\n", "Git LFS"),
        (b'{"trace_id": 12, "span_id": 13, "resource": "GET", "service": "web", "start": 1}', "JSON of Datadog"),
        (b"SQLite format 3\x00" + bytes(100), "an SQLite database"),
    ],
)
def test_unsupported_formats_are_named_with_a_remedy(content: bytes, words: str, tmp_path: Path):
    """Lost: hours spent on the message "trace_id is missing"."""
    path = tmp_path / "f"
    path.write_bytes(content)
    assert words in refusal(path)


def test_a_nearly_valid_row_gets_its_reason_instead_of_a_guess(tmp_path: Path):
    """Lost: nobody learns which column to correct."""
    message = refusal(written(tmp_path, [row(duration_ms=-1)]))
    assert "line 1: duration_ms -1 is negative" in message
    assert "looks like" not in message


def test_the_end_takes_precedence_with_accepted_times_too(tmp_path: Path):
    """Lost: five seconds become two months in a file that was accepted for its age."""
    path = written(tmp_path, [row(end_time_ms=NOW + 5_210, duration_ms=5_210_000_000)])
    [span] = admitted(path, accept=True)
    assert isinstance(span, Span)
    assert span.duration_ms == 5_210


def test_other_errors_do_not_hide_a_wrong_unit(tmp_path: Path):
    """Lost: the remedy is missing because of one broken line in a hundred."""
    assert "these look like nanoseconds" in refusal(written(tmp_path, [row(NOW * 10**6)] * 5 + ["{oops"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300) | st.sampled_from([b'{"log": [', b'[[[{"a":', b"{" * 9_000, b'{"a": ' + b"9" * 5_000]))
def test_any_file_is_empty_admitted_or_refused_in_one_line(tmp_path: Path, content: bytes):
    """Lost: an import of many files, because of a traceback over one of them."""
    path = tmp_path / "f"
    path.write_bytes(content)
    message = ""
    try:
        assert admitted(path) == []
    except UserError as error:
        message = error.message
    assert "\n" not in message
