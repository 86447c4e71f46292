"""Decomposition of added time by place and factor.

Belongs here: places, sums by place, the decomposition of a difference. Does not: significance, shares (attribution).

A *place* is the path of keys from the dimension's span down to a span. Time of a place per span of the dimension =
calls x time per call x awaited fraction. Longer calls are charged to the place itself; more calls to the place that
its parent calls more often, including everything below it; a larger awaited fraction to the concurrent place that
got slower.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from leo_telemetry_pipeline.analysis.critical_path import WAIT, Forest, walk
from leo_telemetry_pipeline.analysis.services import labelled, plain

SPAN, OWN, QUEUE, WAITING, CALL, MIX = "span", "own", "queue", "wait", "call", "mix"

# Added before taking logarithms, so that zero and nearly zero are similar.
LEAST_CHOSEN = 0.01


class Charge(NamedTuple):
    """Added time of one place per span of the dimension, and its variance."""

    kind: str
    key: str
    place: int
    ms: float
    variance: float


@dataclass(frozen=True)
class Times:
    """By place: ms per call and variance, awaited fraction, and whether there were calls."""

    per_call: np.ndarray
    variance: np.ndarray
    part: np.ndarray
    is_called: np.ndarray

    @classmethod
    def of(cls, times: np.ndarray, calls: np.ndarray, awaited: np.ndarray) -> "Times":
        """Sum matrices of shape (spans of the dimension, places)."""
        per_call, variance = _ratio(times, calls)
        return cls(per_call, variance, _divided(awaited.sum(axis=0), times.sum(axis=0)), calls.sum(axis=0) > 0)


@dataclass(frozen=True)
class PlaceSums:
    """The window or the baseline by place.

    ``calls``: per span of the dimension; ``rate``: per call of the place above; ``awaited``: ms, one row per span of
    the dimension; ``chosen``: the fraction of calls that their parents await.
    """

    calls: np.ndarray
    rate: np.ndarray
    rate_variance: np.ndarray
    own: Times
    queue: Times
    awaited: np.ndarray
    chosen: np.ndarray


class Places:
    """The places of both sides, numbered parents first.

    With several ``services``, spans of one key in two of them are two places, as are their calls to two of them.
    ``links``: caller and callee of the places that are calls. ``ends``: what explains the time of a link.
    ``mixed``: types and names of spans whose mix changed; ``within``: by place, the outermost of them at or above it,
    empty for none.
    """

    def __init__(
        self,
        services: Collection[str] = (),
        ends: Mapping[tuple[str, str], str] | None = None,
        mixed: Collection[str] = (),
    ) -> None:
        self.is_named = len(services) > 1
        self.ends = ends or {}
        self.numbers: dict[tuple[int, str, str], int] = {}
        self.above: list[int] = []
        self.keys: list[str] = []
        self.kinds: list[str] = []
        self.links: dict[int, tuple[str, str]] = {}
        self.is_parallel: set[int] = set()
        self.mixed = mixed
        self.within: list[str] = []

    def number(self, above: int, trees: Forest, row: int) -> int:
        """Return the number of the place of a span below the place ``above`` (-1 for the top)."""
        service, callee = (trees.services[row], trees.callees[row]) if self.is_named else ("", "")
        key = labelled(trees.keys[row], service)
        number = self.numbers.setdefault((above, key, callee), len(self.above))
        if number == len(self.above):
            self.above.append(above)
            self.keys.append(key)
            self.kinds.append(OWN if above < 0 else WAITING if trees.types[row] == WAIT else SPAN)
            outer = self.within[above] if above >= 0 else ""
            is_mixed = above >= 0 and plain(key)[0] in self.mixed
            self.within.append(outer or (plain(key)[0] if is_mixed else ""))
            if callee:
                self.links[number] = service, callee
        return number

    def own(self) -> list[tuple[str, str]]:
        """Return the kind and key that each place's own time is charged to; for a call, what explains its link."""
        names = list(zip(self.kinds, self.keys, strict=True))
        for place, link in self.links.items():
            names[place] = CALL, self.ends[link]
        return [(MIX, mixed) if mixed else name for name, mixed in zip(names, self.within, strict=True)]

    def outside(self, names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the kind and key by place of what a changed mix explains only below its spans: waiting and calls."""
        mixes = [self.within[above] if above >= 0 else "" for above in self.above]
        return [(MIX, mixed) if mixed else name for name, mixed in zip(names, mixes, strict=True)]

    def is_ours(self) -> list[bool]:
        """Return for each place whether its time is judged; a wait directly below the dimension is not."""
        ours: list[bool] = []
        for above, kind in zip(self.above, self.kinds, strict=True):
            is_excluded = above >= 0 and kind == WAITING and self.above[above] < 0
            ours.append((above < 0 or ours[above]) and not is_excluded)
        return ours

    def forks(self, before: "PlaceSums", after: "PlaceSums") -> list[int]:
        """Return for each place the concurrent place above it whose awaited children changed most, -1 for none."""
        change = np.abs(np.log((after.chosen + LEAST_CHOSEN) / (before.chosen + LEAST_CHOSEN)))
        forks: list[int] = []
        most: list[float] = []
        for place, above in enumerate(self.above):
            fork, changed = (forks[above], most[above]) if above >= 0 else (-1, 0.0)
            if above in self.is_parallel and (fork < 0 or change[place] > changed):
                fork, changed = above, float(change[place])
            forks.append(fork)
            most.append(changed)
        return forks

    def below(self, place: int) -> set[int]:
        """Return the places below one."""
        found = {place}
        for number, above in enumerate(self.above):
            if above in found:
                found.add(number)
        return found - {place}


def records_of(trees: Forest, rows: Sequence[int], places: Places) -> np.ndarray:
    """Return one row per span below the dimension's spans.

    Columns: number of the dimension's span, place, own ms, queue ms, awaited by the dimension's span, awaited by its
    parent.
    """
    records = []
    for number, top in enumerate(rows):
        at: dict[int, tuple[int, float]] = {trees.parents[top]: (-1, 1.0)}
        for row, own, queue, is_awaited in walk(trees, top):
            above, part = at[trees.parents[row]]
            place = places.number(above, trees, row)
            if not is_awaited:
                places.is_parallel.add(above)
                part = 0.0
            at[row] = (place, part)
            records.append((number, place, own, queue, part, is_awaited))
    return np.array(records)


def sums_of(spans: int, records: np.ndarray, places: Places) -> PlaceSums:
    """Sum the records of ``spans`` spans of the dimension; ``places`` must already contain those of both sides."""
    size = len(places.keys)
    cell = records[:, 0].astype(np.int64) * size + records[:, 1].astype(np.int64)

    def matrix(values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(cell, weights=values, minlength=spans * size).reshape(spans, size).astype(float)

    own, queue, part = records[:, 2], records[:, 3], records[:, 4]
    calls, is_outermost = matrix(), np.array(places.above) < 0
    callers = np.where(is_outermost, 1.0, calls[:, places.above])
    rate, rate_variance = _ratio(calls, callers)
    return PlaceSums(
        calls=calls.mean(axis=0),
        rate=rate,
        # Variance of the logarithm of the rate.
        rate_variance=_divided(rate_variance, rate**2),
        own=Times.of(matrix(own), calls, matrix(own * part)),
        queue=Times.of(matrix(queue), calls, matrix(queue * part)),
        awaited=matrix((own + queue) * part),
        chosen=_ratio(matrix(records[:, 5]), calls)[0],
    )


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _ratio(above: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ratio estimate of each column and its variance (Cochran, Sampling Techniques, 6.4)."""
    ratio = _divided(above.sum(axis=0), below.sum(axis=0))
    residuals = ((above - ratio * below) ** 2).sum(axis=0)
    return ratio, _divided(residuals, below.sum(axis=0) ** 2)


def charges_of(before: PlaceSums, after: PlaceSums, places: Places) -> tuple[list[Charge], np.ndarray]:
    """Return the charges of each place, and the time moved onto or off the path by place, in ms per span."""
    ours = np.array(places.is_ours())
    calls = (before.calls + after.calls) / 2
    charges, moved, weight = [], np.zeros(len(ours)), np.zeros(len(ours))
    for name in ("own", "queue"):
        was, now = getattr(before, name), getattr(after, name)
        old, new = _filled(was, now), _filled(now, was)
        part = (old.part + new.part) / 2
        slower = ours * calls * part * (new.per_call - old.per_call)
        variance = (calls * part) ** 2 * (new.variance + old.variance)
        names = places.own() if name == "own" else places.outside([(QUEUE, key) for key in places.keys])
        charges += [Charge(*at, *row) for at, *row in zip(names, range(len(ours)), slower, variance, strict=True)]
        moved += ours * calls * (old.per_call + new.per_call) / 2 * (new.part - old.part)
        weight += ours * (old.per_call * old.part + new.per_call * new.part) / 2
    often, variance = _called_more(before, after, weight, places.above)
    kinds = [SPAN if kind == OWN else kind for kind in places.kinds]
    names = places.outside(list(zip(kinds, places.keys, strict=True)))
    charges += [Charge(*at, *row) for at, *row in zip(names, range(len(ours)), often, variance, strict=True)]
    return charges, moved


def _filled(times: Times, others: Times) -> Times:
    """Return times with gaps (places without calls) filled from the other side."""
    return Times(
        np.where(times.is_called, times.per_call, others.per_call),
        times.variance,
        np.where(times.per_call > 0, times.part, np.where(others.per_call > 0, others.part, 1.0)),
        times.is_called,
    )


def _called_more(
    before: PlaceSums, after: PlaceSums, weight: np.ndarray, above: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the time added by more calls per call of the parent, everything below included, and its variance.

    Logarithmic mean Divisia decomposition (Ang, The LMDI approach to decomposition analysis, Energy Policy 33, 2005):
    a change of counts is the logarithmic mean times the log ratios of all rates above.
    """
    is_old, is_new = before.calls > 0, after.calls > 0
    stays = is_old & is_new
    old, new = np.where(stays, before.calls, 1.0), np.where(stays, after.calls, 1.0)
    logs = np.log(new / old)
    mean = np.where(np.abs(logs) < 1e-9, old, (new - old) / np.where(logs == 0, 1.0, logs))
    inside = weight * mean * stays
    alone = weight * (after.calls - before.calls) * ~stays
    for place in range(len(above) - 1, 0, -1):
        parent = above[place]
        if parent >= 0:
            inside[parent] += inside[place]
            if not stays[place] and not stays[parent]:
                alone[parent] += alone[place]
                alone[place] = 0.0
    change = np.where(stays, np.log(_divided(after.rate, before.rate) + ~stays), 0.0)
    variance = before.rate_variance + after.rate_variance
    return inside * change + alone, (inside**2 + alone**2) * variance
