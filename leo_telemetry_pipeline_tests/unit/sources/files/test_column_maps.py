"""Column maps, and CSV records."""

import math
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.files.column_maps import Records, delimiter_of, parse_map, preset, row_maker
from leo_telemetry_pipeline.sources.rows import span_from_row

HEADER = ["TraceID", "SpanID", "Name", "Start", "Took", "Pod"]
MAP = "trace_id=TraceID, span_id=SpanID, span_name=Name, start_time_ms=Start:ns, duration_ms=Took:us, span_type=:gate"
FIELDS = ["t", "s", "GATE_X", "1661261266145118683", "5887", "frontend"]


def test_a_map_may_have_columns_units_constants_and_attributes():
    """Lost: files of other tools cannot be imported without rewriting them."""
    row = row_maker(HEADER, parse_map(MAP + ",attributes.pod=Pod,attributes.place=:lab"), "f.csv")(FIELDS)
    assert row | {"start_time_ms": math.floor(row["start_time_ms"]), "duration_ms": round(row["duration_ms"])} == {
        "trace_id": "t",
        "span_id": "s",
        "span_name": "GATE_X",
        "span_type": "gate",
        "start_time_ms": 1661261266145,
        "duration_ms": 6,
        "attributes": {"pod": "frontend", "place": "lab"},
    }


@pytest.mark.parametrize(
    ("unit", "text", "start", "duration"),
    [
        ("ns", "1999999", 1, 2),
        ("us", "1500", 1, 2),
        ("ms", "2.6", 2, 3),
        ("s", "1661261266.145", 1661261266145, 1661261266145),
        ("s", "1e99999", "1e99999", "1e99999"),
        ("s", "soon", "soon", "soon"),
    ],
)
def test_units_are_exact_for_times_and_rounded_for_durations(unit, text, start, duration):
    """Lost: nanoseconds read as floats are wrong by hundreds."""
    column_map = parse_map(
        f"trace_id=a,span_id=a,span_type=:x,span_name=:y,start_time_ms=a:{unit},duration_ms=a:{unit}"
    )
    row = row_maker(["a"], column_map, "f.csv")([text])
    if isinstance(start, str):
        assert (row["start_time_ms"], row["duration_ms"]) == (start, duration)
    else:
        ids = {"trace_id": "1" * 32, "span_id": "2" * 16}
        span = span_from_row({**row, **ids})
        assert (span.start_time_ms, span.duration_ms) == (start, duration)


def test_our_own_column_names_need_no_map():
    """Lost: an export of our own table needs a map."""
    header = ["trace_id", "span_id", "span_type", "span_name", "start_time_ms", "colour"]
    assert row_maker(header, None, "f.csv")(list("abcdef")) == dict(zip(header, "abcdef", strict=True))


def test_a_column_whose_name_contains_a_colon_is_found():
    """Lost: a column named like start:ns cannot be mapped."""
    column_map = parse_map("trace_id=a,span_id=a,span_type=a:b,span_name=a,start_time_ms=at:ns")
    row = row_maker(["a", "a:b", "at:ns"], column_map, "f.csv")(["1", "2", "3000000"])
    assert (row["span_type"], row["start_time_ms"]) == ("2", 3_000_000)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("traceid=TraceID", "'traceid' is not a column: use attributes.NAME or one of trace_id"),
        ("attributes.=Pod", "is not a column"),
        ("trace_id", "not of the form"),
        ("trace_id=", "not of the form"),
        ("trace_id=a,trace_id=b", "given twice"),
    ],
)
def test_a_wrong_map_is_refused_in_one_line_with_a_remedy(text, part):
    """Lost: because of a typo, a file is imported into the wrong columns."""
    with pytest.raises(UserError) as refused:
        parse_map(text)
    assert part in refused.value.message
    assert "\n" not in refused.value.message


def test_a_missing_column_is_named_with_the_file_and_its_header():
    """Lost: the reason why all lines are bad."""
    with pytest.raises(UserError, match=r"f\.csv: there is no column 'TraceId' for trace_id.*TraceID, SpanID"):
        row_maker(HEADER, parse_map(MAP.replace("=TraceID", "=TraceId")), "f.csv")
    with pytest.raises(UserError, match=r"f\.csv: there is no column for span_type.*TraceID"):
        row_maker(HEADER, parse_map(MAP.replace(", span_type=:gate", "")), "f.csv")


def test_an_unknown_preset_is_refused_with_the_known_ones():
    """Lost: because of a typo, a file is read without any map."""
    with pytest.raises(UserError, match="nezha"):
        preset("neza")


def records(text: bytes, width: int = 2) -> list:
    return list(Records(iter(enumerate(text.split(b"\n"), start=2)), ",", width))


def test_quoted_fields_may_span_lines():
    """Lost: attributes with a line break."""
    assert records(b'a,"b\nc ""d"""\n\ne,f\r') == [
        (2, b'a,"b\nc ""d"""', ["a", 'b\nc "d"']),
        (5, b"e,f\r", ["e", "f"]),
    ]


def test_an_unclosed_quote_invalidates_only_its_own_line():
    """Lost: one inch sign in a name swallows the rest of the file."""
    found = records(b'a,5" disk\n' + b"c,d\n" * 300 + b"e,f")
    assert found[0][2] == "a quote opens here and is never closed"
    assert [fields for _, _, fields in found[1:]] == [["c", "d"]] * 300 + [["e", "f"]]


def test_a_line_with_the_wrong_number_of_fields_is_a_bad_line():
    """Lost: values shift into other columns."""
    assert records(b"a,b,c\n\xff,b") == [
        (2, b"a,b,c", "has 3 fields where the header has 2"),
        (3, b"\xff,b", "the line is not UTF-8"),
    ]


@given(st.lists(st.sampled_from([b"a,b", b'"', b'x,"', b'"y",z', b"1,2,3", b""]), max_size=30))
def test_every_line_is_accounted_for_once(lines):
    """Lost: lines between two stray quotes are silently dropped."""
    seen: set[int] = set()
    for number, raw, _ in records(b"\n".join(lines)):
        numbers = set(range(number, number + raw.count(b"\n") + 1))
        assert not seen & numbers
        seen |= numbers
    assert seen >= {number for number, line in enumerate(lines, start=2) if line}


def test_semicolons_and_tabs_are_delimiters_too():
    """Lost: files of a spreadsheet with German settings."""
    assert [delimiter_of(header) for header in ("a;b,c;d", "a\tb", "a,b", "a")] == [";", "\t", ",", ","]


def test_records_are_read_one_by_one():
    """Lost: a large file must fit in memory."""
    endless = ((number, b"a,b") for number in iter(int, 1))
    assert len(list(islice(Records(endless, ",", 2), 5))) == 5
