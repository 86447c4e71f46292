"""Episodes and effects of an item, as its page shows them."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from leo_telemetry_pipeline.store.items import Event
from leo_telemetry_pipeline.web.dashboard.pages import item as page
from leo_telemetry_pipeline.web.dashboard.pages.item import Episode
from leo_telemetry_pipeline_tests.directive_builders import item


def event(to: str, day: int, episode: int = 1, effect: dict[str, Any] | None = None) -> Event:
    moment = datetime(2026, 2, day, 12, tzinfo=UTC)
    return Event(episode, None, to, moment, "system", "because", None, effect, moment)


def test_an_episode_lasts_from_its_onset_until_the_item_is_closed():
    """Lost: the chart shades days on which the work was fast."""
    events = [event("OPEN", 3), event("IN_PROGRESS", 4), event("RESOLVED", 6), event("OPEN", 9, 2)]
    assert page.episodes_of(events, {"onset_day": "2026-02-08"}) == [
        Episode(1, date(2026, 2, 3), date(2026, 2, 6)),
        Episode(2, date(2026, 2, 8), None),
    ]
    assert page.episodes_of(events[:1], {"onset_day": "no day"}) == [Episode(1, date(2026, 2, 3), None)]
    assert page.episodes_of([], {}) == []


def test_an_effect_shows_its_interval_and_also_a_loss():
    """Lost: a fix that made it worse looks like one that helped."""
    effect = {"before_ms": None, "worst_ms": None, "slow_ms": 1000.0, "after_ms": 2000.0, "ratio": 2.0}
    [shown] = page.effects_of([event("OPEN", 3, effect=effect | {"given_back_ms_per_week": -7_200_000.0})])
    assert (shown.before, shown.slow, shown.after) == ("", "1s", "2s")
    assert (shown.change, shown.given_back) == ("2.00x", "-2 h")


@pytest.mark.parametrize("effect", [None, {}, {"after_ms": 1.0}, {"slow_ms": "x", "after_ms": 1.0}])
def test_an_effect_without_numbers_is_left_out(effect: dict[str, Any] | None):
    """Lost: one row written by SQL, and the page of the item fails."""
    assert page.effects_of([event("RESOLVED", 3, effect=effect)]) == []


def test_a_closed_item_can_only_be_reopened():
    """Lost: the page offers steps that always fail."""
    assert [choice.word for choice in page.choices_of(item())] == ["ack", "start", "fixed", "accept", "dismiss"]
    assert [choice.word for choice in page.choices_of(item(status="VERIFYING"))] == [
        "ack",
        "start",
        "accept",
        "dismiss",
    ]
    assert [choice.word for choice in page.choices_of(item(status="STALE"))] == ["reopen"]
