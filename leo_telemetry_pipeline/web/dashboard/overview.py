"""Overview: what is slow, since when, why, what is being done about it, and what runs now.

Belongs here: the model of the page, and reading it. Does not: its live stream (live), its text (the templates).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.actions import mixed
from leo_telemetry_pipeline.actions.items import calls_are_slow, ratio_of
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.mix import Mix
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.store import arrivals, directives, item_pages, open_spans, outbox, runs
from leo_telemetry_pipeline.store.arrivals import Finished
from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.directives import WorkOn
from leo_telemetry_pipeline.store.history import recent_p50s
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline.store.open_spans import OpenSpan
from leo_telemetry_pipeline.store.outbox import Backlog
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import outputs, version
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes
from leo_telemetry_pipeline.web.dashboard.page import Asked

# Causes with a chart, and days in it.
SHOWN, DAYS = 10, 42
RUNNING_SHOWN, FINISHED_SHOWN = 8, 10


@dataclass(frozen=True)
class Cause:
    """Finding with everything that is slow because of it; times in ms, ``lost_ms`` per week.

    ``p50s_ms``: P50 of each of the last days, None for a day without spans. ``who``: which calls are slow, if not all.
    ``why``: where the added time goes. ``shows``: the first thing that its spans show, such as the versions of a step.
    ``apart``: the attribute that sets slow spans apart. ``worker``: who made the item's last step, None if the system
    did.
    """

    name: str
    dimension: Dimension
    ratio: float
    times: str
    who: str
    observed_ms: float
    baseline_ms: float
    since: date | None
    lost_ms: float
    why: str
    shows: str
    apart: str
    members: tuple[str, ...]
    p50s_ms: tuple[float | None, ...]
    item: Item | None
    worker: str | None
    work: WorkOn | None
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Health:
    """State of the pipeline. ``per_minute``: spans stored in each of the last 60 minutes, oldest first."""

    now: datetime
    last: Run | None
    failed: Run | None
    waiting: tuple[Run, ...]
    next_due: datetime | None
    per_minute: tuple[int, ...]
    spooled: int
    backlog: Backlog

    @property
    def spans(self) -> int:
        """Number of spans stored in the last hour."""
        return sum(self.per_minute)


@dataclass(frozen=True)
class LivePart:
    """What changes every second: health, operations in progress, and the spans stored last."""

    health: Health
    running: tuple[OpenSpan, ...]
    finished: tuple[Finished, ...]
    version: str


@dataclass(frozen=True)
class Overview:
    """Everything on the page. ``more``: number of further causes. ``notes``: what takes longer without being slower."""

    live: LivePart
    causes: tuple[Cause, ...]
    more: int
    notes: tuple[str, ...]
    has_spans: bool
    judged: int
    traces: int


def read(database: Database, asked: Asked) -> Overview:
    """Read the page of all projects."""
    live = read_live(database, asked.settings, asked.minutes)
    output = outputs.of(database, live.health.last.run_id) if live.health.last else {}
    found = by_cause(output.get("bottlenecks") or [])
    return Overview(
        live,
        tuple(_causes(database, live.health.last, found[:SHOWN])),
        max(0, len(found) - SHOWN),
        tuple(_not_slower(output.get("mixes") or [])),
        live.health.last is not None or any(asked.minutes.counts) or bool(live.finished),
        output.get("dimensions_evaluated") or 0,
        output.get("traces_scanned") or 0,
    )


def read_live(database: Database, settings: Settings, minutes: Minutes) -> LivePart:
    """Read what changes every second."""
    now = datetime.now(UTC)
    latest = runs.after(database, None, 20)
    newest = [run for run in latest if run.scope_type == "ALL"]
    last = runs.last(database)
    ended = next((run for run in newest if run.status in runs.FINAL), None)
    health = Health(
        now,
        last,
        ended if ended is not None and ended.status != "SUCCEEDED" else None,
        tuple(run for run in newest if run.status in ("QUEUED", "RUNNING")),
        last.finished_at + timedelta(seconds=settings.stale_after) if last and last.finished_at else None,
        minutes.refreshed(database, now),
        _spooled(settings),
        outbox.backlog(database),
    )
    opened, reach = open_spans.running(database), minutes.reach(FINISHED_SHOWN)
    return LivePart(
        health,
        tuple(opened[:RUNNING_SHOWN]),
        tuple(arrivals.newest(database, FINISHED_SHOWN, reach)) if reach else (),
        version.of(database, latest),
    )


def _spooled(settings: Settings) -> int:
    try:
        return spool.waiting(spool.folder_of(str(settings.home)))[0]
    except OSError:
        return 0


def by_cause(bottlenecks: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], tuple[str, ...]]]:
    """Return the bottlenecks that are causes, worst first, each with the names of those that it slows down."""
    members: dict[str, list[str]] = {}
    causes = []
    for one in bottlenecks:
        name = _name(one)
        cause = one.get("cause") or name
        if cause == name:
            causes.append(one)
        else:
            members.setdefault(cause, []).append(name)
    named = {_name(one) for one in causes}
    # If the cause is no bottleneck itself, such as a slow service, its worst member represents it.
    for one in bottlenecks:
        cause = one.get("cause") or _name(one)
        if cause not in named:
            named.add(cause)
            causes.append(one)
    causes.sort(key=lambda one: -one["ratio"])
    slowed = [members.get(one.get("cause") or _name(one), []) for one in causes]
    return [(one, tuple(name for name in of if name != _name(one))) for one, of in zip(causes, slowed, strict=True)]


def _name(bottleneck: Mapping[str, Any]) -> str:
    return f"{bottleneck['dimension_type']}:{bottleneck['dimension_key']}"


def _causes(
    database: Database, last: Run | None, found: Sequence[tuple[Mapping[str, Any], tuple[str, ...]]]
) -> list[Cause]:
    if not found or last is None or last.window_end is None:
        return []
    dimensions = [(one["dimension_type"], one["dimension_key"]) for one, _ in found]
    closed = last.window_end.astimezone(UTC).date() - DAY
    charts = recent_p50s.of(database, dimensions, closed, DAYS)
    ids = [one["improvement_id"] for one, _ in found if one.get("improvement_id")]
    known = {item.id: item for item in item_pages.with_ids(database, ids)}
    workers, works = item_pages.last_people(database, ids), directives.of_items(database, ids)
    return [
        _cause(one, members, charts[dimension], known, workers, works)
        for (one, members), dimension in zip(found, dimensions, strict=True)
    ]


def _cause(
    one: Mapping[str, Any],
    members: tuple[str, ...],
    p50s: Sequence[float | None],
    known: Mapping[str, Item],
    workers: Mapping[str, str],
    works: Mapping[str, WorkOn],
) -> Cause:
    item_id = one.get("improvement_id") or ""
    since, of_slow = one.get("onset_day"), one.get("slow_calls")
    return Cause(
        _name(one),
        (one["dimension_type"], one["dimension_key"]),
        one["ratio"],
        ratio_of(one),
        calls_are_slow(of_slow) if of_slow else "",
        one["observed_p50_ms"],
        one["baseline_p50_ms"],
        date.fromisoformat(since) if since else None,
        one.get("lost_ms_a_week") or 0.0,
        (one.get("why") or "").partition(": ")[2],
        next(iter(one.get("measured") or ()), ""),
        "; ".join([*([one["slow_value"]] if one.get("slow_value") else ()), *(one.get("set_apart_by") or ())]),
        members,
        tuple(p50s),
        known.get(item_id),
        workers.get(item_id),
        works.get(item_id),
        tuple(one.get("evidence_trace_ids") or ()),
    )


def _not_slower(mixes: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{_name(one)} takes {ratio_of(one)} as long, but {mixed.line(Mix.from_json(one['mix']))}" for one in mixes[:3]
    ]
