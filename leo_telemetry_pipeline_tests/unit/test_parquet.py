"""Parquet of anybody's making becomes spans: its own types read kindly, bad rows put aside, the rest kept."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leo_telemetry_pipeline.collect import files, parquet
from leo_telemetry_pipeline.collect.files import BadLine
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import Span

START = datetime(2026, 8, 1, 12, tzinfo=UTC)
START_MS = 1_785_585_600_000


def row(**more: object) -> dict:
    """Make a row of the five columns that a span needs."""
    ids = {"trace_id": str(uuid.uuid4()), "span_id": str(uuid.uuid4())}
    return {**ids, "span_type": "gate", "span_name": "G", "start_time_ms": START_MS} | more


def written(folder: Path, rows: Sequence[dict], **more) -> Path:
    """Write rows as Parquet, without a name that says so."""
    path = folder / "spans.data"
    pq.write_table(pa.Table.from_pylist(list(rows)), path, **more)
    return path


def read(path: Path, **more) -> tuple[list[Span], list[BadLine]]:
    """Read a file into its spans and its bad lines."""
    items = list(files.read(path, **more))
    return [one for one in items if isinstance(one, Span)], [one for one in items if isinstance(one, BadLine)]


def test_five_columns_are_enough_and_the_name_of_the_file_says_nothing(tmp_path: Path) -> None:
    """Lost: files of others, for want of columns that only we have."""
    wanted = [row(), row()]
    found, bad = read(written(tmp_path, wanted), project="shop")
    assert [(one.span_id, one.start_time_ms, one.project) for one in found] == [
        (one["span_id"], START_MS, "shop") for one in wanted
    ]
    assert bad == []


def test_values_of_other_writers_mean_what_they_say(tmp_path: Path) -> None:
    """Lost: times an hour off, ids as bytes refused, numbers that are missing taken for numbers."""
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
def test_times_of_any_fineness_are_read(tmp_path: Path, unit: str) -> None:
    """Lost: every file that pandas wrote, whose times are in nanoseconds."""
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


def test_a_bad_row_is_put_aside_with_its_number_and_the_others_are_kept(tmp_path: Path) -> None:
    """Lost: a file of a million spans, for one that has no name; or the secret in it, in clear."""
    secret = "ghp_" + "a1B2" * 9
    rows = [row(), row(span_name=None, note=secret), row(), row(trace_id="x")]
    found, bad = read(written(tmp_path, rows, row_group_size=2))
    assert len(found) == 2
    assert [one.line for one in bad] == [2, 4]
    assert "span_name" in bad[0].reason
    assert secret not in bad[0].text


def test_a_damaged_part_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    """Lost: all of an archive, for one bad block of a disk."""
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
def test_a_file_that_is_no_parquet_or_broken_off_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Lost: a person's evening, over a traceback."""
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is it whole") as error:
        read(path)
    assert "\n" not in error.value.message


def test_a_file_without_the_columns_of_a_span_is_refused_by_their_names(tmp_path: Path) -> None:
    """Lost: a wrong file is put aside row by row, a million of them."""
    with pytest.raises(UserError, match="span_type, span_name, start_time_ms"):
        read(written(tmp_path, [{"trace_id": "x", "span_id": "y"}]))


def test_a_column_map_names_columns_constants_and_units(tmp_path: Path) -> None:
    """Lost: a mapping that somebody wrote does nothing, or the remedy for seconds is refused."""
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


def test_the_whole_file_is_reported_as_progress(tmp_path: Path) -> None:
    """Lost: nobody sees whether an import of an hour goes on."""
    path, seen = written(tmp_path, [row() for _ in range(50)], row_group_size=10), []
    read(path, on_bytes=seen.append)
    assert len(seen) == 5
    assert 0 < sum(seen) <= path.stat().st_size


def test_a_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    """Lost: Parquet is read as lines of text."""
    assert parquet.is_parquet(written(tmp_path, [row()]))
    (tmp_path / "x.parquet").write_text("")
    assert not parquet.is_parquet(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == ([], [])
