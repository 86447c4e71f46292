"""Impact: what became of the items of a period, and how much time resolved items give back.

Belongs here: the figures, from items and their events. Pure: no database, no clock; all times are window times.
Does not: the effect of one episode (analysis.effects), output (cli.impact).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from leo_telemetry_pipeline.store.items import ACTIVE, Event, Item

_ENDS = ("RESOLVED", "ACCEPTED", "DISMISSED", "STALE")


@dataclass(frozen=True)
class Resolution:
    """Resolution that still stands, with the effect of its episode; P50s in ms, None if unknown.

    ``took``: from the opening of the episode to its resolution.
    """

    item_id: str
    name: str
    resolved_at: datetime
    took: timedelta
    slow_ms: float | None
    after_ms: float | None
    given_back_ms_per_week: float | None


@dataclass(frozen=True)
class Impact:
    """Figures of a period, which begins at ``since``, or with the first item.

    ``reopened``: closed items that opened again. ``false_alarms``: items dismissed as noise, and not reopened.
    ``false_alarm_share``: of all episodes that were resolved, accepted or a false alarm; None without any.
    ``given_back_ms_per_week``: of the resolutions that still stand, ``unmeasured`` of which have no known effect.
    """

    since: datetime | None
    opened: int
    reopened: int
    resolved: int
    accepted: int
    dismissed: int
    stale: int
    fixes_without_effect: int
    active_now: int
    median_time_to_resolve: timedelta | None
    false_alarms: int
    false_alarm_share: float | None
    given_back_ms_per_week: float
    unmeasured: int
    resolutions: tuple[Resolution, ...]


def measure(items: Sequence[Item], events: Mapping[str, Sequence[Event]], since: datetime | None) -> Impact:
    """Return the figures of a period; ``events`` has the events of each item, oldest first, also earlier ones."""
    lives = [(item, events.get(item.id, ())) for item in items]
    seen = [event for _, life in lives for event in life if _is_in(event, since)]
    ends = {status: sum(event.to_status == status for event in seen) for status in _ENDS}
    starts = [event.from_status for event in seen if event.to_status == "OPEN"]
    took_s = [took.total_seconds() for _, life in lives for event, took in _resolved(life) if _is_in(event, since)]
    false_alarms = sum(_is_false_alarm(item) and _is_in(life[-1], since) for item, life in lives if life)
    judged = ends["RESOLVED"] + ends["ACCEPTED"] + false_alarms
    stands = sorted(_standing(lives, since), key=lambda one: (-(one.given_back_ms_per_week or 0), one.item_id))
    known = [one.given_back_ms_per_week for one in stands if one.given_back_ms_per_week is not None]
    return Impact(
        since=since,
        opened=starts.count(None),
        reopened=sum(status in _ENDS for status in starts),
        resolved=ends["RESOLVED"],
        accepted=ends["ACCEPTED"],
        dismissed=ends["DISMISSED"],
        stale=ends["STALE"],
        fixes_without_effect=starts.count("VERIFYING"),
        active_now=sum(item.status in ACTIVE for item in items),
        median_time_to_resolve=timedelta(seconds=median(took_s)) if took_s else None,
        false_alarms=false_alarms,
        false_alarm_share=false_alarms / judged if judged else None,
        given_back_ms_per_week=sum(known),
        unmeasured=len(stands) - len(known),
        resolutions=tuple(stands),
    )


def _is_in(event: Event, since: datetime | None) -> bool:
    return since is None or event.window_end >= since


def _is_false_alarm(item: Item) -> bool:
    # Until a date means "not now", not noise.
    return item.status == "DISMISSED" and item.dismissed_until is None


def _resolved(life: Sequence[Event]) -> Iterator[tuple[Event, timedelta]]:
    """Yield the resolutions of an item, with the time since the opening of their episode."""
    opened: dict[int, datetime] = {}
    for event in life:
        if event.to_status == "OPEN":
            opened.setdefault(event.episode, event.window_end)
        elif event.to_status == "RESOLVED":
            yield event, event.window_end - opened.get(event.episode, event.window_end)


def _standing(lives: Sequence[tuple[Item, Sequence[Event]]], since: datetime | None) -> Iterator[Resolution]:
    for item, life in lives:
        if item.status != "RESOLVED":
            continue
        for event, took in list(_resolved(life))[-1:]:
            if _is_in(event, since):
                effect = event.effect or {}
                yield Resolution(
                    item.id,
                    ":".join(item.dimension) if item.dimension else item.title,
                    event.window_end,
                    took,
                    *(_number(effect.get(name)) for name in ("slow_ms", "after_ms", "given_back_ms_per_week")),
                )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
