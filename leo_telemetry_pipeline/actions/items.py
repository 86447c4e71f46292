"""Which bottlenecks become improvement items, and what those say.

Belongs here: the fingerprint, the rate limits, the deduplication, the wording. Pure: no database, no clock.
Does not: judging durations (analysis.bottlenecks), storing items (store.items).
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.store.items import Draft, Item

MAX_ITEMS_PER_RUN = 3
MAX_ITEMS_PER_DAY = 9
COOLDOWN_HOURS = 0


@dataclass(frozen=True)
class Limits:
    """How many items a dimension type may open; None inherits the default above."""

    per_run: int | None = None
    per_day: int | None = None
    cooldown_hours: int | None = None


@dataclass(frozen=True)
class Plan:
    """What to write, worst first, and how many bottlenecks got nothing new because of what."""

    create: tuple[Draft, ...]
    update: tuple[Draft, ...]
    skipped_rate_limit: int
    skipped_dedupe: int


def fingerprint(dimension_type: str, dimension_key: str, project: str | None) -> str:
    """Name a bottleneck by what is slow and where, never by a measured number."""
    named = "\x1f".join((dimension_type, dimension_key, "PROJECT" if project is not None else "ALL", project or ""))
    return hashlib.sha256(named.encode()).hexdigest()


def plan(
    bottlenecks: Sequence[Mapping[str, Any]],
    items: Sequence[Item],
    limits: Mapping[str, Limits],
    *,
    project: str | None,
    run_id: str,
    window_start: datetime,
    window_end: datetime,
) -> Plan:
    """Decide about the bottlenecks of one analysis, given worst first, among all items of its scope.

    Days and cool-downs are counted in window time, so that a replayed or late analysis decides alike.
    """
    open_now = {item.fingerprint for item in items if item.is_open}
    opened = Counter(_type_of(item) for item in items if _opened_at(item).date() == window_end.astimezone(UTC).date())
    created: Counter[str] = Counter()
    create, update, rate_limited, deduplicated = [], [], 0, 0
    for bottleneck in bottlenecks:
        dimension_type = bottleneck["dimension_type"]
        limit = limits.get(dimension_type, Limits())
        draft = _draft(bottleneck, project, run_id, window_start, window_end)
        if draft.fingerprint in open_now:
            update.append(draft)
            deduplicated += 1
        elif _cools_down(draft.fingerprint, items, _or(limit.cooldown_hours, COOLDOWN_HOURS), window_end):
            deduplicated += 1
        elif created[dimension_type] >= _or(limit.per_run, MAX_ITEMS_PER_RUN) or (
            opened[dimension_type] + created[dimension_type] >= _or(limit.per_day, MAX_ITEMS_PER_DAY)
        ):
            rate_limited += 1
        else:
            create.append(
                replace(draft, source_detail=draft.source_detail | {"opened_window_end": window_end.isoformat()})
            )
            created[dimension_type] += 1
    return Plan(tuple(create), tuple(update), rate_limited, deduplicated)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _type_of(item: Item) -> str:
    return item.source_detail.get("dimension_type", "")


def _opened_at(item: Item) -> datetime:
    opened = item.source_detail.get("opened_window_end")
    return datetime.fromisoformat(opened).astimezone(UTC) if opened else item.created_at.astimezone(UTC)


def _last_seen(item: Item) -> datetime:
    window = item.source_detail.get("window") or {}
    return datetime.fromisoformat(window["end"]).astimezone(UTC) if "end" in window else item.updated_at


def _cools_down(of: str, items: Sequence[Item], hours: int, window_end: datetime) -> bool:
    closed = [_last_seen(item) for item in items if item.fingerprint == of and not item.is_open]
    return bool(closed) and max(closed) + timedelta(hours=hours) > window_end


def _draft(
    bottleneck: Mapping[str, Any],
    project: str | None,
    run_id: str,
    window_start: datetime,
    window_end: datetime,
) -> Draft:
    dimension = f"{bottleneck['dimension_type']}:{bottleneck['dimension_key']}"
    observed, baseline = (
        milliseconds(bottleneck["observed_p50_ms"]),
        milliseconds(bottleneck["baseline_p50_ms"]),
    )
    times = ratio(bottleneck["ratio"])
    detail = dict(bottleneck)
    detail.pop("improvement_id", None)
    detail["window"] = {"start": window_start.isoformat(), "end": window_end.isoformat()}
    detail["run_id"] = run_id
    detail["project"] = project or ""
    where = "" if project is None else f" in project {project}"
    return Draft(
        fingerprint(bottleneck["dimension_type"], bottleneck["dimension_key"], project),
        f"{dimension} takes {times} as long as normal{where}",
        f"From {window_start:%Y-%m-%d} to {window_end:%Y-%m-%d %H:%M} UTC the median of {bottleneck['sample_count']} "
        f"spans of {dimension}{where} was {observed}, against a baseline of {baseline} "
        f"({bottleneck['baseline_source']}): {times}, over the allowed {ratio(bottleneck['multiplier'])}. "
        f"Slowest traces: {', '.join(bottleneck['evidence_trace_ids']) or 'none kept'}.",
        detail,
    )


def ratio(value: float) -> str:
    """Write a ratio: whole numbers bare, else one decimal: ``5x``, ``2.4x``."""
    return f"{value:.1f}".removesuffix(".0") + "x"


def milliseconds(value: float) -> str:
    """Write a time: ``45ms``, ``1.5s``, ``150s``."""
    if round(value) < 1000:
        return f"{round(value)}ms"
    return f"{value / 1000:.1f}".removesuffix(".0") + "s"
