"""File reader: good lines become spans, bad lines have a reason, and none affects the others."""

import gzip
import json
import random
import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.files.reader import BadLine, read
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.unit.sources.files.reading import SAME_FOLDER, is_refused, read_bytes, row, rows

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
    assert (first.start_time_ms, first.end_time_ms) == (1661261266145, 1661261266363)
    assert (first.duration_ms, first.duration_rest_us) == (218, 119)
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
    """Lost: a progress bar ends at half, or never."""
    for name, content in (("a", rows(5_000)), ("b.gz", gzip.compress(rows(5_000)))):
        steps: list[int] = []
        assert len(read_bytes(tmp_path, content, name, on_bytes=steps.append)) == 5_000
        assert sum(steps) == len(content)


def test_a_missing_file_is_named_in_one_line(tmp_path):
    """Lost: a typo ends in a traceback."""
    with pytest.raises(UserError, match="No such file"):
        list(read(tmp_path / "nothing"))
    with pytest.raises(UserError, match="name a readable file"):
        list(read(tmp_path))
    with pytest.raises(UserError, match="is not a column"):
        read(tmp_path, column_map={"traceid": "a"})


def test_an_empty_file_has_no_spans_and_no_bad_lines(tmp_path):
    """Lost: every quiet day causes an alarm."""
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
    """Lost: good spans among bad lines are silently dropped."""
    good, content = 0, b""
    for is_good, line in lines:
        good += is_good
        content += (json.dumps(row(good)).encode() if is_good else line) + b"\n"
    assume(not content.startswith(b"\x1f\x8b") and not is_refused(content))
    found = read_bytes(tmp_path, gzip.compress(content) if packed else content)
    spans = [item.span_id for item in found if isinstance(item, Span)]
    assert spans == [str(uuid.UUID(int=number)) for number in range(1, good + 1)]


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
    """Lost: private text is in a table that many may read, or the text needed to correct a span is missing."""
    found = read_bytes(tmp_path, rows(1) + line + b"\n")
    assert isinstance(found[1], BadLine)
    assert found[1].text == (line.decode() if kept else "")
    assert "words" not in found[1].keys + found[1].reason


def test_null_in_a_database_s_csv_is_read_as_missing_in_text_columns(tmp_path):
    """Lost: people see a gate named NULL."""
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
