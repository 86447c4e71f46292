"""Attribute values whose spans became slower, whatever their names: a model that several sub-agents use.

Belongs here: finding such values in traces. Does not: grouping bottlenecks (causes), values that are more common in
slow spans of one dimension (attributes).

A value explains slower spans if those with it became slower, under at least two names, and those without it did not.
Most spans of some names contain such spans, and so do not tell whether it does.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from leo_telemetry_pipeline.analysis import noise
from leo_telemetry_pipeline.analysis.attributes import MOST_VALUES
from leo_telemetry_pipeline.analysis.critical_path import EXECUTION, WAIT, Forest, attribute_of, mapping

# Name and value of an attribute.
Value = tuple[str, str]

LEAST_SPANS, LEAST_NAMES = 5, 2
SEPARATED = 3.0
# Spans whose slowdown is less than this fraction of that of the others, in logarithms, are not slower.
SAME_CHANGE = 0.5
# Spans of a name contain others if these fractions of them do: mostly, and at all.
MOSTLY, AT_ALL = 0.5, 0.1


@dataclass(frozen=True)
class Slowed:
    """Keys of spans that a value slows, and of spans that contain some of them and have no other value."""

    keys: frozenset[str]
    around: frozenset[str]


@dataclass(frozen=True)
class _Change:
    """Logarithm of a slowdown, and whether it is significant."""

    log: float
    is_slower: bool


class _Side:
    """The spans of one side by key, without waits."""

    def __init__(self, trees: Forest) -> None:
        self._trees = trees
        rows: dict[str, list[int]] = defaultdict(list)
        for row, (key, span_type) in enumerate(zip(trees.keys, trees.types, strict=True)):
            if span_type not in (WAIT, EXECUTION):
                rows[key].append(row)
        self.rows = {key: np.array(found) for key, found in rows.items()}
        self._texts: dict[tuple[str, str], np.ndarray] = {}

    def values(self, keys: Iterable[str]) -> dict[Value, list[str]]:
        """Return the values, each with those keys whose spans have it often enough.

        Attributes with too many values hold ids.
        """
        found: dict[Value, list[str]] = defaultdict(list)
        texts: dict[str, set[str]] = defaultdict(set)
        for key in keys:
            for name in {name for row in self.rows[key] for name in mapping(self._trees.attributes[row])}:
                counts = Counter(text for text in self._texts_of(key, name) if text)
                texts[name].update(counts)
                for text in [text for text, count in counts.items() if count >= LEAST_SPANS]:
                    found[name, text].append(key)
        return {value: found[value] for value in sorted(found) if len(texts[value[0]]) <= MOST_VALUES}

    def times(self, key: str, value: Value) -> tuple[np.ndarray, np.ndarray]:
        """Return the judged times of the spans of a key that have a value, and of those that lack it."""
        has = self._texts_of(key, value[0]) == value[1]
        judged = self._trees.judged[self.rows[key]]
        return judged[has], judged[~has]

    def never_had(self, value: Value) -> bool:
        """Return whether no span has a value, but some have another one."""
        texts = [self._texts_of(key, value[0]) for key in self.rows]
        return any((of_key != "").any() for of_key in texts) and not any((of_key == value[1]).any() for of_key in texts)

    def has_other(self, key: str, value: Value) -> bool:
        """Return whether most spans of a key have another value of the attribute."""
        texts = self._texts_of(key, value[0])
        return 2 * int(((texts != "") & (texts != value[1])).sum()) > len(texts)

    def around(self, keys: Iterable[str]) -> dict[str, float]:
        """Return the keys of spans that have spans of ``keys``, of another name, below them, each with its share."""
        parents, above = self._trees.parents, set()
        for key in keys:
            for row in self.rows[key].tolist():
                while (row := parents[row]) >= 0 and row not in above:
                    if self._trees.keys[row] != key:
                        above.add(row)
        counts = Counter(self._trees.keys[row] for row in above)
        return {key: count / len(self.rows[key]) for key, count in counts.items() if key in self.rows}

    def _texts_of(self, key: str, name: str) -> np.ndarray:
        if (key, name) not in self._texts:
            texts = [attribute_of(self._trees, row, name) for row in self.rows[key].tolist()]
            self._texts[key, name] = np.array(texts, dtype=object)
        return self._texts[key, name]


def slowing(window: Forest, baseline: Forest, slow: Iterable[str]) -> dict[Value, Slowed]:
    """Return the values that explain slower spans with keys in ``slow``, or below these."""
    after, before = _Side(window), _Side(baseline)
    keys = sorted(after.rows.keys() & before.rows.keys())
    known = {*slow}.intersection(keys)
    found = {}
    for value, having in after.values(keys).items():
        if sum(_is_slower(_changes(value, key, after, before)[0]) for key in having) >= LEAST_NAMES:
            slowed = _slowed(value, keys, after, before)
            if slowed and not known.isdisjoint(slowed.keys | slowed.around):
                found[value] = slowed
    return found


def _slowed(value: Value, keys: Iterable[str], after: _Side, before: _Side) -> Slowed | None:
    """Return the spans that a value slows; None if other spans with it did not become slower."""
    changes = {key: _changes(value, key, after, before) for key in keys}
    shares = after.around(key for key, (having, _) in changes.items() if _is_slower(having))
    told = {key: found for key, found in changes.items() if shares.get(key, 0.0) <= MOSTLY}
    having = {key: change for key, (change, _) in told.items() if change}
    lacking = {key: change for key, (_, change) in told.items() if change}
    slower = frozenset(key for key, change in having.items() if change.is_slower)
    if len(slower) < LEAST_NAMES:
        return None
    limit = SAME_CHANGE * float(np.median([having[key].log for key in slower]))
    is_alone = (
        all(change.log > limit for change in having.values())
        and all(lacking[key].log <= SAME_CHANGE * having[key].log for key in slower.intersection(lacking))
        # A value that all spans have since the onset differs from the others in time.
        and (any(change.log <= limit for change in lacking.values()) or before.never_had(value))
    )
    around = [key for key, share in after.around(slower).items() if share >= AT_ALL and not after.has_other(key, value)]
    return Slowed(slower, frozenset(around)) if is_alone else None


def _changes(value: Value, key: str, after: _Side, before: _Side) -> tuple[_Change | None, _Change | None]:
    """Return the changes of the spans of a key that have a value, and of those that lack it."""
    (now, others_now), (was, others_were) = (side.times(key, value) for side in (after, before))
    # A new value, such as another model, is compared with what came before.
    return _change(now, was if len(was) else others_were), _change(others_now, others_were)


def _change(now: np.ndarray, was: np.ndarray) -> _Change | None:
    if min(len(now), len(was)) < LEAST_SPANS:
        return None
    medians = [float(np.median(side)) for side in (now, was)]
    if min(medians) <= 0:
        return None
    deviations = [float(np.median(np.abs(side / m - 1))) for side, m in zip((now, was), medians, strict=True)]
    errors = [deviation / math.sqrt(len(side)) for deviation, side in zip(deviations, (now, was), strict=True)]
    log = math.log(medians[0] / medians[1])
    return _Change(log, log > SEPARATED * noise.MEDIAN_ERROR * noise.MAD_TO_SIGMA * math.hypot(*errors))


def _is_slower(change: _Change | None) -> bool:
    return change is not None and change.is_slower
