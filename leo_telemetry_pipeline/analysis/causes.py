"""Causes of bottlenecks: one item per cause, with the bottlenecks that it explains as members.

Belongs here: choosing causes from attributions, and grouping bottlenecks by cause. Does not: attribution
(attribution), items (actions).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from leo_telemetry_pipeline.analysis import links, noise, shared_values
from leo_telemetry_pipeline.analysis.attribution import Attribution, attribute
from leo_telemetry_pipeline.analysis.critical_path import Forest, attribute_of
from leo_telemetry_pipeline.analysis.places import MIX, OWN, SPAN
from leo_telemetry_pipeline.analysis.services import SERVICE, plain
from leo_telemetry_pipeline.analysis.shared_values import Slowed, Value
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension

# A part may be the cause if its share is at least this fraction of the largest part's share.
COMPARABLE = 0.5
# Noise may shift simultaneous onsets by a day.
SAME_ONSET_DAYS = 1
# Length of the baseline before an onset, and the gap between them: noise may date an onset one day late, and a
# weekend without spans two more.
BEFORE, NEAR = timedelta(days=28), timedelta(days=3)
# Causes that share a value may have so few spans that their onsets are dated further apart.
NEAR_ONSET_DAYS = 5
# A cause is confined to one value of an attribute if other values add at most this fraction of the time that it adds.
OTHERS_ADD = 0.25
LEAST_SPANS = 5
SEPARATED = 3.0


# Kind, key and share of a part of the added time.
Part = tuple[str, str, float]
# Values that slower spans share.
Shared = Mapping[Value, Slowed]


@dataclass(frozen=True)
class Member:
    """A bottleneck and the share (0 to 1) of its added time that the cause explains."""

    slow: Bottleneck
    share: float


@dataclass(frozen=True)
class Cause:
    """A common cause: work in spans of ``key`` (kind ``span``), its mix, its queue, or waiting for a person.

    ``only``: the attribute and value it is confined to. ``representative``: the first of ``members``, which names the
    cause. ``value``: the attribute value of the slower spans, whatever their names.
    """

    kind: str
    key: str
    only: Value | None
    representative: Bottleneck
    members: tuple[Member, ...]
    value: Value | None = None


def periods(
    onset: date | None, start: datetime, end: datetime
) -> tuple[tuple[datetime, datetime], tuple[datetime, datetime]]:
    """Return the slow part of a window (all of it without an onset) and the baseline period, ends excluded."""
    if onset is None:
        return (start, end), (start - BEFORE, start)
    began = datetime.combine(onset, time(), UTC)
    return (max(began, start), end), (began - NEAR - BEFORE, began - NEAR)


def causes_of(
    slow: Sequence[Bottleneck], window: Forest, baseline: Forest
) -> tuple[list[Cause], dict[Dimension, Attribution | None]]:
    """Attribute the added time of each bottleneck between two sets of traces, and group bottlenecks by cause."""
    attributions, only, shared = explain(slow, window, baseline)
    onsets = {each.onset_day for each in slow}
    return group(slow, attributions, only, dict.fromkeys(onsets, shared)), attributions


def explain(
    slow: Sequence[Bottleneck], window: Forest, baseline: Forest, mixed: Collection[str] = ()
) -> tuple[dict[Dimension, Attribution | None], dict[str, Value], Shared]:
    """Attribute the added time of bottlenecks between two sets of traces.

    Also find causes confined to a value (``only_of``), and values that slow spans share (``shared_values.slowing``).
    ``mixed``: types and names of the spans that only consist of other work than before.
    """
    attributions = attributed(slow, window, baseline, mixed)
    keys = {key for each in slow for _, key, _ in _explained(each, attributions)}
    names = {each.dimension_type.partition("+")[2] for each in slow} - {""} or {"sd_type"}
    only = {}
    for key in sorted(keys):
        for name in sorted(names):
            if value := only_of(window, baseline, key, name):
                only[key] = (name, value)
    return attributions, only, shared_values.slowing(window, baseline, [plain(key)[0] for key in keys])


def attributed(
    slow: Sequence[Bottleneck], window: Forest, baseline: Forest, mixed: Collection[str] = ()
) -> dict[Dimension, Attribution | None]:
    """Attribute the added time of bottlenecks between two sets of traces."""
    ends = links.ends(window, baseline)
    return {each.dimension: attribute(window, baseline, *each.dimension, ends, mixed) for each in slow}


def group(
    slow: Sequence[Bottleneck],
    attributions: Mapping[Dimension, Attribution | None],
    only: Mapping[str, Value] | None = None,
    shared: Mapping[date | None, Shared] | None = None,
) -> list[Cause]:
    """Group bottlenecks by cause, most added time first; each is a member of exactly one.

    The cause is the largest part of the added time. Among comparable parts, one with the same onset wins, then the one
    that explains more bottlenecks. A bottleneck without attribution is its own cause, or, if it is a combined
    dimension, its gate is the cause.
    Causes whose slower spans share a value, which others lack, are one (``shared``: such values by onset).
    """
    explained = {each.dimension: _explained(each, attributions) for each in slow}
    votes = Counter(parts[0][:2] for parts in explained.values())
    onsets = {each.name: each.onset_day for each in slow}
    members: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for each in slow:
        kind, key, share = _part(each, explained[each.dimension], votes, onsets)
        members[kind, key].append(Member(each, share))
    causes = [_cause_of(*name, found, (only or {}).get(name[1])) for name, found in members.items()]
    causes = _folded(causes, shared or {}, explained)
    return sorted(causes, key=lambda cause: (-max(m.slow.added_ms for m in cause.members), cause.kind, cause.key))


def _folded(
    causes: list[Cause], shared: Mapping[date | None, Shared], explained: Mapping[Dimension, Sequence[Part]]
) -> list[Cause]:
    """Fold causes that share a value into one, the value with the most causes first."""
    left, folded = causes, []
    while True:
        options = [
            (joined, value, slowed)
            for onset, values in shared.items()
            for value, slowed in values.items()
            if (joined := [cause for cause in left if _joins(cause, onset, slowed)])
        ]
        if not options:
            return left + folded
        joined, value, slowed = max(options, key=lambda option: (len(option[0]), _is_text(option[1]), option[1]))
        folded.append(_fold(joined, value, slowed, explained))
        left = [cause for cause in left if cause not in joined]


def _joins(cause: Cause, onset: date | None, slowed: Slowed) -> bool:
    """Return whether a cause is work of slowed spans, or of spans that contain some and became slower with them."""
    began = cause.representative.onset_day
    if cause.kind != SPAN or (began and onset and abs((began - onset).days) > NEAR_ONSET_DAYS):
        return False
    return plain(cause.key)[0] in slowed.keys | slowed.around


def _fold(causes: list[Cause], value: Value, slowed: Slowed, explained: Mapping[Dimension, Sequence[Part]]) -> Cause:
    if len(causes) > 1:
        causes = [replace(each, members=tuple(_shared(m, slowed, explained) for m in each.members)) for each in causes]

    def rank(cause: Cause) -> tuple[bool, float, str]:
        worst = cause.representative
        return plain(cause.key)[0] in slowed.around, -worst.added_ms * worst.sample_count, worst.name

    first, *others = sorted(causes, key=rank)
    members = (*first.members, *(member for cause in others for member in cause.members))
    # Spans that are named after it need no other name.
    is_named = f":{first.representative.dimension_key}".endswith(f":{value[1]}")
    return replace(first, members=members, value=None if is_named else value)


def _shared(member: Member, slowed: Slowed, explained: Mapping[Dimension, Sequence[Part]]) -> Member:
    """Return a member with the share of all slowed spans in its added time."""
    keys = slowed.keys | slowed.around
    found = [share for kind, key, share in explained[member.slow.dimension] if kind == SPAN and plain(key)[0] in keys]
    return replace(member, share=max(member.share, min(sum(found), 1.0)))


def _is_text(value: Value) -> bool:
    """Return whether a value is a name, which says more than a flag or a number."""
    return value[1] not in ("true", "false") and not value[1].replace(".", "").isdigit()


def only_of(window: Forest, baseline: Forest, key: str, name: str) -> str | None:
    """Return the one attribute value whose spans of ``key`` got slower, or None if spans of other values did too.

    Compares medians, with standard errors from median absolute deviations.
    """
    after, before = _by_value(window, key, name), _by_value(baseline, key, name)
    both = [value for value in after if min(len(after[value]), len(before.get(value, ()))) >= LEAST_SPANS]
    if len(both) < 2:
        return None
    added = {value: _added(after[value], before[value]) for value in both}
    slowest = max(both, key=lambda value: added[value][0])
    rest = [value for value in both if value != slowest]
    ms, error = added[slowest]
    others, others_error = _added(*(np.concatenate([side[value] for value in rest]) for side in (after, before)))
    is_alone = others <= OTHERS_ADD * ms and ms - others > SEPARATED * float(np.hypot(error, others_error))
    return slowest if is_alone and ms > SEPARATED * error else None


def _by_value(trees: Forest, label: str, name: str) -> dict[str, np.ndarray]:
    rows = defaultdict(list)
    key, service = plain(label)
    for row, found in enumerate(trees.keys):
        is_there = found == key and service in ("", trees.services[row])
        if is_there and (value := attribute_of(trees, row, name)):
            rows[value].append(row)
    return {value: trees.judged[found] for value, found in rows.items()}


def _added(after: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    errors = [
        noise.MEDIAN_ERROR * noise.MAD_TO_SIGMA * float(np.median(np.abs(side - np.median(side)))) / np.sqrt(len(side))
        for side in (after, before)
    ]
    return float(np.median(after) - np.median(before)), float(np.hypot(*errors))


def _explained(slow: Bottleneck, attributions: Mapping[Dimension, Attribution | None]) -> list[Part]:
    """Return kind, key and share of a bottleneck's parts, largest first; a changed mix only if it is the only part.

    Falls back to the parts of its gate or handoff, then to the bottleneck itself.
    """
    span_type, plus, attribute = slow.dimension_type.partition("+")
    name = slow.dimension_key.rpartition(":")[0] if plus else slow.dimension_key
    if attribute == SERVICE:
        # Spans of one name in two services have nothing in common.
        span_type, name = slow.dimension
    for dimension in (slow.dimension, (span_type, name)):
        found = attributions.get(dimension)
        if found and found.parts:
            slower = [part for part in found.parts if part.kind != MIX] or found.parts
            # Own time counts as time in spans of this dimension, as it does for bottlenecks above it.
            return [(SPAN if part.kind == OWN else part.kind, part.key, part.share) for part in slower]
    return [(SPAN, f"{span_type}:{name}", 1.0)]


def _part(
    slow: Bottleneck,
    parts: Iterable[Part],
    votes: Mapping[tuple[str, str], int],
    onsets: Mapping[str, date | None],
) -> Part:
    parts = list(parts)
    comparable = [part for part in parts if part[2] >= COMPARABLE * parts[0][2]]

    def rank(part: Part) -> tuple[bool, int, float]:
        began = onsets.get(part[1]) or onsets.get(plain(part[1])[0])
        is_of_that_day = bool(began and slow.onset_day and abs((began - slow.onset_day).days) <= SAME_ONSET_DAYS)
        return is_of_that_day, votes[part[:2]], part[2]

    return max(comparable, key=rank)


def _cause_of(kind: str, key: str, members: Sequence[Member], only: tuple[str, str] | None) -> Cause:
    wanted = _names(key, only) if kind == SPAN else []

    def rank(member: Member) -> tuple[int, float, float, str, str]:
        named = wanted.index(member.slow.dimension) if member.slow.dimension in wanted else len(wanted)
        return named, -round(member.share, 2), -member.slow.ratio, *member.slow.dimension

    ordered = sorted(members, key=rank)
    confined = only if kind == SPAN else None
    return Cause(kind, key, confined, ordered[0].slow, tuple(ordered))


def _names(label: str, only: tuple[str, str] | None) -> list[Dimension]:
    """Return the dimensions that can name the work of spans with this label, best first."""
    key, service = plain(label)
    span_type, _, name = key.partition(":")
    confined = [only] if only else []
    if service:
        confined.append((SERVICE, service))
    return [*((f"{span_type}+{attribute}", f"{name}:{value}") for attribute, value in confined), (span_type, name)]
