"""Learned baselines: the normal level of a dimension, from its own days.

Belongs here: choosing a baseline and its multiplier, and when it may move. Does not: finding changes (changes),
judging by a baseline (judgement), storing it (store).

A regression does not become normal by waiting: a baseline moves down when the dimension improved, and up only after
its item was resolved or the level accepted, or two weeks after its mix changed. A new baseline rests on the first 28
days of its level, and then follows a stable level only (references).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from leo_telemetry_pipeline.analysis import references, tails
from leo_telemetry_pipeline.analysis.changes import RATIO_LEAST, ChangePoint, date_of, day_number
from leo_telemetry_pipeline.analysis.levels import (
    ACCEPTED_LEAST,
    DAYS_LEAST,
    LAST_MIX,
    LEVEL_LEAST,
    MIXED_SINCE,
    SETTLED_DAYS,
    Days,
    History,
    days_by_level,
    settled,
    start_of,
)
from leo_telemetry_pipeline.analysis.references import Reference
from leo_telemetry_pipeline.dimension import Baseline, Dimension
from leo_telemetry_pipeline.resolution import least_ratio

MULTIPLIER_LEAST = 1.15
MULTIPLIER_ERRORS = 3.0
MULTIPLIER_DAYS = 7
NOISE_DISMISSED = 1.1


def learn(
    days: Days, changed: Mapping[Dimension, Sequence[ChangePoint]], kept: Iterable[Baseline]
) -> dict[Dimension, Baseline]:
    """Return the baselines by dimension, sorted; ``kept`` are the previous ones."""
    before = {baseline.dimension: baseline for baseline in kept}
    learned = {}
    for history in days.histories:
        of_dimension = before.pop(history.name, None)
        baseline = of_history(history, changed.get(history.name, ()), of_dimension)
        if baseline:
            baseline = tails.with_tail(history, baseline, of_dimension)
            learned[history.name] = _with_last_mix(baseline, of_dimension)
    learned |= {name: _as_kept(baseline) for name, baseline in before.items()}
    return dict(sorted(learned.items()))


def of_history(history: History, changed: Sequence[ChangePoint], kept: Baseline | None) -> Baseline | None:
    """Return the baseline of one dimension, or None without enough data for an initial one."""
    parts = days_by_level(history, changed)
    if kept and not references.is_kept(kept):
        kept = _with_reference(history, changed, kept)
    if kept is None:
        first = _first(parts) if len(history.days) >= DAYS_LEAST else None
        return None if first is None else _learned(history, first[:SETTLED_DAYS], "learned", 0)
    last = parts[-1]
    is_later = len(last) > 0 and len(changed) > 0 and int(history.days[last[0]]) > start_of(kept)
    if is_later and len(last) >= ACCEPTED_LEAST and _is_accepted(history, parts, kept):
        return _learned(history, last[:SETTLED_DAYS], "accepted", kept.noise_dismissals)
    if (since := tails.accepted(history, kept)) is not None:
        return _learned(history, since, "accepted", kept.noise_dismissals)
    if len(mixed := _since_mixed(history, kept)) >= DAYS_LEAST:
        return _learned(history, mixed[:SETTLED_DAYS], "mixed", kept.noise_dismissals)
    if moved := _moved_by(history, kept, last, is_later=is_later):
        return _learned(history, last[:SETTLED_DAYS], moved, kept.noise_dismissals)
    base = settled(history, changed, kept)
    if kept.regime_days < SETTLED_DAYS and len(base) > kept.regime_days:
        again = _learned(history, base, "settling", kept.noise_dismissals)
        return replace(again, regime_start=kept.regime_start)
    return _forward(history, _as_kept(kept), references.of(kept))


def _is_accepted(history: History, parts: list[np.ndarray], kept: Baseline) -> bool:
    """Return whether a person accepted the present rise: one that began later, after a recovery, is another."""
    normal, resolution_ms = float(np.exp(references.of(kept).p50)), max(history.resolution_ms, kept.resolution_ms)
    risen = None
    for part in reversed(parts):
        if not len(part) or least_ratio(float(np.exp(history.level(part))), normal, resolution_ms) <= RATIO_LEAST:
            break
        risen = date_of(int(history.days[part[0]]))
    return kept.accepted_on is not None and risen is not None and risen <= kept.accepted_on


def _with_reference(history: History, changed: Sequence[ChangePoint], kept: Baseline) -> Baseline | None:
    """Return a baseline of version 0001 with the reference that it lacks; None if its days have left the history."""
    base = settled(history, changed, kept)
    if len(base) < LEVEL_LEAST:
        return None
    return replace(kept, evidence=_learned(history, base, kept.moved, kept.noise_dismissals).evidence)


def multiplier(reference: Reference, noise_dismissals: int = 0) -> float:
    """Return three standard errors of a level of seven days as a ratio, at least 1.15.

    Each item of the dimension dismissed as noise raises it by 10 %.
    """
    days = np.array([MULTIPLIER_DAYS])
    error = reference.sigma * reference.errors(days, days)[0]
    return float(max(MULTIPLIER_LEAST, np.exp(MULTIPLIER_ERRORS * error)) * NOISE_DISMISSED**noise_dismissals)


def _first(parts: list[np.ndarray]) -> np.ndarray | None:
    """Return the days of the initial baseline: the last level of at least two weeks, else the first of at least one."""
    long = [part for part in parts if len(part) >= DAYS_LEAST]
    short = [part for part in parts if len(part) >= LEVEL_LEAST]
    return long[-1] if long else short[0] if short else None


def _learned(history: History, at: np.ndarray, moved: str, noise_dismissals: int) -> Baseline:
    first, last = (date_of(int(history.days[place])) for place in (at[0], at[-1]))
    evidence = {
        "days": len(at),
        "spans": int(history.counts[at].sum()),
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "noise_dismissals": noise_dismissals,
        "moved": moved,
        "resolution_ms": history.resolution_ms,
    }
    reference = references.first(history, at)
    return _forward(history, Baseline(*history.name, history.p50_ms(at), 1.0, first, len(at), evidence), reference)


def _forward(history: History, baseline: Baseline, reference: Reference) -> Baseline:
    """Return the baseline with its reference moved forward along its level."""
    moved = references.forward(history, reference)
    return replace(
        baseline,
        p50_ms=baseline.p50_ms * float(np.exp(moved.level - reference.level)),
        multiplier=multiplier(moved, baseline.noise_dismissals),
        evidence={**baseline.evidence, "reference": moved.as_json()},
    )


def _since_mixed(history: History, kept: Baseline) -> np.ndarray:
    """Return the indices of the days since the mix of work is another one; none if it is the same."""
    since = kept.evidence.get(MIXED_SINCE)
    return np.flatnonzero(history.days >= day_number(date.fromisoformat(since)) if since else [])


def _moved_by(history: History, kept: Baseline, last: np.ndarray, *, is_later: bool) -> str | None:
    """Return why the last level replaces the normal one: improved, or the same at a finer resolution; else None."""
    if len(last) < DAYS_LEAST:
        return None
    level, normal = float(np.exp(history.level(last))), float(np.exp(references.of(kept).p50))
    ratio = least_ratio(level, normal, max(history.resolution_ms, kept.resolution_ms))
    if is_later and ratio < 1 / RATIO_LEAST:
        return "improved"
    is_finer = history.resolution_ms < kept.resolution_ms
    return "settling" if is_finer and abs(np.log(ratio)) < np.log(RATIO_LEAST) else None


def _with_last_mix(baseline: Baseline, kept: Baseline | None) -> Baseline:
    if kept is None or LAST_MIX not in kept.evidence:
        return baseline
    return replace(baseline, evidence={**baseline.evidence, LAST_MIX: kept.evidence[LAST_MIX]})


def _as_kept(kept: Baseline) -> Baseline:
    return replace(kept, evidence={**kept.evidence, "moved": "kept"})
