"""Parquet files of any writer: types are read, bad rows are quarantined, and the others are kept."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.files import parquet, reader
from leo_telemetry_pipeline.sources.files.reader import BadLine
from leo_telemetry_pipeline.span import Span

START = datetime(2026, 8, 1, 12, tzinfo=UTC)
START_MS = 1_785_585_600_000


def row(**more: object) -> dict:
    """Return a row with the five columns that a span needs."""
    ids = {"trace_id": str(uuid.uuid4()), "span_id": str(uuid.uuid4())}
    return {**ids, "span_type": "gate", "span_name": "G", "start_time_ms": START_MS} | more


def written(folder: Path, rows: Sequence[dict], **more) -> Path:
    """Write rows as Parquet, in a file whose name does not show it."""
    path = folder / "spans.data"
    pq.write_table(pa.Table.from_pylist(list(rows)), path, **more)
    return path


def read(path: Path, **more) -> tuple[list[Span], list[BadLine]]:
    """Read a file, and return its spans and bad lines."""
    items = list(reader.read(path, **more))
    return [one for one in items if isinstance(one, Span)], [one for one in items if isinstance(one, BadLine)]


def test_five_columns_suffice_whatever_the_file_s_name(tmp_path: Path) -> None:
    """Lost: files that lack columns which only we write."""
    wanted = [row(), row()]
    found, bad = read(written(tmp_path, wanted), project="shop")
    assert [(one.span_id, one.start_time_ms, one.project) for one in found] == [
        (one["span_id"], START_MS, "shop") for one in wanted
    ]
    assert bad == []


def test_microseconds_of_durations_and_of_moments_are_kept(tmp_path: Path) -> None:
    """Lost: work of half a millisecond would be 0 ms, and getting 50 % slower is not seen."""
    took = timedelta(microseconds=460)
    times = {"duration_ms": took, "end_time_ms": None}, {"duration_ms": None, "end_time_ms": START + took}
    (timed, ended), _ = read(written(tmp_path, [row(**each) for each in times]))
    assert (timed.duration_ms, timed.duration_rest_us) == (0, 460)
    assert (ended.duration_ms, ended.duration_rest_us) == (0, 460)


def test_values_of_other_writers_are_read_correctly(tmp_path: Path) -> None:
    """Lost: times are an hour off, binary ids are refused, and missing numbers are read as numbers."""
    trace = uuid.uuid4()
    made = row(
        trace_id=trace.bytes,
        start_time_ms=START.replace(tzinfo=None),
        end_time_ms=START + timedelta(seconds=2),
        duration_ms=timedelta(seconds=2),
        queue_wait_ms=float("nan"),
        attributes={"sd_type": "bug", "none": None, "score": Decimal("0.5"), "list": [1, 2]},
        region="eu",
        __index_level_0__=7,
    )
    [span], bad = read(written(tmp_path, [made]))
    assert bad == []
    assert span.trace_id == str(trace)
    assert (span.start_time_ms, span.end_time_ms, span.duration_ms) == (START_MS, START_MS + 2_000, 2_000)
    assert span.queue_wait_ms is None
    assert span.attributes == {"sd_type": "bug", "score": 0.5, "list": [1, 2], "region": "eu"}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_any_unit_are_read(tmp_path: Path, unit: str) -> None:
    """Lost: files from pandas, whose times are in nanoseconds."""
    table = pa.Table.from_pylist([row()])
    table = table.set_column(
        4, "start_time_ms", pa.array([START], pa.timestamp("ns", "UTC")).cast(pa.timestamp(unit, "UTC"))
    )
    path = tmp_path / "times"
    pq.write_table(table, path)
    [span], _ = read(path)
    assert span.start_time_ms == START_MS


def test_attributes_may_be_a_map_or_json(tmp_path: Path) -> None:
    """Lost: attributes, or their names."""
    table = pa.Table.from_pylist([row(), row()])
    kinds = pa.array([[("sd_type", "bug")], [("sd_type", "bug")]], pa.map_(pa.string(), pa.string()))
    path = tmp_path / "map"
    pq.write_table(table.append_column("attributes", kinds), path)
    assert [one.attributes for one in read(path)[0]] == [{"sd_type": "bug"}] * 2
    assert read(written(tmp_path, [row(attributes='{"a": [1]}')]))[0][0].attributes == {"a": [1]}


def test_a_bad_row_has_its_number_and_the_others_are_kept(tmp_path: Path) -> None:
    """Lost: a file of a million spans, because one has no name; or a secret is stored with the bad row."""
    secret = "ghp_" + "a1B2" * 9
    rows = [row(), row(span_name=None, note=secret), row(), row(trace_id="x")]
    found, bad = read(written(tmp_path, rows, row_group_size=2))
    assert len(found) == 2
    assert [one.line for one in bad] == [2, 4]
    assert "span_name" in bad[0].reason
    assert secret not in bad[0].text


def test_a_damaged_part_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    """Lost: a whole archive because of one bad block."""
    rows = [row(noise=str(uuid.uuid4())) for _ in range(300)]
    path = written(tmp_path, rows, row_group_size=100, write_page_checksum=True, use_dictionary=False)
    place = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[place + 200 : place + 260] = bytes(60)
    path.write_bytes(data)
    found, bad = read(path)
    assert {one.span_id for one in found} == {one["span_id"] for one in rows[:100] + rows[200:]}
    [damage] = bad
    assert "rows 101 to 200" in damage.reason


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1" + bytes(100), b"PAR1 and no more PAR1"])
def test_a_file_that_is_not_parquet_or_is_truncated_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Lost: people get a traceback instead of a reason."""
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is it complete") as error:
        read(path)
    assert "\n" not in error.value.message


def test_a_file_without_required_columns_is_refused_with_their_names(tmp_path: Path) -> None:
    """Lost: a million rows of a wrong file are quarantined one by one."""
    with pytest.raises(UserError, match="span_type, span_name, start_time_ms"):
        read(written(tmp_path, [{"trace_id": "x", "span_id": "y"}]))


def test_a_column_map_may_have_columns_constants_and_units(tmp_path: Path) -> None:
    """Lost: a column map has no effect, or the suggested remedy for seconds is refused."""
    made = {"id": "1" * 32, "sid": b"12345678", "Name": b"G", "Start": START_MS // 1_000, "colour": "red"}
    column_map = {
        "trace_id": "id",
        "span_id": "sid",
        "span_type": ":gate",
        "span_name": "Name",
        "start_time_ms": "Start:s",
    }
    [span], bad = read(written(tmp_path, [made]), column_map=column_map)
    assert bad == []
    assert (span.span_id, span.span_type, span.span_name) == ("00000000-0000-0000-3132-333435363738", "gate", "G")
    assert (span.start_time_ms, span.attributes) == (START_MS, {"colour": "red"})


def test_progress_covers_the_whole_file(tmp_path: Path) -> None:
    """Lost: nobody sees whether an import of an hour makes progress."""
    path, seen = written(tmp_path, [row() for _ in range(50)], row_group_size=10), []
    read(path, on_bytes=seen.append)
    assert len(seen) == 5
    assert 0 < sum(seen) <= path.stat().st_size


def test_a_file_is_recognized_by_its_first_bytes(tmp_path: Path) -> None:
    """Lost: Parquet is read as lines of text."""
    assert parquet.is_parquet(written(tmp_path, [row()]))
    (tmp_path / "x.parquet").write_text("")
    assert not parquet.is_parquet(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == ([], [])


def table(path: Path, **columns: pa.Array) -> Path:
    """Write one row with the columns that a span needs, some of them given."""
    values = {name: pa.array([value]) for name, value in row().items()}
    pq.write_table(pa.table({**values, **columns}), path)
    return path


def test_binary_text_is_text_whatever_its_length() -> None:
    """Lost: `subagent` becomes 7375626167656e74, and 20 spans are stored twice."""
    cases = Path(__file__).resolve().parents[3] / "cases"
    binary, same = read(cases / "ch_binary.parquet"), read(cases / "ch_same.jsonl")
    assert binary[1] == same[1] == []
    assert len(binary[0]) == 20
    for one, other in zip(binary[0], same[0], strict=True):
        # The rows have no attributes; all else is equal.
        one.attributes = other.attributes = {}
        assert one == other


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary()), pa.binary_view()]
)
@pytest.mark.parametrize("text", ["subagent", "GATE_TESTS_16_CH", "a", "x" * 32, "Zürich 8"])
def test_text_columns_are_never_read_as_ids(kind: pa.DataType, text: str, tmp_path: Path) -> None:
    """Lost: names with the length of an id."""
    values = pa.array([text.encode()], pa.binary())
    column = values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)
    path = table(tmp_path / "f", span_name=column, span_type=column, sd_id=column, status=column, note=column)
    [span], bad = read(path)
    assert bad == []
    assert {span.span_name, span.span_type, span.sd_id, span.status, span.attributes["note"]} == {text}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (uuid.UUID(int=7).bytes, pa.binary()),
        (uuid.UUID(int=7).bytes, pa.binary(16)),
        (uuid.UUID(int=7).bytes, pa.uuid()),
        ((7).to_bytes(8, "big"), pa.binary()),
        ((7).to_bytes(8, "big"), pa.binary(8)),
        (b"0000000000000007", pa.binary()),
        (b"0000000000000007", pa.binary(16)),
        (b"00000000000000000000000000000007", pa.binary()),
        (str(uuid.UUID(int=7)).encode(), pa.binary()),
        (str(uuid.UUID(int=7)).encode(), pa.large_binary()),
        (str(uuid.UUID(int=7)), pa.string()),
    ],
)
def test_ids_may_be_bytes_or_text(value: object, kind: pa.DataType, tmp_path: Path) -> None:
    """Lost: spans and their parents do not find each other."""
    column = pa.array([value], kind)
    [span], bad = read(table(tmp_path / "f", trace_id=column, span_id=column, parent_span_id=column))
    assert bad == []
    assert {span.trace_id, span.span_id, span.parent_span_id} == {str(uuid.UUID(int=7))}


def test_other_bytes_are_base64_in_attributes_and_a_bad_row_in_a_name(tmp_path: Path) -> None:
    """Lost: a name has characters that nobody wrote."""
    column = pa.array([b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"])
    [span], _ = read(table(tmp_path / "f", payload=column))
    assert span.attributes == {"payload": "//79/Pv6+fg="}
    spans, [bad] = read(table(tmp_path / "g", span_name=column))
    assert (spans, bad.reason) == ([], "span_name is not UTF-8")


@pytest.mark.parametrize(
    ("value", "kind", "milliseconds"),
    [
        (START_MS, pa.uint64(), START_MS),
        (Decimal(START_MS), pa.decimal128(20, 0), START_MS),
        (Decimal(START_MS) + Decimal("0.9"), pa.decimal128(20, 1), START_MS),
        (float(START_MS), pa.float64(), START_MS),
        (START.date(), pa.date32(), START_MS - 12 * 3_600_000),
        (START.date(), pa.date64(), START_MS - 12 * 3_600_000),
        (START_MS * 1_000_000 + 999_999, pa.timestamp("ns", "Europe/Berlin"), START_MS),
        (START_MS * 1_000 + 999, pa.timestamp("us"), START_MS),
        (START_MS // 1_000, pa.timestamp("s"), START_MS),
        (str(START_MS).encode(), pa.binary(), START_MS),
        (b"2026-08-01 12:00:00 UTC", pa.binary(), START_MS),
    ],
)
def test_a_start_is_read_by_the_type_and_unit_of_its_column(
    value: object, kind: pa.DataType, milliseconds: int, tmp_path: Path
) -> None:
    """Lost: times are wrong by an hour, a unit or a fraction."""
    [span], bad = read(table(tmp_path / "f", start_time_ms=pa.array([value], kind)))
    assert bad == []
    assert span.start_time_ms == milliseconds


def test_times_of_the_hadoop_type_are_read(tmp_path: Path) -> None:
    """Lost: files of older versions of Hive, Impala and Spark."""
    values = {name: pa.array([value]) for name, value in row().items()}
    values["start_time_ms"] = pa.array([START], pa.timestamp("ns", "UTC"))
    path = tmp_path / "f"
    pq.write_table(pa.table(values), path, use_deprecated_int96_timestamps=True)
    assert read(path)[0][0].start_time_ms == START_MS


def test_a_duration_is_rounded_from_its_exact_value(tmp_path: Path) -> None:
    """Lost: one span from two sources differs by a millisecond."""
    start = pa.array([START_MS * 1_000_000 + 700_000], pa.timestamp("ns", "UTC"))
    end = pa.array([START_MS * 1_000_000 + 5_211_300_000], pa.timestamp("ns", "UTC"))
    [span], _ = read(table(tmp_path / "f", start_time_ms=start, end_time_ms=end))
    assert (span.start_time_ms, span.end_time_ms, span.duration_ms) == (START_MS, START_MS + 5_211, 5_211)
    for column in (pa.array([5_210_600_000], pa.duration("ns")), pa.array([5_210_600], pa.time64("us"))):
        [span], _ = read(table(tmp_path / "g", duration_ms=column))
        assert span.duration_ms == 5_211


def test_a_column_that_cannot_hold_a_time_is_refused_and_named(tmp_path: Path) -> None:
    """Lost: times are wrong by up to two minutes."""
    path = table(tmp_path / "f", start_time_ms=pa.array([float(START_MS)], pa.float32()))
    with pytest.raises(UserError, match="column start_time_ms is a float, which cannot hold an exact time"):
        read(path)


def test_nested_values_are_read_by_their_types(tmp_path: Path) -> None:
    """Lost: map keys become b'...', an empty map a list that is refused, pairs in a list an object."""
    text = pa.binary()
    of_maps = pa.array([[(b"sd_type", b"subagent")]], pa.map_(text, text))
    lists = pa.array([[[1, 2], [3, 4]]], pa.list_(pa.list_(pa.int64(), 2)))
    inner = pa.map_(pa.binary(), pa.decimal128(5, 2))
    kind = pa.struct([("a", pa.binary()), ("m", inner), ("none", pa.null())])
    struct = pa.array([{"a": b"12345678", "m": [(b"x", Decimal("0.5"))], "none": None}], kind)
    path = table(tmp_path / "f", attributes=of_maps, lists=lists, struct=struct)
    assert read(path)[0][0].attributes == {
        "sd_type": "subagent",
        "lists": [[1, 2], [3, 4]],
        "struct": {"a": "12345678", "m": {"x": 0.5}},
    }
    empty = pa.array([[]], pa.map_(pa.string(), pa.string()))
    assert read(table(tmp_path / "g", attributes=empty))[0][0].attributes == {}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("noted", ["s", "ms", "us", "ns", "d", "excel"])
def test_the_type_of_a_time_column_takes_precedence_over_the_unit_of_a_map(
    unit: str, noted: str, tmp_path: Path
) -> None:
    """Lost: durations are 0 ms and starts are in 1970, because of a unit copied from the schema."""
    starts = pa.array([START], pa.timestamp("us", "UTC")).cast(pa.timestamp(unit, "UTC"))
    took = pa.array([timedelta(seconds=5)], pa.duration("us")).cast(pa.duration(unit))
    path = table(tmp_path / "f", Start=starts, D=took)
    column_map = {"start_time_ms": f"Start:{noted}", "end_time_ms": f"Start:{noted}", "duration_ms": f"D:{noted}"}
    [span], bad = read(path, column_map=column_map)
    assert bad == []
    assert (span.start_time_ms, span.end_time_ms, span.duration_ms) == (START_MS, START_MS, 5_000)


def test_the_unit_comes_from_a_time_type_and_otherwise_from_the_map(
    tmp_path: Path,
) -> None:
    """Lost: a column is scaled twice, or not at all."""
    columns = {
        "Day": pa.array([START.date()], pa.date32()),
        "Packed": pa.array([START], pa.timestamp("ns", "UTC")).dictionary_encode(),
        "Wait": pa.array([5_000_000], pa.time64("us")),
        "Count": pa.array([5_000_000_000], pa.int64()),
    }
    column_map = {
        "start_time_ms": "Day:d",
        "end_time_ms": "Packed:ns",
        "queue_wait_ms": "Wait:us",
        "duration_ms": "Count:ns",
    }
    [span], bad = read(table(tmp_path / "f", **columns), column_map=column_map)
    assert bad == []
    assert (span.start_time_ms, span.end_time_ms) == (START_MS - 12 * 3_600_000, START_MS)
    assert (span.queue_wait_ms, span.duration_ms) == (5_000, 5_000)


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize(
    "column_map",
    [
        {"span_type": "kind", "span_name": "kind", "start_time_ms": "Start"},
        {"span_type": "kind", "span_name": "kind", "start_time_ms": "Start", "attributes.start": "Start"},
        {"span_type": "kind", "span_name": "kind", "start_time_ms": "Start:ns", "end_time_ms": "Start:ns"},
        {"span_type": "kind", "span_name": "kind", "start_time_ms": "Start", "attributes.id": "tid", "sd_id": "tid"},
    ],
)
def test_a_column_may_be_the_source_of_several_of_ours(
    column_map: dict[str, str], is_reversed: bool, tmp_path: Path
) -> None:
    """Lost: a file is refused for columns that its map names, or an id or a time is read as something else."""
    made = {"tid": uuid.UUID(int=7).bytes, "sid": b"12345678", "kind": b"gate"}
    path = tmp_path / "f"
    columns = {name: pa.array([value]) for name, value in made.items()}
    start = pa.array([START_MS * 1_000_000 + 700_000], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({**columns, "Start": start}), path)
    pairs = [("trace_id", "tid"), ("span_id", "sid"), *column_map.items()]
    [span], bad = read(path, column_map=dict(reversed(pairs) if is_reversed else pairs))
    assert bad == []
    assert (span.trace_id, span.span_type, span.span_name) == (str(uuid.UUID(int=7)), "gate", "gate")
    assert span.start_time_ms == START_MS
    if "attributes.start" in column_map:
        assert json.loads(json.dumps(span.attributes)) == {"start": START_MS + 0.7}
    if "attributes.id" in column_map:
        assert (span.attributes["id"], span.sd_id) == (str(uuid.UUID(int=7)).replace("-", ""), span.attributes["id"])


def test_a_column_mapped_to_another_of_ours_is_not_used_under_its_own_name(tmp_path: Path) -> None:
    """Lost: a file without names is quarantined row by row."""
    path = written(tmp_path, [row()])
    with pytest.raises(UserError, match="has no column span_name: "):
        read(path, column_map={"sd_id": "span_name", "status": "span_name"})
