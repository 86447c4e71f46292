"""Improvement items: which bottlenecks get one, and its wording.

Belongs here: fingerprint, rate limits, deduplication, wording. Pure: no database, no clock.
Does not: judging durations (analysis.bottlenecks), storing items (store.items).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.actions import item_resolutions
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension, ExplainedCause, Explanation
from leo_telemetry_pipeline.resolution import is_least
from leo_telemetry_pipeline.store.items import Draft, Item

MAX_ITEMS_PER_RUN = 3
MAX_ITEMS_PER_DAY = 9
COOLDOWN_HOURS = 0
MOST_NAMED = 5
RAREST = 1e-6
# Slow calls of more than this share are most calls.
_MOST = 2 / 3
_HALF_A_MICROSECOND = 0.0005
# Times below this have two significant digits.
_TWO_DIGITS_MS = 9.95
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000


@dataclass(frozen=True)
class Limits:
    """Rate limits of a dimension type; None means the default above."""

    per_run: int | None = None
    per_day: int | None = None
    cooldown_hours: int | None = None


@dataclass(frozen=True)
class Plan:
    """Items to write, worst first, and the number of bottlenecks without a new item, per reason.

    ``reopen``: closed items that return, with their new contents. ``item_of`` maps the fingerprint of each bottleneck
    to that of its item, even if that item does not exist.
    """

    create: tuple[Draft, ...]
    reopen: tuple[tuple[Item, Draft], ...]
    update: tuple[Draft, ...]
    skipped_rate_limit: int
    skipped_dedupe: int
    item_of: Mapping[str, str]


def fingerprint(dimension_type: str, dimension_key: str, project: str | None) -> str:
    """Hash dimension and scope, which identify an item; measured numbers change with each analysis."""
    named = "\x1f".join((dimension_type, dimension_key, "PROJECT" if project is not None else "ALL", project or ""))
    return hashlib.sha256(named.encode()).hexdigest()


def plan(
    bottlenecks: Sequence[Bottleneck],
    items: Sequence[Item],
    limits: Mapping[str, Limits],
    *,
    project: str | None,
    run_id: str,
    window_start: datetime,
    window_end: datetime,
    causes: Sequence[ExplainedCause] = (),
    may_return: Callable[[Item, Bottleneck], bool],
) -> Plan:
    """Decide which bottlenecks of an analysis, worst first, get items; ``items`` are all items of its scope.

    A cause and its members share one item. Days and cool-downs are counted in window time, so that a replayed or
    late analysis decides the same. ``may_return`` decides whether a bottleneck reopens its closed item.
    """
    active = [item for item in items if item.is_active]
    named = {item.fingerprint for item in active}
    closed = {item.fingerprint: item for item in items if not item.is_active}
    caused_by = {one.dimension: cause.dimension for cause in causes for one in (cause, *cause.members)}
    members_of = {cause.dimension: cause.members for cause in causes}
    room, lists = _Room(items, limits, window_end), _Lists(active)
    create, reopen, update, item_of, rate_limited = [], [], [], {}, 0
    for bottleneck in bottlenecks:
        name = bottleneck.dimension
        members = members_of.get(name, ())
        detail = bottleneck.as_json() | {"members": [asdict(one) for one in members]}
        draft = worded(detail, project, run_id, window_start, window_end)
        cause, mark = caused_by.get(name, name), draft.fingerprint
        belongs_to = mark if mark in named else lists.item_of(name, members)
        if mark in named:
            update.append(draft)
        elif (
            belongs_to is None
            and cause == name
            and not room.cools_down(name[0], mark)
            and (mark not in closed or may_return(closed[mark], bottleneck))
        ):
            if room.take(name[0]):
                belongs_to = mark
                detail = draft.source_detail | {"opened_window_end": window_end.isoformat()}
                draft = replace(draft, source_detail=detail)
                if mark in closed:
                    reopen.append((closed[mark], draft))
                else:
                    create.append(draft)
            else:
                rate_limited += 1
        item_of[mark] = belongs_to or fingerprint(*cause, project)
    skipped = len(bottlenecks) - len(create) - len(reopen) - rate_limited
    return Plan(tuple(create), tuple(reopen), tuple(update), rate_limited, skipped, item_of)


class _Room:
    """Remaining items of each dimension type, and cool-downs."""

    def __init__(self, items: Sequence[Item], limits: Mapping[str, Limits], window_end: datetime) -> None:
        day = window_end.astimezone(UTC).date()
        self._limits, self._window_end = limits, window_end
        self._opened = Counter(item.dimension[0] for item in items if item.dimension and item.opened_at.date() == day)
        self._created: Counter[str] = Counter()
        self._closed = {item.fingerprint: item.last_seen_at for item in items if not item.is_active}

    def cools_down(self, dimension_type: str, mark: str) -> bool:
        """Return whether the closed item of a fingerprint is within its cool-down."""
        hours = _or(self._limits.get(dimension_type, Limits()).cooldown_hours, COOLDOWN_HOURS)
        return mark in self._closed and self._closed[mark] + timedelta(hours=hours) > self._window_end

    def take(self, dimension_type: str) -> bool:
        """Count one more item of a type, and return whether its limits allow it."""
        limit, created = self._limits.get(dimension_type, Limits()), self._created[dimension_type]
        fits = created < _or(limit.per_run, MAX_ITEMS_PER_RUN) and (
            self._opened[dimension_type] + created < _or(limit.per_day, MAX_ITEMS_PER_DAY)
        )
        self._created[dimension_type] += fits
        return fits


class _Lists:
    """Active items by the dimensions that they list, and by the first of these, which they are named after."""

    def __init__(self, active: Sequence[Item]) -> None:
        self._marks = [item.fingerprint for item in active]
        self._listed: dict[Dimension, int] = {}
        self._named: dict[Dimension, int] = {}
        for place, item in enumerate(active):
            about = item_resolutions.dimensions_of(item.source_detail)
            for dimension in about:
                self._listed.setdefault(dimension, place)
            for dimension in about[:1]:
                self._named.setdefault(dimension, place)

    def item_of(self, name: Dimension, members: Iterable[Explanation]) -> str | None:
        """Return the fingerprint of the first item that lists a dimension, or is named after one of its members."""
        places = [self._listed.get(name), *(self._named.get(member.dimension) for member in members)]
        first = min((place for place in places if place is not None), default=None)
        return None if first is None else self._marks[first]


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def worded(
    bottleneck: Mapping[str, Any],
    project: str | None,
    run_id: str,
    window_start: datetime,
    window_end: datetime,
) -> Draft:
    """Draft the item of a bottleneck, which is given as JSON."""
    dimension = f"{bottleneck['dimension_type']}:{bottleneck['dimension_key']}"
    times, of_slow = ratio_of(bottleneck), bottleneck.get("slow_calls")
    detail = dict(bottleneck)
    detail["window"] = {"start": window_start.isoformat(), "end": window_end.isoformat()}
    detail["run_id"] = run_id
    detail["project"] = project or ""
    where = "" if project is None else f" in project {project}"
    because = f": {bottleneck['slow_value']}" if bottleneck.get("slow_value") else ""
    who = f"{_one_in(of_slow)} calls of {dimension} takes" if of_slow else f"{dimension} takes"
    if of_slow and _are_most(of_slow):
        who = f"Most calls of {dimension} take"
    return Draft(
        fingerprint(bottleneck["dimension_type"], bottleneck["dimension_key"], project),
        f"{who} {times} as long as normal{where}{because}",
        f"{_compared(bottleneck, dimension + where)} "
        f"From {window_start:%Y-%m-%d} to {window_end:%Y-%m-%d %H:%M} UTC it had {bottleneck['sample_count']} spans. "
        + "".join(f"{sentence}. " for sentence in explanations(bottleneck))
        + f"Slowest traces: {', '.join(bottleneck['evidence_trace_ids']) or 'none kept'}.",
        detail,
    )


def _compared(bottleneck: Mapping[str, Any], dimension: str) -> str:
    observed, baseline = (milliseconds(bottleneck[name]) for name in ("observed_p50_ms", "baseline_p50_ms"))
    times, of_slow = ratio_of(bottleneck), bottleneck.get("slow_calls")
    since = f" since {bottleneck['onset_day']}" if bottleneck.get("onset_day") else ""
    against = f"against a {bottleneck['baseline_source']} baseline of {baseline}"
    if of_slow:
        who = f"In {dimension}, {calls_are_slow(of_slow)}{since}"
        return f"{who}: the median of these is {observed}, {against} for all calls: {times}."
    normal = f"where up to {allowed(bottleneck['multiplier'])} is normal"
    return f"The median of {dimension} was {observed}{since}, {against}: {times}, {normal}."


def explanations(bottleneck: Mapping[str, Any]) -> list[str]:
    """Return a sentence each, where known.

    In order: slow calls, onset, added time, measurements, attributes of slow spans, members. The bottleneck is given as
    JSON, in the form of findings and items.
    """
    sentences = []
    if of_slow := bottleneck.get("slow_calls"):
        sentences.append(_slow_calls(of_slow))
    if bottleneck.get("onset_day"):
        sentences.append(f"Slower since {bottleneck['onset_day']}{_how_sure(bottleneck.get('p_value'))}")
    if bottleneck.get("why"):
        sentences.append(f"Where the added time goes: {bottleneck['why']}")
    if bottleneck.get("measured"):
        sentences.append(f"What its spans show: {'; '.join(bottleneck['measured'])}")
    if bottleneck.get("slow_value"):
        sentences.append(f"The spans that became slower have {bottleneck['slow_value']}, whatever their names")
    if bottleneck.get("set_apart_by"):
        sentences.append(f"More common in slow spans: {'; '.join(bottleneck['set_apart_by'])}")
    if members := bottleneck.get("members"):
        names = [f"{one['dimension_type']}:{one['dimension_key']}" for one in members]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        sentences.append(f"Because of it, {', '.join(names[:MOST_NAMED])}{more} took longer too")
    return sentences


def calls_are_slow(slow_calls: Mapping[str, Any]) -> str:
    """Say how many calls are slow, which are given as JSON: ``1 in 4 calls is slow``."""
    return "most calls are slow" if _are_most(slow_calls) else f"{_one_in(slow_calls)} calls is slow"


def _one_in(slow_calls: Mapping[str, Any]) -> str:
    return f"1 in {max(2, round(1 / slow_calls['share']))}"


def _are_most(slow_calls: Mapping[str, Any]) -> bool:
    return slow_calls["share"] > _MOST


def _slow_calls(slow_calls: Mapping[str, Any]) -> str:
    """Return a sentence on the slow calls, which are given as JSON."""
    p90_before_ms = slow_calls.get("p90_before_ms")
    was = "" if p90_before_ms is None else f", was {milliseconds(p90_before_ms)}"
    p90 = f"the P90 of all calls is {milliseconds(slow_calls['p90_ms'])}{was}"
    return f"Slow calls take over {milliseconds(slow_calls['cut_ms'])}; {p90}"


def _how_sure(p_value: float | None) -> str:
    if p_value is None or p_value >= 1:
        return ""
    # The estimate is not more precise than two digits, and was not calibrated below RAREST.
    analyses = float(f"{1 / max(p_value, RAREST):.1e}")
    return f"; steady work looks slower by chance in at most 1 of {analyses:,.0f} analyses"


def ratio(value: float) -> str:
    """Format a ratio with at most one decimal: ``5x``, ``2.4x``."""
    return f"{value:.1f}".removesuffix(".0") + "x"


def ratio_of(bottleneck: Mapping[str, Any]) -> str:
    """Format the ratio of a bottleneck: ``2.4x``, ``at least 7x`` where whole milliseconds limit it."""
    least = bottleneck["ratio"]
    observed, baseline = bottleneck.get("observed_p50_ms"), bottleneck.get("baseline_p50_ms")
    if not bottleneck.get("resolution_ms") or observed is None or baseline is None:
        return ratio(least)
    if not is_least(least, observed, baseline):
        return ratio(least)
    return f"at least {ratio(math.floor(10 * least) / 10)}"


def allowed(multiplier: float) -> str:
    """Format a multiplier with at most two decimals: ``2x``, ``1.5x``, ``1.15x``."""
    return f"{multiplier:.2f}".rstrip("0").removesuffix(".") + "x"


def milliseconds(value: float) -> str:
    """Format a time: ``0.46ms``, ``4.5ms``, ``45ms``, ``1.5s``, ``150s``."""
    if _HALF_A_MICROSECOND <= value < _TWO_DIGITS_MS:
        return f"{value:.2g}ms"
    if round(value) < 1000:
        return f"{round(value)}ms"
    return f"{value / 1000:.1f}".removesuffix(".0") + "s"


def duration(ms: float) -> str:
    """Format a time that may be long or negative: ``150ms``, ``1.5s``, ``12 min``, ``2.5 h``, ``-2.5 h``."""
    if ms < 0:
        return f"-{duration(-ms)}"
    if ms >= _HOUR_MS:
        return f"{ms / _HOUR_MS:.1f} h"
    return f"{ms / _MINUTE_MS:.0f} min" if ms >= _MINUTE_MS else milliseconds(ms)


def lasted(seconds: float) -> str:
    """Format a duration: ``12s``, ``3 min``, ``2 h``, ``4 days``."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))}s"
