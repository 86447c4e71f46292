"""Made-up releases around a step: spans of one dimension, with versions that explain the step or do not.

Belongs here: the cases. Does not: judging them (bench_versions).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks import series

DAYS, DAY_MS = 28, 86_400_000
# Spans of the last release before a step that is not one, and of the next release after it.
FAR = 6


@dataclass(frozen=True)
class Case:
    """Spans in order of time: starts and durations in ms, and versions; ``slow_from``: the first slow version."""

    starts: np.ndarray
    judged_ms: np.ndarray
    versions: tuple[str, ...]
    before_ms: float
    since_ms: float
    slow_from: str | None


def released(rng: np.random.Generator) -> Case:
    """Return a step with a release that all runs have at once."""
    return _planned(rng, _releases(rng))


def rolled_out(rng: np.random.Generator) -> Case:
    """Return a step with a release that more and more runs have, over one to three days."""
    return _planned(rng, _releases(rng), over=DAY_MS * rng.uniform(1, 3))


def committed(rng: np.random.Generator) -> Case:
    """Return a step with a commit; each commit has one to four spans."""
    starts = _starts(rng)
    commits = np.repeat(np.arange(len(starts)), rng.integers(1, 5, len(starts)))[: len(starts)]
    slow_from = commits[_middle(rng, len(starts))]
    return _case(rng, starts, commits, commits >= slow_from, int(slow_from))


def replaced(rng: np.random.Generator) -> Case:
    """Return a step with a slower model, which replaces the only other one."""
    starts = _starts(rng)
    step = _middle(rng, len(starts))
    is_new = np.arange(len(starts)) >= step
    return _case(rng, starts, is_new.astype(int), is_new, 1)


def beside_releases(rng: np.random.Generator) -> Case:
    """Return a step in the middle of a version's life."""
    starts = _starts(rng)
    step = _middle(rng, len(starts))
    versions = np.searchsorted(_releases(rng, starts[[max(step - FAR, 0), step + FAR]]), starts, side="right")
    return _case(rng, starts, versions, np.arange(len(starts)) >= step, None)


def of_all_versions(rng: np.random.Generator) -> Case:
    """Return a step that hits all versions in use at once: an old one, and a new one that half of the runs have."""
    starts = _starts(rng)
    step = _middle(rng, len(starts))
    is_used = np.arange(len(starts)) >= step - rng.integers(FAR, 3 * FAR)
    versions = np.where(is_used & (rng.random(len(starts)) < 0.5), 1, 0)
    return _case(rng, starts, versions, np.arange(len(starts)) >= step, None)


def of_one_version(rng: np.random.Generator) -> Case:
    """Return a step without any release."""
    starts = _starts(rng)
    is_slow = np.arange(len(starts)) >= _middle(rng, len(starts))
    return _case(rng, starts, np.zeros(len(starts), dtype=int), is_slow, None)


EXPLAINED: dict[str, Callable[[np.random.Generator], Case]] = {
    "a release": released,
    "a gradual release": rolled_out,
    "a commit": committed,
    "a new model": replaced,
}
UNEXPLAINED: dict[str, Callable[[np.random.Generator], Case]] = {
    "between releases": beside_releases,
    "in all versions": of_all_versions,
    "in the only version": of_one_version,
}


def _starts(rng: np.random.Generator) -> np.ndarray:
    """Return when spans start: 5 to 30 a day, at random times."""
    spans = DAYS * int(rng.integers(5, 31))
    return np.sort(rng.integers(0, DAYS * DAY_MS, spans)).astype(float)


def _middle(rng: np.random.Generator, spans: int) -> int:
    return int(rng.integers(spans * 4 // 10, spans * 7 // 10))


def _releases(rng: np.random.Generator, without: np.ndarray | None = None) -> np.ndarray:
    """Return when releases are made, every one to eight days, none of them between two moments."""
    moments = np.cumsum(rng.uniform(1, 8, DAYS)) * DAY_MS
    if without is None:
        return moments
    return moments[(moments < without[0]) | (moments > without[1])]


def _planned(rng: np.random.Generator, releases: np.ndarray, over: float = 0.0) -> Case:
    starts = _starts(rng)
    # Each run takes a release up to ``over`` ms late.
    versions = np.searchsorted(releases, starts - over * rng.random(len(starts)), side="right")
    slow_from = int(versions[_middle(rng, len(starts))])
    if slow_from == versions.min():
        return _planned(rng, releases, over)
    return _case(rng, starts, versions, versions >= slow_from, slow_from)


def _case(
    rng: np.random.Generator, starts: np.ndarray, versions: np.ndarray, is_slow: np.ndarray, slow_from: int | None
) -> Case:
    family = series.FAMILIES[str(rng.choice(list(series.FAMILIES)))]
    before, ratio = float(np.exp(rng.uniform(4, 11))), float(rng.choice([1.5, 2.0, 3.0]))
    times = before * family(rng, 1, len(starts))[0] * np.where(is_slow, ratio, 1.0)
    medians = (float(np.median(times[~is_slow])), float(np.median(times[is_slow])))
    named = tuple(f"1.{version}" for version in versions)
    return Case(starts, times, named, *medians, None if slow_from is None else f"1.{slow_from}")
