"""Bottlenecks: dimensions over their threshold.

Belongs here: the rule that judges a P50 by its baseline, and the order of bottlenecks.
Does not: storing thresholds (store.thresholds), acting on a bottleneck (actions).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from leo_telemetry_pipeline.dimension import (
    OTHER_KEYS,
    Bottleneck,
    Dimension,
    DimensionResult,
    Judgement,
    Threshold,
)
from leo_telemetry_pipeline.resolution import WHOLE_MS
from leo_telemetry_pipeline.slow_calls import SlowCalls

# Multiplier of a configured baseline without one.
DEFAULT_MULTIPLIER = 2.0
# Baselines are learned from this many days up to the end of the window.
HISTORY_DAYS = 90

# 100 * 1.15 is 114.99999999999999 in floating point.
ROUNDING = 1 + 1e-12

# From this share of slow calls on, a slow P50 says more.
MINORITY = 0.4

JUDGED = ("ok", "bottleneck", "mix", "like_whole")
NOT_JUDGED = ("too_few", "no_baseline", "switched_off", "pooled", "shared")


def judge(
    measured: Iterable[DimensionResult],
    thresholds: Iterable[Threshold],
    learned: Iterable[Judgement],
    default_min_samples: int,
    shared: Collection[Dimension] = (),
) -> list[DimensionResult]:
    """Judge every measured dimension; the outcome is one of JUDGED or NOT_JUDGED.

    A configured baseline takes precedence over the learned judgement, with a multiplier of 2.0 by default. A learned
    baseline is compared with the P50 since the onset, or, without a bottleneck, with the P50 of the window. If a
    minority of the calls is slow by the learned judgement, the P50 of these is compared. Dimensions in ``shared`` are
    not judged, since their parts (one per service or kind) are.
    """
    configured = {threshold.dimension: threshold for threshold in thresholds}
    by_history = {judgement.dimension: judgement for judgement in learned}
    judged = []
    for one in measured:
        name = one.dimension
        threshold = configured.get(name) or Threshold(*name)
        result = _judged(one, threshold, by_history.get(name), default_min_samples)
        judged.append(replace(result, outcome="shared") if name in shared else result)
    return judged


def _judged(
    one: DimensionResult, threshold: Threshold, own: Judgement | None, default_min_samples: int
) -> DimensionResult:
    is_configured = threshold.baseline_source == "configured"
    outcome = own.outcome if own and not is_configured else None
    decides = own if outcome in JUDGED else None
    slow_calls = minority(own) if own and not is_configured else None
    slower = own.tail if own and slow_calls else own if outcome in ("bottleneck", "mix", "like_whole") else None
    learned_p50_ms = decides.baseline.p50_ms if decides and decides.baseline else None
    baseline_p50_ms = threshold.baseline_p50_ms if is_configured else learned_p50_ms
    observed_p50_ms = slow_calls.p50_ms if slow_calls else slower.observed_p50_ms if slower else one.p50_ms
    multiplier = threshold.multiplier if is_configured else own.multiplier if own else None
    multiplier = DEFAULT_MULTIPLIER if multiplier is None else multiplier
    min_samples = default_min_samples if threshold.min_samples is None else threshold.min_samples
    if one.dimension_key == OTHER_KEYS:
        outcome = "pooled"
    elif not threshold.is_active:
        outcome = "switched_off"
    elif one.sample_count < min_samples:
        outcome = "too_few"
    elif baseline_p50_ms is None or observed_p50_ms is None:
        outcome = "no_baseline"
    elif (is_configured or slower) and is_above(observed_p50_ms, baseline_p50_ms, multiplier):
        outcome = slower.outcome if slower else "bottleneck"
    else:
        outcome = "ok"
    return replace(
        one,
        observed_p50_ms=observed_p50_ms,
        baseline_p50_ms=baseline_p50_ms,
        baseline_source="configured" if is_configured else "learned" if decides else None,
        multiplier=multiplier,
        min_samples=min_samples,
        outcome=outcome,
        # The P50 of the window is in whole ms; the P50 since the onset has the resolution of its days.
        resolution_ms=slower.resolution_ms if slower else WHOLE_MS if decides else None,
        onset_day=slower.onset_day if slower else None,
        p_value=slower.p_value if slower else None,
        slow_calls=slow_calls if outcome == "bottleneck" else None,
    )


def minority(judged: Judgement) -> SlowCalls | None:
    """Return the slow calls of a dimension if its tail is slow, and they are few or its P50 is not slow."""
    slow = judged.tail.slow_calls if judged.tail and judged.tail.outcome == "bottleneck" else None
    is_main_finding = judged.outcome == "ok" or (
        judged.outcome == "bottleneck" and slow is not None and slow.share < MINORITY
    )
    return slow if is_main_finding else None


def is_over_threshold(one: DimensionResult) -> bool:
    """Return whether the observed P50 of a dimension is over its threshold."""
    observed, baseline, multiplier = one.observed_p50_ms, one.baseline_p50_ms, one.multiplier
    if observed is None or baseline is None or multiplier is None:
        return False
    return is_above(observed, baseline, multiplier)


def is_above(p50_ms: float, baseline_p50_ms: float, multiplier: float) -> bool:
    """Return whether a P50 is strictly over baseline times multiplier."""
    return p50_ms > baseline_p50_ms * multiplier * ROUNDING


def worst_first(judged: Iterable[DimensionResult]) -> list[DimensionResult]:
    """Sort by ratio, then P50, descending; ties by name, so that output is reproducible."""
    return sorted(judged, key=lambda one: (one.ratio is None, -(one.ratio or 0.0), -one.p50_ms, one.dimension))


def found(judged: Iterable[DimensionResult]) -> list[Bottleneck]:
    """Return the bottlenecks, worst first."""
    return [_bottleneck(one) for one in worst_first(one for one in judged if one.outcome == "bottleneck")]


def _bottleneck(one: DimensionResult) -> Bottleneck:
    # The blocking check ``not_above_threshold`` rejects bottlenecks without these.
    assert one.observed_p50_ms is not None
    assert one.baseline_p50_ms is not None
    assert one.multiplier is not None
    return Bottleneck(
        *one.dimension,
        one.observed_p50_ms,
        one.baseline_p50_ms,
        one.baseline_source,
        one.multiplier,
        one.sample_count,
        one.evidence_trace_ids or [],
        one.onset_day,
        one.p_value,
        resolution_ms=one.resolution_ms or 0.0,
        slow_calls=one.slow_calls,
    )


def count_outcomes(judged: Sequence[DimensionResult]) -> dict[str, int]:
    """Return the number of dimensions per outcome, zeros included."""
    counted = Counter(one.outcome for one in judged)
    return {outcome: counted[outcome] for outcome in (*JUDGED, *NOT_JUDGED)}


def lacking(judged: Iterable[DimensionResult], learned: Iterable[Judgement]) -> str | None:
    """Return what the largest dimension without a baseline lacks, such as ``9 days with spans, 14 are needed``."""
    failed = {own.dimension: guard.says for own in learned for guard in own.guards if not guard.passed}
    waiting = [one for one in judged if one.outcome == "no_baseline" and one.dimension in failed]
    largest = max(waiting, key=lambda one: (one.sample_count, one.dimension), default=None)
    return failed[largest.dimension] if largest else None
