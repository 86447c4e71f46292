"""Numbers of spans per minute: what is counted again, and how far back the newest spans lie."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leo_telemetry_pipeline.store import arrivals
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes

NOW = datetime(2026, 3, 1, 12, 30, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# Stands for the database, which nothing here asks.
UNUSED: Any = None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[datetime, bool]]:
    """Record which queries are sent: since when, and whether for spans that began before yesterday."""
    found: list[tuple[datetime, bool]] = []

    def per_minute(_database: object, since: datetime, first_ms: int, _end_ms: int) -> dict[datetime, int]:
        found.append((since, first_ms == 0))
        return {since: 100 if first_ms == 0 else len(found)}

    monkeypatch.setattr(arrivals, "per_minute", per_minute)
    return found


def test_minutes_are_counted_once_and_the_newest_again(asked: list[tuple[datetime, bool]]):
    """Lost: each open page counts an hour of spans every second."""
    minutes, begin = Minutes(), NOW.replace(hour=11, minute=31, second=0)
    first = minutes.refreshed(UNUSED, NOW)
    assert (len(first), first[0], sum(first)) == (60, 101, 101)
    minutes.refreshed(UNUSED, NOW + timedelta(seconds=2))
    assert asked == [(begin, False), (begin, True), (NOW.replace(second=0), False)]


def test_spans_that_began_long_ago_are_counted_once_per_minute(asked: list[tuple[datetime, bool]]):
    """Lost: every second, an open page looks into each day that was ever stored."""
    minutes = Minutes()
    for second in range(0, 121, 5):
        minutes.refreshed(UNUSED, NOW + timedelta(seconds=second))
    assert sum(is_old for _, is_old in asked) == 3


def test_a_commit_that_arrives_some_seconds_into_the_next_minute_is_counted(asked: list[tuple[datetime, bool]]):
    """Lost: spans are missing in the number of the last hour."""
    minutes, at = Minutes(), NOW.replace(minute=31, second=5)
    minutes.refreshed(UNUSED, at)
    minutes.refreshed(UNUSED, at + timedelta(seconds=1))
    assert asked[-1] == (NOW.replace(minute=30, second=0), False)


def test_the_newest_spans_are_searched_as_far_back_as_they_lie():
    """Lost: after a busy hour, each open page reads all of its spans every second."""
    minutes = Minutes()
    assert minutes.reach(10) is None
    minutes.counts = {NOW: 4, NOW - MINUTE: 5, NOW - 5 * MINUTE: 3, NOW - 9 * MINUTE: 1_000_000}
    assert minutes.reach(10) == NOW - 5 * MINUTE
    assert minutes.reach(12) == NOW - 5 * MINUTE
    assert minutes.reach(13) == NOW - 9 * MINUTE
    assert minutes.reach(10_000_000) == NOW - 9 * MINUTE
