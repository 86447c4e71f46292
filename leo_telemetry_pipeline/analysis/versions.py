"""The first slow version: between which two versions of what ran a step became slow.

Belongs here: which attributes are versions, and whether the order of versions explains the step. Does not: choosing the
spans (the caller).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leo_telemetry_pipeline.analysis.critical_path import mapping, text

# What a span may say about one side: at most this much, since a single outlier proves nothing.
MOST_EVIDENCE = 3.0
# Versions explain the step if they are this much better than none, and at most so much worse than the best moment.
EXPLAINS, TOLERANCE = 8.0, 6.0
# Splits that are so much worse than the best one are ruled out.
RULED_OUT = 4.0
# A version is an attribute of most spans.
LEAST_SHARE = 0.8
# Medians of absolute deviations per standard deviation of normal noise, and the least noise: clocks tick.
_MAD, _LEAST_NOISE = 1.4826, 0.02
_IS_VERSION = re.compile(
    r"(^|[^a-zA-Z])(version|revision|commit|sha|release|build|model)$|[a-z](Version|Revision|Commit|Sha|Release|Build|Model)$"
)
_SHA, _SHOWN_OF_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?"), 12


@dataclass(frozen=True)
class FirstSlow:
    """The last version that was surely fast, the first that is surely slow, and the number of those between them."""

    name: str
    fast: str
    slow: str
    between: int

    def __str__(self) -> str:
        """Say it to people."""
        others = f"; the {self.between} between them may be either" if self.between > 1 else ""
        others = "; the one between them may be either" if self.between == 1 else others
        return f"{self.name} {_short(self.fast)} was fast, {_short(self.slow)} is slow{others}"


def names(attributes: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """Return the sorted names of attributes that are versions and have at least two values."""
    values: dict[str, set[str]] = {}
    for given in attributes:
        for name, value in mapping(given).items():
            if _IS_VERSION.search(name) and (written := text(value)):
                values.setdefault(name, set()).add(written)
    return sorted(name for name, different in values.items() if len(different) > 1)


def first_slow(
    starts: Sequence[float],
    judged_ms: Sequence[float] | np.ndarray,
    attributes: Sequence[Mapping[str, Any] | None],
    before_ms: float,
    since_ms: float,
) -> FirstSlow | None:
    """Return between which versions spans became slow, or None if no version explains it.

    ``starts`` (ms), ``judged_ms`` and ``attributes`` have one entry per span, from before and since the step. The two
    levels are ``before_ms`` and ``since_ms``. Versions are in the order of their first spans. Of several attributes,
    the one that explains best is chosen, then the one that changes most often.
    """
    order = np.argsort(np.asarray(starts, dtype=float), kind="stable")
    ordered = [mapping(attributes[place]) for place in order]
    if not (candidates := names(ordered)):
        return None
    evidence = _evidence(np.asarray(judged_ms, dtype=float)[order], before_ms, since_ms)
    found = []
    for name in candidates:
        values = [text(each.get(name)) for each in ordered]
        has = np.array([value != "" for value in values])
        if has.mean() >= LEAST_SHARE and (best := _split(name, [value for value in values if value], evidence[has])):
            found.append(best)
    return max(found, key=lambda each: each[:2])[-1] if found else None


def _evidence(judged_ms: np.ndarray, before_ms: float, since_ms: float) -> np.ndarray:
    """Return the logarithm of how much likelier each duration is at the slow level than at the fast one."""
    times = np.log(np.maximum(judged_ms, 0.5))
    fast, slow = math.log(max(before_ms, 0.5)), math.log(max(since_ms, 0.5))
    middle = (fast + slow) / 2
    nearest = np.where(times > middle, slow, fast)
    noise = max(float(np.median(np.abs(times - nearest))) * _MAD, _LEAST_NOISE)
    return np.clip((times - middle) * (slow - fast) / noise**2, -MOST_EVIDENCE, MOST_EVIDENCE)


def _split(name: str, values: Sequence[str], evidence: np.ndarray) -> tuple[float, int, FirstSlow] | None:
    """Return how well an attribute explains the step, its number of values, and the versions around the step."""
    versions = list(dict.fromkeys(values))
    if len(versions) < 2:
        return None
    places = {version: place for place, version in enumerate(versions)}
    of_version = np.bincount([places[value] for value in values], weights=evidence)
    # Entry k: versions from k on are slow. Both ends mean that all are alike.
    splits = _sums_from(of_version)
    inner, alike = splits[1:-1], max(float(splits[0]), 0.0)
    best = float(inner.max())
    if best - alike < EXPLAINS or best < float(_sums_from(evidence).max()) - TOLERANCE:
        return None
    possible = np.flatnonzero(inner > best - RULED_OUT) + 1
    fast, slow = int(possible[0]) - 1, int(possible[-1])
    return best, len(versions), FirstSlow(name, versions[fast], versions[slow], slow - fast - 1)


def _sums_from(evidence: np.ndarray) -> np.ndarray:
    return np.append(np.cumsum(evidence[::-1])[::-1], 0.0)


def _short(version: str) -> str:
    return version[:_SHOWN_OF_SHA] if _SHA.fullmatch(version) else version
