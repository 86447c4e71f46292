"""Overview: causes and what they slow down, and counts of minutes."""

from datetime import UTC, datetime, timedelta

import pytest

from leo_telemetry_pipeline.store import arrivals
from leo_telemetry_pipeline.web.dashboard import overview
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes

NOW = datetime(2026, 3, 1, 12, 30, 20, tzinfo=UTC)


def bottleneck(name: str, ratio: float, cause: str | None = None) -> dict:
    of_type, _, key = name.partition(":")
    return {"dimension_type": of_type, "dimension_key": key, "ratio": ratio, "cause": cause}


def test_each_cause_is_one_row_worst_first_with_what_it_slows_down():
    """Lost: one slow gate fills the page with its phases and handoffs, and hides the next one."""
    found = overview.by_cause(
        [
            bottleneck("phase:LEAD", 1.5, "gate:A"),
            bottleneck("gate:B", 2, "gate:B"),
            bottleneck("gate:A", 3, "gate:A"),
            bottleneck("handoff:H", 1.4, "gate:A"),
            bottleneck("gate:C", 2.5),
        ]
    )
    assert [(one["dimension_key"], members) for one, members in found] == [
        ("A", ("phase:LEAD", "handoff:H")),
        ("C", ()),
        ("B", ()),
    ]


def test_a_cause_that_is_no_bottleneck_itself_does_not_hide_what_it_slows_down():
    """Lost: a bottleneck that nobody sees, because the service behind it is not measured as slow."""
    [(one, members)] = overview.by_cause(
        [bottleneck("handoff:H", 2, "service:db"), bottleneck("phase:P", 1.8, "service:db")]
    )
    assert (one["dimension_key"], members) == ("H", ("phase:P",))


def test_minutes_are_counted_once_and_the_newest_again(monkeypatch: pytest.MonkeyPatch):
    """Lost: each open page counts an hour of spans every second."""
    asked: list[datetime] = []

    def per_minute(_database: object, since: datetime, first_ms: int, _end_ms: int) -> dict[datetime, int]:
        if not first_ms:
            return {}
        asked.append(since)
        return {since: len(asked)}

    monkeypatch.setattr(arrivals, "per_minute", per_minute)
    minutes = Minutes()
    first = minutes.refreshed(None, NOW)  # type: ignore[arg-type]
    assert (len(first), first[0], sum(first)) == (60, 1, 1)
    second = minutes.refreshed(None, NOW + timedelta(minutes=1))  # type: ignore[arg-type]
    assert asked == [NOW.replace(hour=11, minute=31, second=0), NOW.replace(minute=30, second=0)]
    assert (second[0], second[58], sum(second)) == (0, 2, 2)
