"""File reader: good lines become spans, bad lines have a reason, and none affects the others."""

import bz2
import gzip
import json
import lzma
import os
import random
import tracemalloc
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.files import unsupported
from leo_telemetry_pipeline.sources.files.lines import MAX_LINE
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
        ({"duration_ms": float("inf")}, "duration_ms is not a number"),
        ({"end_time_ms": 5}, "end_time_ms 5 is before start_time_ms"),
        ({"attributes": [1]}, "attributes is a list, not an object"),
        ({"attributes": "{"}, "attributes is not a JSON object"),
        ({"sd_id": {}}, "sd_id is a dict, not text"),
    ],
)
def test_a_bad_row_has_a_reason_that_names_the_column(tmp_path, changes, reason):
    """Lost: how to correct the file."""
    assert one_reason(tmp_path, **changes).startswith(reason)


def test_a_bad_line_has_file_and_number_and_does_not_affect_the_others(tmp_path):
    """Lost: everything after the first bad line of an import."""
    found = read_bytes(tmp_path, b"\xef\xbb\xbf" + rows(2) + b"\n  \n{oops\n\xff\n7\n" + rows(1))
    assert kinds(found) == "ssbbbs"
    assert [(item.line, item.reason, item.text) for item in found if isinstance(item, BadLine)] == [
        (5, "not JSON: expecting property name enclosed in double quotes at character 2", ""),
        (6, "the line is not UTF-8", ""),
        (7, "not an object", ""),
    ]
    assert {item.file for item in found if isinstance(item, BadLine)} == {str(tmp_path / "f.jsonl")}


@pytest.mark.parametrize("line", [b'{"a": ' * 100_000, b"[" * 100_000, b'{"trace_id": ' + b"9" * 5_000 + b"}"])
def test_lines_crafted_to_break_a_parser_are_bad_lines(tmp_path, line):
    """Lost: the import of a malicious file."""
    found = read_bytes(tmp_path, rows(1) + line + b"\n" + rows(1))
    assert kinds(found) == "sbs"
    assert all(len(item.text) <= 2_000 for item in found if isinstance(item, BadLine))


def test_a_line_over_10_mb_is_a_bad_line_and_not_held_in_memory(tmp_path):
    """Lost: the memory of a small machine, to one endless line."""
    path = tmp_path / "f.jsonl.gz"
    with gzip.GzipFile(path, "wb", compresslevel=1) as file:
        file.write(rows(1))
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + rows(1))
    tracemalloc.start()
    found = list(read(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kinds(found) == "sbs"
    assert peak < 5 * MAX_LINE


def test_gzip_is_recognized_by_content(tmp_path):
    """Lost: compressed files without the usual suffix."""
    packed = gzip.compress(rows(3)) + gzip.compress(rows(2))
    assert kinds(read_bytes(tmp_path, packed, "f")) == "sssss"
    assert kinds(read_bytes(tmp_path, rows(1), "f.gz")) == "s"


@pytest.mark.parametrize("missing", [1, 8, 9, 400])
def test_the_available_part_of_a_truncated_gzip_is_read(tmp_path, missing):
    """Lost: a whole file after an interrupted download."""
    packed = gzip.compress(rows(1_000))
    *good, last = read_bytes(tmp_path, packed[:-missing], "f.jsonl.gz")
    assert len(good) >= 800
    assert kinds(good) == "s" * len(good)
    assert isinstance(last, BadLine)
    assert "truncated" in last.reason
    assert last.line == len(good) + 1


def test_the_part_of_a_gzip_before_its_damage_is_read(tmp_path):
    """Lost: a whole file because of one bad block."""
    packed = bytearray(gzip.compress(rows(1_000)))
    packed[-6] ^= 255  # in the checksum, after all data
    found = read_bytes(tmp_path, bytes(packed), "f.jsonl.gz")
    assert kinds(found) == "s" * 1_000 + "b"
    assert isinstance(found[-1], BadLine)
    assert "damaged" in found[-1].reason


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


def test_requests_with_logs_and_metrics_are_skipped(tmp_path):
    """Lost: a list of bad lines that contains only bad lines."""
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


CSV = (
    "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n"
    "0321470e70f6a36cf33ae390370cd3ac,5922781ef099d150,root,frontend-579b,hipstershop.Frontend/Recv.,"
    "1661261266145118683,1661261266363238666,218119\n"
    "0321470e70f6a36cf33ae390370cd3ac,7e93d8b7c6212b3a,5922781ef099d150,frontend-579b,Get,1,x,5887\n"
)


def test_a_preset_reads_a_published_data_set(tmp_path):
    """Lost: real data for a trial of the system."""
    first, bad = read_bytes(tmp_path, gzip.compress(CSV.encode()), "f.csv.gz", preset="nezha")
    assert isinstance(first, Span)
    assert (first.span_type, first.span_name, first.parent_span_id) == (
        "operation",
        "hipstershop.Frontend/Recv.",
        None,
    )
    assert (first.start_time_ms, first.end_time_ms, first.duration_ms) == (1661261266145, 1661261266363, 218)
    assert first.attributes == {"pod": "frontend-579b"}
    assert isinstance(bad, BadLine)
    assert (bad.line, bad.reason) == (3, "end_time_ms is not a number: 'x'")


def test_csv_with_our_column_names_needs_no_map(tmp_path):
    """Lost: a COPY of our own table."""
    header = ",".join([*row(), "attributes", "created_at"])
    line = ",".join([*(str(value) for value in row().values()), '"{""sd_type"": ""docs""}"', "2026-02-02"])
    for name in ("f.csv", "dump"):
        (made,) = read_bytes(tmp_path, f"{header}\r\n{line}\r\n".encode(), name)
        assert isinstance(made, Span)
        assert made.attributes == {"sd_type": "docs"}
    (made,) = read_bytes(tmp_path, f"{header}\n{line}".replace(",", ";", 6).encode(), "f.jsonl")
    assert isinstance(made, BadLine)


def test_the_last_line_of_a_truncated_csv_is_a_bad_line(tmp_path):
    """Lost: a duration without its last digits is stored."""
    noise = random.Random(1)
    lines = [f"{noise.getrandbits(128):032x},{number + 1:016x},gate,G,{noise.getrandbits(40)}" for number in range(500)]
    packed = gzip.compress(("trace_id,span_id,span_type,span_name,start_time_ms\n" + "\n".join(lines)).encode())
    *good, last = read_bytes(tmp_path, packed[:-300], "f.csv.gz")
    assert [made.start_time_ms for made in good if isinstance(made, Span)] == [
        int(line.rpartition(",")[2]) for line in lines[: len(good)]
    ]
    assert isinstance(last, BadLine)


def test_progress_counts_bytes_on_disk(tmp_path):
    """Lost: a progress bar that ends at half, or never."""
    for name, content in (("a", rows(5_000)), ("b.gz", gzip.compress(rows(5_000)))):
        steps: list[int] = []
        assert len(read_bytes(tmp_path, content, name, on_bytes=steps.append)) == 5_000
        assert sum(steps) == len(content)


def test_a_missing_file_is_named_in_one_line(tmp_path):
    """Lost: a traceback for a typing error."""
    with pytest.raises(UserError, match="No such file"):
        list(read(tmp_path / "nothing"))
    with pytest.raises(UserError, match="name a readable file"):
        list(read(tmp_path))
    with pytest.raises(UserError, match="is not a column"):
        read(tmp_path, column_map={"traceid": "a"})


def test_an_empty_file_has_no_spans_and_no_bad_lines(tmp_path):
    """Lost: an alarm on every quiet day."""
    for name in ("f.jsonl", "f.csv", "f.json"):
        assert read_bytes(tmp_path, b"", name) == []
        assert read_bytes(tmp_path, gzip.compress(b"\n \n"), name) == []


@SAME_FOLDER
@given(st.binary(max_size=300))
def test_no_content_of_a_file_makes_the_reader_fail(tmp_path, content):
    """Lost: an import of many files, because of one that is something else."""
    assume(not is_refused(content))
    for packed in (content, gzip.compress(content)[:-3], b"\x1f\x8b" + content):
        for item in read_bytes(tmp_path, packed):
            assert isinstance(item, Span | BadLine)


BAD = st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line and line.strip()) | st.sampled_from(
    [
        b"{",
        b"[",
        b"]",
        b"[{",
        b'{"a": [',
        b'{"a": 1},',
        b'{"trace_id": "',
        b'"',
        b"[garbage",
        b"null",
        b"[1, 2",
        b"}",
    ]
)


@SAME_FOLDER
@given(
    st.lists(BAD.map(lambda line: (False, line)) | st.just((True, b"")), min_size=1, max_size=12),
    st.booleans(),
)
def test_good_lines_among_bad_ones_are_kept(tmp_path, lines, packed):
    """Lost: good spans are silently dropped beside bad lines."""
    good, content = 0, b""
    for is_good, line in lines:
        good += is_good
        content += (json.dumps(row(good)).encode() if is_good else line) + b"\n"
    assume(not content.startswith(b"\x1f\x8b") and not is_refused(content))
    found = read_bytes(tmp_path, gzip.compress(content) if packed else content)
    spans = [item.span_id for item in found if isinstance(item, Span)]
    assert spans == [str(uuid.UUID(int=number)) for number in range(1, good + 1)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("packed", [False, True])
def test_utf_16_and_utf_32_are_read(tmp_path, encoding, packed):
    """Lost: files of PowerShell and spreadsheets."""
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    for text, name in (
        (rows(3).decode(), "f.jsonl"),
        (json.dumps([row(1, span_name="Zürich"), row(2)], indent=1), "f.json"),
        ("\t".join(row()) + "\r\n" + "\t".join(map(str, row().values())), "f.csv"),
    ):
        content = (mark + text).encode(encoding)
        found = read_bytes(tmp_path, gzip.compress(content) if packed else content, name)
        assert set(kinds(found)) == {"s"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"\x28\xb5\x2f\xfd\x04\x00",
            "compressed with zstd, which is not supported: `zstd -dc FILE | leo-telemetry import -`",
        ),
        (
            bz2.compress(b"x"),
            "compressed with bzip2, which is not supported: `bzip2 -dc FILE | leo-telemetry import -`",
        ),
        (lzma.compress(b"x"), "compressed with xz, which is not supported: `xz -dc FILE | leo-telemetry import -`"),
        (
            b"PK\x03\x04\x14\x00" + bytes(20) + b"spans.jsonl",
            "compressed with zip, which is not supported: `unzip -p FILE",
        ),
        (
            b"PK\x03\x04\x14\x00" + bytes(20) + b"xl/workbook.xml",
            "a spreadsheet (.xlsx), which is not supported: save it",
        ),
        (b"\x04\x22\x4d\x18" + bytes(9), "compressed with lz4, which is not supported"),
    ],
)
def test_other_compressions_are_named_with_the_command_to_decompress(tmp_path, content, words):
    """Lost: hours over "the line is not UTF-8"."""
    with pytest.raises(UserError) as refused:
        read_bytes(tmp_path, content)
    assert words in refused.value.message
    assert refused.value.exit_code == 1


def test_a_pipe_is_read_in_one_pass(tmp_path):
    """Lost: all files that must be decompressed first."""
    for content in (rows(3), gzip.compress(rows(3)), b""):
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb") as out:
            out.write(content)
        found = list(read(tmp_path / "standard input", file=os.fdopen(reader, "rb")))
        assert kinds(found) == "sss"[: 3 if content else 0]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b'{"type": "user", "message": {"content": "secret words"}}', ""),
        (b'{"level": "info", "msg": "secret words", "trace_id": "1", "span_id": "2"}', ""),
        (b'{"type": "user", "text": "secret \\"trace_id\\": words", "x": ', ""),
        (b'["secret words"]', ""),
        (b"secret words", ""),
        (b'{"trace_id": "1", "span_id": "2", "span_type": "gate", "note": "my words"}', "whole"),
        (b'{"id": 5, "trace_id": "1", "span_type": "gate", "note": "my wo', "whole"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "my words"}]}]}]}', "whole"),
    ],
)
def test_the_text_of_a_bad_line_is_kept_only_if_it_is_an_invalid_span(tmp_path, line, kept):
    """Lost: private text in a table that many may read; or the text needed to correct a span."""
    found = read_bytes(tmp_path, rows(1) + line + b"\n")
    assert isinstance(found[1], BadLine)
    assert found[1].text == (line.decode() if kept else "")
    assert "words" not in found[1].keys + found[1].reason


def test_a_column_map_is_refused_for_trace_requests(tmp_path):
    """Lost: a column map silently has no effect."""
    found = read_bytes(tmp_path, json.dumps(OTLP).encode(), column_map={"start_time_ms": "start:s"})
    assert [item.reason for item in found if isinstance(item, BadLine)] == [
        "--map and --preset are for rows, but this is a trace request: leave them out"
    ]


def test_null_in_a_database_s_csv_is_read_as_missing_in_text_columns(tmp_path):
    """Lost: a gate named NULL."""
    names = ["trace_id", "span_id", "parent_span_id", "span_type", "span_name", "start_time_ms", "end_time_ms", "sd_id"]
    line = f"{uuid.UUID(int=1)},{uuid.UUID(int=2)},\\N,gate,G,1770000000000,NULL,\\N"
    [made] = read_bytes(tmp_path, (",".join(names) + "\n" + line).encode(), "f.csv")
    assert isinstance(made, Span)
    assert (made.parent_span_id, made.end_time_ms, made.sd_id) == (None, None, None)


def test_digits_beyond_a_float_are_not_lost(tmp_path):
    """Lost: a millisecond, so that one span from two sources is stored twice."""
    for text in (json.dumps(row()), json.dumps([row(), row(2)]), json.dumps([row()], indent=2)):
        content = text.replace("1770000000001", "1770000000001.9999999").replace("5000", "5000.49999999999999999")
        found = read_bytes(tmp_path, content.encode())
        assert isinstance(found[0], Span)
        assert (found[0].start_time_ms, found[0].duration_ms) == (1_770_000_000_001, 5_000)
    [bad] = read_bytes(tmp_path, json.dumps(row()).replace("1770000000001", "1e99999999999999999999").encode())
    assert isinstance(bad, BadLine)


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
    """Lost: the effect of a column map on fields that are named as in Zipkin."""
    column_map = {"trace_id": "traceId", "span_id": "id", "span_type": ":gate", "span_name": "name"}
    column_map["start_time_ms"] = "ts"
    [found] = read_bytes(tmp_path, json.dumps(values, indent=indent).encode(), column_map=column_map)
    assert isinstance(found, Span), found
    assert (found.span_name, found.start_time_ms) == ("n", 1_770_000_000_001)
    assert found.attributes == {
        name: values[name] for name in ("body", "spans", "traceID", "resourceSpans") if name in values
    }
