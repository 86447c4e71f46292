"""Alerts: which changes of items, and which troubles of our own, people are told about.

Belongs here: kinds, severities, caps, idempotency keys, titles. Pure: no database, no clock.
Does not: changing items (items), the text of a channel and sending it (delivery).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

from leo_telemetry_pipeline.actions.items import ratio
from leo_telemetry_pipeline.store.items import ACTIVE, SYSTEM
from leo_telemetry_pipeline.store.outbox import LOUD, Alert

SEVERITIES = ("info", "warning", "high", "critical")
# A weekend without spans is normal.
SILENT_FOR = timedelta(days=3)
# The hourly schedule, or the next session, should have started an analysis by then.
GRACE = timedelta(days=1)
MOST_LISTED = 20


@dataclass(frozen=True)
class Policy:
    """What people want to be told: ratios of the severities, caps, and when to remind them of what is still slow."""

    high: float = 3.0
    critical: float = 5.0
    per_run: int = 10
    per_day: int = 30
    remind_after: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Change of an item, or a new measurement of it that did not change its status.

    ``ratio_before``: that of the previous measurement. ``opened_at``, ``window_end``: window time.
    ``details``: further facts about the item, which become part of the message.
    """

    item_id: str
    name: str
    episode: int
    from_status: str | None
    to_status: str
    window_end: datetime
    opened_at: datetime
    ratio: float | None = None
    ratio_before: float | None = None
    actor: str = SYSTEM
    run_id: str | None = None
    effect: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Slow:
    """Item that is still slow, for a digest; ``since``: the day on which that began."""

    item_id: str
    name: str
    status: str
    ratio: float | None
    since: str


@dataclass(frozen=True, kw_only=True)
class Health:
    """State of our own system: the last successful analysis, the newest run that ended, the newest span."""

    now: datetime
    stale_after: timedelta
    newest_span: datetime | None
    succeeded_id: str | None = None
    succeeded_at: datetime | None = None
    failed_reason: str | None = None


def severity(of: float | None, policy: Policy) -> str:
    """Return the severity class of a ratio over the threshold."""
    if of is None or of < min(policy.high, policy.critical):
        return "warning"
    return "critical" if of >= policy.critical else "high"


def decide(transitions: Sequence[Transition], policy: Policy, written_today: int) -> list[Alert]:
    """Return the alerts of an analysis: those over the caps become one digest.

    ``written_today``: how many alerts that demand attention were written for windows ending on the same day.
    """
    alerts = [alert for one in transitions for alert in _of(one, policy)]
    loud = [one for one in alerts if one.kind in LOUD]
    loud.sort(key=lambda one: (-SEVERITIES.index(one.severity), -(one.body["ratio"] or 0), one.key))
    allowed = max(0, min(policy.per_run, policy.per_day - written_today))
    kept, over = loud[:allowed], loud[allowed:]
    return [*(one for one in alerts if one.kind not in LOUD), *kept, *_overflow(over)]


def digest(slow: Sequence[Slow], window_end: datetime, day: str, policy: Policy) -> Alert | None:
    """Return the daily digest of what is still slow, worst first; None if nothing is."""
    if not slow:
        return None
    worst_first = sorted(slow, key=lambda one: -(one.ratio or 0))
    listed = [
        {
            "item_id": one.item_id,
            "name": one.name,
            "ratio": one.ratio,
            "status": one.status,
            "since": one.since,
        }
        for one in worst_first[:MOST_LISTED]
    ]
    return Alert(
        key=f"digest:day:{day}",
        kind="digest",
        severity=severity(worst_first[0].ratio, policy),
        title="1 item is still slow" if len(slow) == 1 else f"{len(slow)} items are still slow",
        body={"items": listed, "more": len(slow) - len(listed)},
        window_end=window_end,
    )


def digest_is_due(now: datetime, at: time | None, last: datetime | None, analysed: datetime | None) -> bool:
    """Return whether it is time for the daily digest, and an analysis has ended since the last one.

    ``at`` has a time zone.
    """
    if at is None or analysed is None:
        return False
    today = datetime.combine(now.astimezone(at.tzinfo).date(), at)
    return now >= today and (last is None or (last < today and last < analysed))


def health(facts: Health) -> list[Alert]:
    """Return alerts about our own system: analyses fail, are overdue, or no spans arrive. One per streak."""
    alerts = []
    since = facts.succeeded_id or "the beginning"
    if facts.failed_reason is not None:
        alerts.append(
            _own("failing", since, "high", "Analyses fail", {"reason": facts.failed_reason, "since": _iso(facts)})
        )
    elif facts.succeeded_at and facts.now - facts.succeeded_at > facts.stale_after + GRACE:
        alerts.append(_own("stale", since, "high", "No analysis runs any more", {"since": _iso(facts)}))
    if facts.newest_span is not None and facts.now - facts.newest_span > SILENT_FOR:
        newest = facts.newest_span.isoformat()
        alerts.append(_own("silent", newest, "warning", "No spans arrive any more", {"since": newest}))
    return alerts


def is_quiet(now: datetime, hours: tuple[time, time] | None) -> bool:
    """Return whether a moment is within the quiet hours, which may span midnight; both times have the same zone."""
    if hours is None:
        return False
    begin, end = hours
    local = now.astimezone(begin.tzinfo).timetz()
    return begin <= local < end if begin <= end else local >= begin or local < end


def _of(one: Transition, policy: Policy) -> list[Alert]:
    # A person knows what they did themselves.
    if one.actor != SYSTEM:
        return []
    by_now = severity(one.ratio, policy)
    if one.to_status == "RESOLVED":
        lasted = one.window_end - one.opened_at
        title = f"Resolved: {one.name} is fast again after {_days(lasted)}"
        return [_item(one, "resolved", "info", title, "", {"lasted_days": lasted.days})]
    if one.to_status == "OPEN" and one.from_status != "OPEN":
        return [_opened(one, by_now)]
    if one.from_status != one.to_status or one.to_status not in ACTIVE:
        return []
    if one.ratio_before and SEVERITIES.index(by_now) > SEVERITIES.index(severity(one.ratio_before, policy)):
        title = f"Worse: {one.name} is now {_times(one.ratio)} its baseline, was {_times(one.ratio_before)}"
        return [_item(one, "worse", by_now, title, by_now)]
    return _reminder(one, by_now, policy.remind_after)


def _opened(one: Transition, severity: str) -> Alert:
    slow = f"{_times(one.ratio)} its baseline"
    if one.from_status is None:
        return _item(one, "new", severity, f"Slow: {one.name} is {slow}", severity)
    if one.from_status == "VERIFYING":
        # A second fix in the same episode may fail too, and is another event.
        title = f"Not fixed: {one.name} is still {slow}"
        return _item(one, "back", severity, title, f"not fixed {one.window_end:%Y-%m-%dT%H:%M:%S}")
    return _item(one, "back", severity, f"Back: {one.name} is slow again, {slow}", severity)


def _reminder(one: Transition, severity: str, after: timedelta | None) -> list[Alert]:
    # Items in VERIFYING wait for measurements, not for people.
    if after is None or one.to_status == "VERIFYING":
        return []
    number = (one.window_end - one.opened_at) // after
    if number < 1:
        return []
    title = f"Still slow: {one.name} is {_times(one.ratio)} its baseline for {_days(one.window_end - one.opened_at)}"
    return [_item(one, "reminder", severity, title, str(number))]


def _item(
    one: Transition, kind: str, severity: str, title: str, apart: str, more: Mapping[str, Any] | None = None
) -> Alert:
    """Return an alert about an item; ``apart`` tells several of one kind and episode apart."""
    body = {
        "name": one.name,
        "episode": one.episode,
        "ratio": one.ratio,
        "since": one.opened_at.isoformat(),
        "window_end": one.window_end.isoformat(),
        "effect": dict(one.effect) if one.effect else None,
        **one.details,
        **(more or {}),
    }
    return Alert(
        key=":".join(filter(None, (one.item_id, str(one.episode), kind, apart))),
        kind=kind,
        severity=severity,
        title=title,
        body=body,
        item_id=one.item_id,
        episode=one.episode,
        run_id=one.run_id,
        window_end=one.window_end,
    )


def _overflow(over: Sequence[Alert]) -> Iterable[Alert]:
    if not over:
        return
    first = over[0]
    listed = [
        {"item_id": one.item_id, "name": one.body["name"], "ratio": one.body["ratio"], "kind": one.kind}
        for one in over[:MOST_LISTED]
    ]
    yield Alert(
        key=f"digest:run:{first.run_id}",
        kind="digest",
        severity=first.severity,
        title="1 more needs attention" if len(over) == 1 else f"{len(over)} more need attention",
        body={"items": listed, "more": len(over) - len(listed)},
        run_id=first.run_id,
        window_end=first.window_end,
    )


def _own(what: str, streak: str, severity: str, title: str, body: Mapping[str, Any]) -> Alert:
    return Alert(key=f"health:{what}:{streak}", kind="health", severity=severity, title=title, body=body)


def _iso(facts: Health) -> str | None:
    return facts.succeeded_at.isoformat() if facts.succeeded_at else None


def _times(of: float | None) -> str:
    return ratio(of) if of is not None else "over"


def _days(lasted: timedelta) -> str:
    return "1 day" if lasted.days == 1 else f"{lasted.days} days"
