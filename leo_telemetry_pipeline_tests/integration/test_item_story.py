"""Twelve weeks of items through the real pipeline, a week at a time, after three weeks in which it learns."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import items, spans
from leo_telemetry_pipeline.store.items import Event, Item
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import DAY, analyse, configure, decide, midnight, row_of, span
from leo_telemetry_pipeline_tests.item_trials import check
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.usefixtures("settings"),
    pytest.mark.with_days,
    pytest.mark.only_on(EMBEDDED, reason="twelve weeks of spans; the server makes no difference"),
]

WEEKS = 14
PER_DAY = 20


def day(week: float) -> int:
    """Return the day of the story on which a week begins."""
    return round(7 * week)


@dataclass(frozen=True)
class Work:
    """A kind of work: its dimension, and how many times as long as normal it takes on a day, 0 if there is none."""

    span_type: str
    name: str
    times: Callable[[int], float]

    @property
    def dimension(self) -> tuple[str, str]:
        return self.span_type, self.name


def slow(first: float, last: float, times: float = 3.0) -> Callable[[int], float]:
    """Return a step up for some weeks."""
    return lambda at: times if day(first) <= at < day(last) else 1.0


def normal(at: int) -> float:
    """Return no step."""
    return 1.0


REPAIRED = Work("gate", "REPAIRED", slow(4, 6))
UNREPAIRED = Work("gate", "UNREPAIRED", slow(4, WEEKS))
ACCEPTED = Work("subagent", "ACCEPTED", slow(4, WEEKS))
RETURNING = Work("subagent", "RETURNING", lambda at: 3.0 if day(5) <= at < day(6.5) or at >= day(11) else 1.0)
NOISY = Work("phase", "NOISY", normal)
VANISHED = Work("phase", "VANISHED", lambda at: 0.0 if at >= day(7) else slow(4, 7)(at))
STEADY = Work("gate", "STEADY", normal)
ALL = (REPAIRED, UNREPAIRED, ACCEPTED, RETURNING, NOISY, VANISHED, STEADY)


def moment(week: float) -> datetime:
    """Return the midnight at the start of a week of the story, whose last week ends today."""
    return midnight(day(WEEKS) - day(week))


def history() -> Iterator[Span]:
    """Yield the spans of all weeks."""
    rng = random.Random(16)
    for work in ALL:
        for at in range(day(WEEKS)):
            for _ in range(PER_DAY if work.times(at) else 0):
                start = moment(0) + at * DAY + timedelta(hours=rng.uniform(6, 18))
                took = 1000 * work.times(at) * rng.lognormvariate(0, 0.25)
                yield span(work.span_type, work.name, round(took), at=start)


def lives(db: Database) -> dict[tuple[str, str], tuple[Item, list[Event]]]:
    """Return each item with its events, by dimension."""
    return {item.dimension: (item, items.events(db, item.id)) for item in items.all_items(db) if item.dimension}


def statuses(db: Database) -> dict[str, str]:
    """Return the status of each item by the name of its work."""
    return {name: item.status for (_, name), (item, _) in lives(db).items()}


def analyse_weeks(db: Database, first: int, last: int) -> None:
    """Analyse at the end of each week."""
    for week in range(first, last + 1):
        run = row_of(db, analyse({"leo_telemetry/window_end": moment(week).isoformat()}))
        assert run.status == "SUCCEEDED", run.error_detail


def says(db: Database, work: Work, status: str, week: float, **more: datetime) -> None:
    """Let a person make a step."""
    decide(db, lives(db)[work.dimension][0], status, at=moment(week) + timedelta(hours=1), **more)


def assert_gave_back_two_thirds(effect: dict[str, Any] | None) -> None:
    """Assert that a measured effect is that of work which took 3 s, and takes 1 s again."""
    assert effect is not None
    assert (effect["before_ms"], effect["slow_ms"]) == (pytest.approx(1000, rel=0.1), pytest.approx(3000, rel=0.1))
    assert effect["after_ms"] == pytest.approx(1000, rel=0.1)
    assert effect["worst_ms"] >= 2700
    assert effect["ratio_low"] < 0.36
    assert effect["ratio_high"] > 0.31
    assert effect["given_back_ms_per_week"] == pytest.approx(2000 * 7 * PER_DAY, rel=0.15)
    assert 0 < effect["given_back_low"] < effect["given_back_ms_per_week"] < effect["given_back_high"]


def test_twelve_weeks_end_with_exactly_the_items_states_and_effects_that_people_lived_through(db: Database):
    """Lost: the loop from "it is slow" to "it is fast again, measured"."""
    spans.ensure_partitions(db, moment(0), midnight())
    spans.insert(db, list(history()))

    # For the first weeks all is well; but someone set a threshold below what is normal.
    configure(db, "phase", "NOISY", 950, 1.01)
    analyse_weeks(db, 3, 4)
    assert statuses(db) == {"NOISY": "OPEN"}

    # In the fifth week, four kinds of work take three times as long. Nobody configured anything for them.
    analyse_weeks(db, 5, 5)
    assert statuses(db) == dict.fromkeys(("NOISY", "REPAIRED", "UNREPAIRED", "ACCEPTED", "VANISHED"), "OPEN")

    # The noise is dismissed. Two slowdowns are repaired, or so people say; a third is meant to be.
    says(db, NOISY, "DISMISSED", 5.5)
    says(db, REPAIRED, "VERIFYING", 6)
    says(db, UNREPAIRED, "VERIFYING", 6)
    says(db, ACCEPTED, "ACCEPTED", 6)

    # One repair did not help. Meanwhile, other work got slow.
    analyse_weeks(db, 6, 7)
    now = statuses(db)
    assert now["UNREPAIRED"] == "OPEN"
    assert now["RETURNING"] == "OPEN"

    # The other repair helped, and what got slow by itself is fast again by itself.
    analyse_weeks(db, 8, 10)
    assert statuses(db) == {
        "REPAIRED": "RESOLVED", "UNREPAIRED": "OPEN", "ACCEPTED": "ACCEPTED", "RETURNING": "RESOLVED",
        "NOISY": "DISMISSED", "VANISHED": "OPEN",
    }  # fmt: skip

    # It comes back in the twelfth week. One kind of work has not been done for four weeks.
    analyse_weeks(db, 11, 14)
    known = lives(db)
    steps = {name: [event.to_status for event in events] for (_, name), (_, events) in known.items()}
    assert steps == {
        "REPAIRED": ["OPEN", "VERIFYING", "RESOLVED"],
        "UNREPAIRED": ["OPEN", "VERIFYING", "OPEN"],
        "ACCEPTED": ["OPEN", "ACCEPTED"],
        "RETURNING": ["OPEN", "RESOLVED", "OPEN"],
        "NOISY": ["OPEN", "DISMISSED"],
        "VANISHED": ["OPEN", "STALE"],
    }
    assert {name: item.episode for (_, name), (item, _) in known.items()} == dict.fromkeys(steps, 1) | {"RETURNING": 2}
    for item, events in known.values():
        check(events)
        assert item.status == events[-1].to_status

    # What people read afterwards.
    [*_, resolved] = known[REPAIRED.dimension][1]
    assert_gave_back_two_thirds(resolved.effect)
    [_, resolved, _] = known[RETURNING.dimension][1]
    assert_gave_back_two_thirds(resolved.effect)
    assert resolved.reason.startswith("Fast again, measured: P50 ")
    [*_, reopened] = known[UNREPAIRED.dimension][1]
    assert reopened.effect is not None
    assert reopened.effect["ratio_low"] < 1 < reopened.effect["ratio_high"]
    assert reopened.reason.startswith("The fix did not help: P50 ")
    others = {
        name: events[-1].effect for (_, name), (_, events) in known.items() if name not in ("REPAIRED", "UNREPAIRED")
    }
    assert others == dict.fromkeys(("ACCEPTED", "RETURNING", "NOISY", "VANISHED"))
