"""Parsing of times: all usual spellings, exactly, and equally from all sources."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources import times
from leo_telemetry_pipeline.sources.files import column_maps
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.sources.rows import span_from_row, whole
from leo_telemetry_pipeline.span import InvalidSpan, Span

AT = 1_795_955_340_000  # 2026-11-29 12:29:00 UTC
IDS = {"trace_id": "1" * 32, "span_id": "2" * 16, "span_type": "gate", "span_name": "G"}


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-29 12:29:00 UTC",
        "2026-11-29T12:29:00Z",
        "2026-11-29t12:29:00z",
        "2026-11-29 12:29:00 +0000 UTC",
        "2026-11-29 12:29:00.000000 +0000 UTC m=+0.000012",
        "2026-11-29 13:29:00 +0100 CET",
        "2026-11-29 18:14:00 +0545 +0545",
        "2026-11-29 08:59:00.000000001 -0330 -0330 m=+0.000012",
        "2026-11-29 17:29:00 +0500 +05",
        "2026-11-29 18:14:00.000 +0545 +0545",
        "2026-11-29T12:29:00+00:00",
        "2026-11-29 13:29:00+01",
        "2026-11-29 12:29:00 GMT",
        "2026-11-29 12:29",
        "2026/11/29 12:29:00",
        "2026-11-29 12:29:00,000",
        "1795955340000",
        "1795955340000.0",
        "1.79595534e12",
        1795955340000.0,
        Decimal("1795955340000.9999999"),
        "1795955340000.9999999",
    ],
)
def test_usual_spellings_of_a_moment_are_read(text):
    """Lost: exports of tools that write times for people, or for Go."""
    found = times.moment(text, "start_time_ms")
    assert found is not None
    assert times.cut(found) == AT


@pytest.mark.parametrize(
    "value", ["NULL", "NaN", "\\N", "None", "nil", "-", "", "null", " nan ", float("nan"), None, "NaT"]
)
def test_usual_spellings_of_null_are_read(value):
    """Lost: the rows of all open spans."""
    for read in (times.number, times.moment, times.duration):
        assert read(value, "x") is None
    assert whole(value, "x") is None
    made = span_from_row(
        {**IDS, "start_time_ms": AT, "end_time_ms": value, "duration_ms": value, "queue_wait_ms": value}
    )
    assert (made.end_time_ms, made.duration_ms, made.queue_wait_ms) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("PT5.21S", 5_210),
        ("PT1H2M3S", 3_723_000),
        ("P1DT0.5S", 86_400_500),
        ("5.21s", 5_210),
        ("320ms", 320),
        ("320 ms", 320),
        ("15µs", Decimal("0.015")),
        ("1500us", Decimal("1.5")),
        ("1m30s", 90_000),
        ("1h2m3.5s", 3_723_500),
        ("2 minutes", 120_000),
        ("00:00:05.21", 5_210),
        ("1 day, 0:00:05", 86_405_000),
        ("12,5", Decimal("12.5")),
        ("1234,567", Decimal("1234.567")),
        ("0,123", Decimal("0.123")),
        ("1,234,567", 1_234_567),
        ("1,234.5", Decimal("1234.5")),
        ("1,5 s", 1_500),
        ("0,500 s", 500),
        ("1234,567ms", Decimal("1234.567")),
        ("PT1,500S", 1_500),
        ("00:00:05,210", 5_210),
        ("5210", 5_210),
        (5210.6, Decimal("5210.6")),
        ("-3ms", -3),
    ],
)
def test_usual_spellings_of_a_duration_are_read(text, milliseconds):
    """Lost: rows of tools that write durations for people."""
    assert times.duration(text, "duration_ms") == milliseconds


@pytest.mark.parametrize(
    ("read", "text", "reason"),
    [
        (
            times.duration,
            "1,234",
            "x '1,234' has a comma that may mean thousands or decimals: write it without the comma",
        ),
        *(
            (
                times.duration,
                text,
                f"x '{text}' has a comma that may mean thousands or decimals: write it without the comma",
            )
            for text in ("1,500 ms", "1,234ms", "12,345 us", "-1,500 ms", "1m1,500s", "999,999 seconds")
        ),
        (times.duration, "05:21", "x '05:21' may be hours or minutes: write it as 00:05:21"),
        (times.duration, "P1M", "x is not a number: 'P1M'"),
        (times.duration, "5 parsecs", "x is not a number: '5 parsecs'"),
        (times.duration, "PT", "x is not a number: 'PT'"),
        (times.duration, float("inf"), "x is not a number: 'Infinity'"),
        (times.duration, "1e500", "x is not a number: '1E+500'"),
        (times.moment, "2026-11-29 12:29:00 CET", "x: the time zone CET is not known: write an offset such as +01:00"),
        (times.moment, "2026-11-29 12:29:00 Europe/Berlin", "x: the time zone Europe/Berlin is not known"),
        (times.moment, "2026-11-29 12:00:00 PM", "x is not a time: '2026-11-29 12:00:00 PM'"),
        (times.moment, "2026-11-29 12:00:00 AM", "x is not a time: '2026-11-29 12:00:00 AM'"),
        (times.moment, "2026/11/29 12:00PM", "x is not a time: '2026/11/29 12:00PM'"),
        (times.moment, "2026-11-29 12:00:00 AM UTC", "x is not a time: '2026-11-29 12:00:00 AM UTC'"),
        (times.moment, "2026-11-29 12:29:00 PMST", "x: the time zone PMST is not known"),
        (times.moment, "2026-13-29", "x is not a time: '2026-13-29'"),
        (times.moment, "29.11.2026 12:29", "x '29.11.2026 12:29' is not a supported date"),
        (times.moment, "11/12/2026", "x '11/12/2026' is not a supported date: write it as 2026-11-29T12:29:00Z"),
        (times.moment, "Sun, 29 Nov 2026 12:29:00 GMT", "x 'Sun, 29 Nov 2026 12:29:00 GMT' is not a supported date"),
        (times.moment, True, "x is true, not a number"),
    ],
)
def test_ambiguous_spellings_are_refused_with_their_meanings(read, text, reason):
    """Lost: a duration is a thousand times too long, or is refused without a reason."""
    with pytest.raises(InvalidSpan) as refused:
        read(text, "x")
    assert str(refused.value).startswith(reason)


def by_otlp(start_ns: int, end_ns: int) -> Span:
    one = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "G"}
    one |= {"startTimeUnixNano": str(start_ns), "endTimeUnixNano": str(end_ns)}
    [made] = otlp.spans_from_request({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]})
    assert isinstance(made, Span)
    return made


def by_iso(start_ns: int, end_ns: int) -> Span:
    def iso(ns: int) -> str:
        return (
            f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // 10**9):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"
        )

    return span_from_row({**IDS, "start_time_ms": iso(start_ns), "end_time_ms": iso(end_ns)})


def by_csv(start_ns: int, end_ns: int) -> Span:
    column_map = column_maps.parse_map("start_time_ms=s:ns,end_time_ms=e:ns")
    make = column_maps.row_maker([*IDS, "s", "e"], column_map, "f.csv")
    return span_from_row(make([*IDS.values(), str(start_ns), str(end_ns)]))


def by_rows(start_ns: int, end_ns: int) -> Span:
    start, end = (Decimal(ns).scaleb(-6) for ns in (start_ns, end_ns))
    return span_from_row({**IDS, "start_time_ms": start, "duration_ms": str(end - start)})


@given(st.integers(0, 253_402_000_000 * 10**9), st.integers(0, 10**13))
def test_a_span_is_the_same_row_from_every_source(start_ns, took_ns):
    """Lost: a span from two sources is stored twice, a millisecond apart."""
    first = by_otlp(start_ns + 10**9, start_ns + 10**9 + took_ns)
    for read in (by_iso, by_csv, by_rows):
        other = read(start_ns + 10**9, start_ns + 10**9 + took_ns)
        assert other.start_time_ms == first.start_time_ms
        if read is not by_rows:
            assert other.end_time_ms == first.end_time_ms
        took = other.end_time_ms - other.start_time_ms if other.duration_ms is None else other.duration_ms  # type: ignore[operator]
        assert took == first.duration_ms
        if other.duration_rest_us is None:
            # A duration alone does not show that its clock had microseconds.
            assert read is by_rows or (start_ns % 10**6 == 0 and took_ns % 10**6 == 0)
        else:
            assert other.duration_rest_us == first.duration_rest_us


def test_half_a_millisecond_is_rounded_up_and_a_tiny_negative_duration_is_zero():
    """Lost: two sources of one span round differently."""
    assert [whole(text, "x") for text in ("0.5", "1.5", "2.5", 2.5, "-0.4", "-0.6")] == [1, 2, 3, 3, 0, -1]


def test_moments_before_1970_are_truncated_towards_the_past():
    """Lost: one rule of rounding for all numbers, negative ones included."""
    assert [times.cut(times.moment(text, "x") or 0) for text in ("-0.5", "1969-12-31T23:59:59.9999Z", -1.5)] == [
        -1,
        -1,
        -2,
    ]


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("s", 1_795_955_340),
        ("us", "1795955340000000"),
        ("ns", 1_795_955_340_000_000_000),
        ("excel", 46355.520138888889),
        ("d", "20786.520138888888"),
    ],
)
def test_units_of_a_column_map_are_exact(unit, value):
    """Lost: the remedy that a refusal suggests does not work."""
    row = column_maps.object_maker({"start_time_ms": f"Start:{unit}"})({**IDS, "Start": value})
    assert abs(span_from_row(row).start_time_ms - AT) <= (1 if unit == "d" else 0)


def test_names_that_differ_only_near_their_end_stay_distinct():
    """Lost: two operations become one, and the fast one hides the slow one."""
    names = ["n" * 300 + end for end in ("a", "b", "a")]
    first, second, again = (redact.name(each, 200) for each in names)
    assert len({first, second}) == 2
    assert first == again
    assert {len(first), len(second)} == {200}
    assert first.startswith("n" * 183 + "…")
    assert redact.name(first, 200) == first
    assert redact.name("n" * 200, 200) == "n" * 200
    keys = span_from_row({**IDS, "start_time_ms": AT, "attributes": dict.fromkeys(names[:2], 1)}).attributes
    assert len(keys) == 2
