"""Implausible times, and their likely unit."""

import pytest

from leo_telemetry_pipeline.sources import plausible
from leo_telemetry_pipeline.sources.plausible import DAY_MS, likely_duration_unit, likely_unit, wrong_with

NOW = 1_795_968_000_000  # 2026-11-29 16:00 UTC
TODAY = NOW // DAY_MS * DAY_MS


def wrong(start: int, end: int | None = None, duration: int | None = None) -> str | None:
    return wrong_with(start, end, duration, now_ms=NOW, keep_days=90)


@pytest.mark.parametrize(
    ("start", "end", "duration", "found"),
    [
        (NOW, None, None, None),
        (TODAY + 2 * DAY_MS - 1, None, None, None),
        (TODAY + 2 * DAY_MS, None, None, plausible.TOO_LATE),
        (NOW - 455 * DAY_MS, None, None, None),
        (NOW - 455 * DAY_MS - 1, None, None, plausible.TOO_EARLY),
        (NOW // 1_000, None, 5, plausible.TOO_EARLY),
        (46_355, None, None, plausible.TOO_EARLY),
        (0, None, None, plausible.TOO_EARLY),
        (NOW * 100, None, None, plausible.TOO_LATE),
        (NOW, NOW + 5_210, 5_210, None),
        (NOW, NOW + 5_210, 5_210_000_000, plausible.CONTRADICTION),
        (NOW, NOW + 5_210, 5, plausible.CONTRADICTION),
        (NOW, NOW + 5_210, 0, plausible.CONTRADICTION),
        (NOW, NOW, 3, plausible.CONTRADICTION),
        (NOW, NOW, 2, None),
        (NOW, NOW + 1_000, 1_010, None),
        (NOW, NOW + 1_000, 1_011, plausible.CONTRADICTION),
        (NOW, NOW + 100_000, 99_000, None),
        (NOW, NOW + 40 * DAY_MS, None, plausible.ENDS_TOO_LATE),
        (NOW, None, 5_210_000_000, plausible.ENDS_TOO_LATE),
    ],
)
def test_the_reason_for_an_impossible_time_is_returned(start, end, duration, found):
    """Lost: seconds, spreadsheet days and durations in microseconds are stored silently."""
    assert wrong(start, end, duration) == found


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([NOW], "ms"),
        ([NOW // 1_000, NOW // 1_000 - 500], "s"),
        ([NOW * 1_000], "us"),
        ([NOW * 1_000_000], "ns"),
        ([46_355.52], "excel"),
        ([20_786, 20_785], "d"),
        ([NOW // 1_000] * 19 + [0], "s"),
        ([NOW // 1_000] * 5 + [NOW] * 5, None),
        ([5, 7], None),
        ([], None),
    ],
)
def test_a_unit_is_suggested_only_if_nearly_all_values_agree(values, unit):
    """Lost: a message names no remedy for a file, or a wrong one."""
    assert likely_unit(values) == unit


@pytest.mark.parametrize(
    ("pairs", "unit"),
    [
        ([(5_210, 5_210_000_000), (100, 100_000_000)], "ns"),
        ([(5_210, 5_210_000), (0, 0)], "us"),
        ([(5_210, 5), (2_100, 2)], "s"),
        ([(5_210, 5_210)], None),
        ([(5_210, 77), (1_000, 5)], None),
        ([], None),
    ],
)
def test_the_unit_of_durations_is_derived_from_start_and_end(pairs, unit):
    """Lost: durations in microseconds go unnoticed."""
    assert likely_duration_unit(pairs) == unit
