"""Causes of bottlenecks: one cause gets one item, with all bottlenecks that it explains as members.

Belongs here: the cause of each bottleneck by its attribution, and bottlenecks grouped by it. Does not: attributing
(attribution), items (actions).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from leo_telemetry_pipeline.analysis import noise
from leo_telemetry_pipeline.analysis.attribution import AddedPart, Attribution, attribute
from leo_telemetry_pipeline.analysis.critical_path import Forest, attribute_of
from leo_telemetry_pipeline.analysis.places import OWN, SPAN
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension

# A lesser part is the cause instead of the largest if it is at least this large beside it, and explains more.
COMPARABLE = 0.5
# Steps that noise blurs are found up to a day apart.
SAME_ONSET_DAYS = 1
# How long before its onset a dimension is compared, and how near to it not: noise dates an onset a day late, and a
# weekend without spans two more, so that the last days before it may be slow already.
BEFORE, NEAR = timedelta(days=28), timedelta(days=3)
# Of what the slowest value of an attribute adds, all others together may add at most this, or it is not alone.
OTHERS_ADD = 0.25
LEAST_SPANS = 5
SEPARATED = 3.0


@dataclass(frozen=True)
class Member:
    """A bottleneck and the share, of 1, of its added time that the cause explains."""

    slow: Bottleneck
    share: float


@dataclass(frozen=True)
class Cause:
    """What made dimensions slow: work in spans of ``key`` (kind ``span``), its wait in queue, or for a person.

    ``only``: the attribute and value that it is confined to. ``representative``: the bottleneck that names it best,
    which is also the first of ``members``.
    """

    kind: str
    key: str
    only: tuple[str, str] | None
    representative: Bottleneck
    members: tuple[Member, ...]


def periods(
    onset: date | None, start: datetime, end: datetime
) -> tuple[tuple[datetime, datetime], tuple[datetime, datetime]]:
    """Return which part of a window is slow, and when to look for what was before; a window without onset is all slow.

    Each is a first moment and one that is not in it any more.
    """
    if onset is None:
        return (start, end), (start - BEFORE, start)
    began = datetime.combine(onset, time(), UTC)
    return (max(began, start), end), (began - NEAR - BEFORE, began - NEAR)


def causes_of(
    slow: Sequence[Bottleneck], window: Forest, baseline: Forest
) -> tuple[list[Cause], dict[Dimension, Attribution | None]]:
    """Attribute every bottleneck between the same two sets of traces, and group them by cause."""
    found, only = explain(slow, window, baseline)
    return group(slow, found, only), found


def explain(
    slow: Sequence[Bottleneck], window: Forest, baseline: Forest
) -> tuple[dict[Dimension, Attribution | None], dict[str, tuple[str, str]]]:
    """Attribute bottlenecks between two sets of traces; also say which causes are confined to a value (``group``)."""
    found = {each.dimension: attribute(window, baseline, *each.dimension) for each in slow}
    keys = {key for each in slow for _, key, _ in _explained(each, found)}
    names = {each.dimension_type.partition("+")[2] for each in slow} - {""} or {"sd_type"}
    only = {}
    for key in sorted(keys):
        for name in sorted(names):
            if value := only_of(window, baseline, key, name):
                only[key] = (name, value)
    return found, only


def group(
    slow: Sequence[Bottleneck],
    attributions: Mapping[Dimension, Attribution | None],
    only: Mapping[str, tuple[str, str]] | None = None,
) -> list[Cause]:
    """Group bottlenecks by cause, that of most added time first; each is a member of exactly one.

    A bottleneck's cause is the largest part of its added time; where another part is comparable, rather the one that
    began when it did, then the one that explains more bottlenecks. Without an attribution it is a cause of its own,
    a combined dimension one of its gate. ``only`` (see ``only_of``) decides whether a cause is named by a value.
    """
    explained = {each.dimension: _explained(each, attributions) for each in slow}
    votes = Counter(parts[0][:2] for parts in explained.values())
    onsets = {each.name: each.onset_day for each in slow}
    members: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for each in slow:
        kind, key, share = _cause(each, explained[each.dimension], votes, onsets)
        members[kind, key].append(Member(each, share))
    made = [_made(*name, found, (only or {}).get(name[1])) for name, found in members.items()]
    return sorted(made, key=lambda cause: (-max(m.slow.added_ms for m in cause.members), cause.kind, cause.key))


def only_of(window: Forest, baseline: Forest, key: str, name: str) -> str | None:
    """Return the one value of an attribute whose spans of ``key`` got slower, or None if others did too.

    Medians are compared, with the standard error of their difference from median absolute deviations.
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


def _by_value(trees: Forest, key: str, name: str) -> dict[str, np.ndarray]:
    rows = defaultdict(list)
    for row, found in enumerate(trees.keys):
        if found == key and (value := attribute_of(trees, row, name)):
            rows[value].append(row)
    return {value: trees.judged[found] for value, found in rows.items()}


def _added(after: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    errors = [
        noise.MEDIAN_ERROR * noise.MAD_TO_SIGMA * float(np.median(np.abs(side - np.median(side)))) / np.sqrt(len(side))
        for side in (after, before)
    ]
    return float(np.median(after) - np.median(before)), float(np.hypot(*errors))


def _explained(slow: Bottleneck, attributions: Mapping[Dimension, Attribution | None]) -> list[tuple[str, str, float]]:
    """Return kind, key and share of the parts of a bottleneck, the largest first.

    What has none of its own has those of the gate or handoff that it is a part of; failing these it is its own cause.
    """
    span_type, plus, _ = slow.dimension_type.partition("+")
    name = slow.dimension_key.rpartition(":")[0] if plus else slow.dimension_key
    for dimension in (slow.dimension, (span_type, name)):
        found = attributions.get(dimension)
        if found and found.parts:
            return [(_kind(part), part.key, part.share) for part in found.parts]
    return [(SPAN, f"{span_type}:{name}", 1.0)]


def _kind(part: AddedPart) -> str:
    # What is a dimension's own time is time in its spans to all above it.
    return SPAN if part.kind == OWN else part.kind


def _cause(
    slow: Bottleneck,
    parts: Iterable[tuple[str, str, float]],
    votes: Mapping[tuple[str, str], int],
    onsets: Mapping[str, date | None],
) -> tuple[str, str, float]:
    parts = list(parts)
    comparable = [part for part in parts if part[2] >= COMPARABLE * parts[0][2]]

    def rank(part: tuple[str, str, float]) -> tuple[bool, int, float]:
        began = onsets.get(part[1])
        is_of_that_day = bool(began and slow.onset_day and abs((began - slow.onset_day).days) <= SAME_ONSET_DAYS)
        return is_of_that_day, votes[part[:2]], part[2]

    return max(comparable, key=rank)


def _made(kind: str, key: str, members: Sequence[Member], only: tuple[str, str] | None) -> Cause:
    wanted = _names(key, only) if kind == SPAN else []

    def rank(member: Member) -> tuple[int, float, float, str, str]:
        named = wanted.index(member.slow.dimension) if member.slow.dimension in wanted else len(wanted)
        return named, -round(member.share, 2), -member.slow.ratio, *member.slow.dimension

    ordered = sorted(members, key=rank)
    confined = only if kind == SPAN else None
    return Cause(kind, key, confined, ordered[0].slow, tuple(ordered))


def _names(key: str, only: tuple[str, str] | None) -> list[Dimension]:
    """Return the dimensions that name work in spans of a key, the best first."""
    span_type, _, name = key.partition(":")
    plain = [(span_type, name)]
    return [(f"{span_type}+{only[0]}", f"{name}:{only[1]}"), *plain] if only else plain
