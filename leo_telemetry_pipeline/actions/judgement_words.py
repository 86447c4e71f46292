"""Wording of judgements: how a dimension was judged, and by which values.

Belongs here: a judgement in words, for ``why`` and the dashboard. Does not: judging, layout (cli, web).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from leo_telemetry_pipeline.actions import mixed
from leo_telemetry_pipeline.actions.items import allowed, calls_are_slow, milliseconds
from leo_telemetry_pipeline.dimension import DimensionResult, Judgement
from leo_telemetry_pipeline.resolution import is_least
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.runs import Run

OUTCOMES = {
    "ok": "not a bottleneck",
    "bottleneck": "a bottleneck",
    "mix": "not slower: it consists of other work than before",
    "like_whole": "slower, but no more than the other values: the name as a whole is judged",
    "too_few": "not judged: too few spans in the window",
    "no_baseline": "not judged: not enough data to know what is normal",
    "switched_off": "not judged: switched off in telemetry_thresholds",
    "pooled": "not judged: pools the names over the limit of its type",
    "shared": "not judged: several services, or client and server, share this name, and each is judged by itself",
}

# How a learned baseline reached its level.
_MOVED = {
    "settling": ", still settling",
    "improved": ", lowered when work got faster",
    "accepted": ", an accepted level",
    "mixed": ", raised when the mix of work changed",
}


def outcome(result: DimensionResult) -> str:
    """Return what a dimension is: ``a bottleneck: 1 in 4 calls is slow``."""
    of_slow = result.slow_calls and asdict(result.slow_calls)
    return OUTCOMES[result.outcome or "no_baseline"] + (f": {calls_are_slow(of_slow)}" if of_slow else "")


def facts(run: Run, result: DimensionResult) -> list[tuple[str, str]]:
    """Return the values behind a judgement, each with its label; an empty label continues the fact before."""
    window = (
        f"{run.window_start:%Y-%m-%d} to {run.window_end:%Y-%m-%d %H:%M} UTC,"
        f" {result.sample_count} spans ({result.min_samples} needed), P50 {milliseconds(result.p50_ms)},"
        f" P90 {milliseconds(result.p90_ms)}"
    )
    return [("window", window), *_threshold(result), *_mix(result)]


def guards(result: DimensionResult) -> list[tuple[bool, str, str]]:
    """Return the conditions of a bottleneck by a learned baseline: whether it passed, its name, its numbers."""
    if result.learned is None or result.baseline_source == "configured":
        return []
    tail = result.learned.tail.guards if result.learned.tail else ()
    return [
        (guard.passed, of + guard.name.replace("_", " "), guard.says)
        for of, some in (("", result.learned.guards), ("slowest fifth: ", tail))
        for guard in some
    ]


def ahead(expected: Expected) -> str:
    """Return a forecast in words."""
    when = f"in {expected.horizon_days} days"
    if expected.probability is None or expected.low_ms is None or expected.high_ms is None:
        return f"{when}: not forecast, {expected.reason}"
    between = f"{milliseconds(expected.low_ms)} and {milliseconds(expected.high_ms)}"
    return f"{when}: a bottleneck with a probability of {expected.probability:.0%}, P50 between {between}"


def bottleneck_of(output: Mapping[str, Any], dimension_type: str, key: str) -> Mapping[str, Any] | None:
    """Return a dimension's entry in the output of a run, None if it is not a bottleneck."""
    for entry in output.get("bottlenecks") or ():
        if (entry["dimension_type"], entry["dimension_key"]) == (dimension_type, key):
            return entry
    return None


def _threshold(result: DimensionResult) -> Iterator[tuple[str, str]]:
    if result.baseline_p50_ms is None or result.multiplier is None:
        yield "baseline", "none yet"
        return
    most = result.baseline_p50_ms * result.multiplier
    since = ""
    learned = result.learned and result.learned.baseline
    if learned and learned.regime_start and result.baseline_source == "learned":
        since = f" from {learned.regime_days:.0f} days since {learned.regime_start}{_MOVED.get(learned.moved, '')}"
    yield "baseline", f"{milliseconds(result.baseline_p50_ms)}, {result.baseline_source}{since}"
    if not result.slow_calls:
        yield "normal", f"up to {allowed(result.multiplier)} of the baseline: {milliseconds(most)}"
    observed = result.observed_p50_ms if result.observed_p50_ms is not None else result.p50_ms
    onset, least = result.onset_day, result.ratio or 0.0
    if (judged := _judged(result)) and judged.observed_p50_ms is not None and judged.ratio is not None:
        # The level that the guards are about, also if it is not a bottleneck; the P50 of the window is shown above.
        observed, onset, least = judged.observed_p50_ms, judged.onset_day, judged.ratio
    since = f", since {onset}" if onset else ""
    times = allowed(least)
    if is_least(least, observed, result.baseline_p50_ms):
        times = f"at least {times} (P50s are in whole milliseconds)"
    yield "slow calls" if result.slow_calls else "observed", f"{milliseconds(observed)}{since}: {times}"


def _judged(result: DimensionResult) -> Judgement | None:
    return result.learned if result.baseline_source == "learned" and not result.slow_calls else None


def _mix(result: DimensionResult) -> Iterator[tuple[str, str]]:
    if result.learned is None or result.learned.mix is None:
        return
    yield "mix", mixed.line(result.learned.mix)
    for share in result.learned.mix.shares:
        p50s = [value for value in (share.p50_before_ms, share.p50_since_ms) if value is not None]
        yield (
            "",
            (
                f"{share.value}: {share.before:.0%} to {share.since:.0%} of the spans,"
                f" P50 {' to '.join(map(milliseconds, p50s))}"
            ).replace("%", " %"),
        )
