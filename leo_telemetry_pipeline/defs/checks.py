"""Asset checks: blocking ones, which end the run as FAILED (CHECK_FAILED) before items are opened, and warnings.

Belongs here: the checks, most of them pure functions of results, and the two steps that run them.
Does not: repairing anything.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from leo_telemetry_pipeline.actions.inert import markdown
from leo_telemetry_pipeline.analysis.bottlenecks import JUDGED, NOT_JUDGED, is_over_threshold
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.bottlenecks import BOTTLENECKS
from leo_telemetry_pipeline.defs.assets.directives import live_directives_have_active_items
from leo_telemetry_pipeline.defs.assets.traces import TRACES
from leo_telemetry_pipeline.defs.names import asset_key
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store import span_totals, spans
from leo_telemetry_pipeline.store.days import DAY, Window, midnight
from leo_telemetry_pipeline.store.dimensions import NOT_BY_DEFAULT
from leo_telemetry_pipeline.store.history.span_counts import SpanCount

MOST_SKEWED = 0.01
MOST_QUARANTINED = 0.01


@dataclass(frozen=True)
class Outcome:
    """Result of a check."""

    passed: bool
    description: str
    metadata: dict[str, Any]


def unmeasured_types(counts: Iterable[SpanCount], judged: Sequence[DimensionResult], failed: list[str]) -> list[str]:
    """Return the span types that have timed spans in the window but no P50."""
    timed = {one.span_type for one in counts if one.timed_spans} - set(NOT_BY_DEFAULT)
    return sorted(timed - {one.dimension_type for one in judged} - set(failed))


def not_above_threshold(judged: Iterable[DimensionResult]) -> list[str]:
    """Return the bottlenecks whose P50 does not exceed baseline times multiplier."""
    return [one.name for one in judged if one.outcome == "bottleneck" and not is_over_threshold(one)]


def uncounted(counts: Iterable[SpanCount], judged: Iterable[DimensionResult], failed: list[str]) -> dict[str, int]:
    """Return how many scanned spans have no outcome, by span type.

    A surplus is not an error: spans that arrive during the analysis are measured although the scan missed them.
    """
    accounted, scanned, nameless = Counter[str](), Counter[str](), 0
    for one in judged:
        if one.outcome in (*JUDGED, *NOT_JUDGED):
            accounted[one.dimension_type] += one.sample_count
        else:
            nameless += 1
    for count in counts:
        if count.span_type not in (*NOT_BY_DEFAULT, *failed):
            scanned[count.span_type] += count.timed_spans
    # Counter subtraction drops counts that are not positive.
    missing = dict(scanned - accounted)
    return missing | ({"dimensions without an outcome": nameless} if nameless else {})


def days_without_spans(counts: Iterable[SpanCount], window: Window) -> list[str]:
    """Return the closed days of the window that have no spans."""
    there = {one.day for one in counts}
    return [day.isoformat() for day in window.closed_days if day not in there]


def _p50s_exist_where_spans_do(analysis: Analysis) -> Outcome:
    """Every span type with timed spans in the window has P50s."""
    broken = unmeasured_types(TRACES.get(analysis), BOTTLENECKS.get(analysis), _failed(analysis))
    summary = f"not measured: {_listed(broken)}" if broken else "every span type was measured"
    return Outcome(not broken, summary, {"not measured": broken})


def _bottlenecks_are_above_their_threshold(analysis: Analysis) -> Outcome:
    """Every bottleneck is above its threshold."""
    broken = not_above_threshold(BOTTLENECKS.get(analysis))
    summary = f"not above: {_listed(broken)}" if broken else "every bottleneck is above its threshold"
    return Outcome(not broken, summary, {"not above": broken})


def _counts_add_up(analysis: Analysis) -> Outcome:
    """Spans scanned = judged + too few + without a baseline + switched off."""
    broken = uncounted(TRACES.get(analysis), BOTTLENECKS.get(analysis), _failed(analysis))
    summary = f"not accounted for: {_counted(broken)}" if broken else "every scanned span is accounted for"
    return Outcome(not broken, summary, {"not accounted for": broken})


def _clocks_agree(analysis: Analysis) -> Outcome:
    """Children lie within their parents, to within a second."""
    window = analysis.window
    if history.method(analysis, TRACES.get(analysis)) == "histogram":
        # With this many spans, one day shows clock skew as well as a week does.
        window = replace(window, start=max(window.start, midnight(window.days[-1] - DAY)))
    outside, children = span_totals.count_skewed(analysis.database, window)
    summary = f"{outside} of {children} child spans lie more than a second outside their parent"
    return Outcome(outside <= MOST_SKEWED * children, summary, {"outside": outside, "children": children})


def _little_is_quarantined(analysis: Analysis) -> Outcome:
    """At most 1 % of the incoming lines were quarantined."""
    quarantined = spans.count_quarantined(analysis.database, analysis.window.start)
    stored = sum(one.spans for one in TRACES.get(analysis))
    summary = f"{quarantined} lines were quarantined and {stored} spans stored: see telemetry_quarantine"
    return Outcome(quarantined <= MOST_QUARANTINED * (stored + quarantined), summary, {"quarantined": quarantined})


def _every_day_has_spans(analysis: Analysis) -> Outcome:
    """Every closed day of the window has spans."""
    empty = days_without_spans(TRACES.get(analysis), analysis.window)
    return Outcome(not empty, f"days without spans: {', '.join(empty) or 'none'}", {"empty days": len(empty)})


def _failed(analysis: Analysis) -> list[str]:
    return [error["dimension_type"] for error in analysis.errors]


def _listed(names: Iterable[str]) -> str:
    # The UI renders descriptions as Markdown.
    return ", ".join(map(markdown, names))


def _counted(spans: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {markdown(name)}" for name, count in spans.items())


def _step(asset: str, *checks: Callable[[Analysis], Outcome], blocking: bool) -> dg.AssetChecksDefinition:
    """Combine the checks of an asset in one step, because a step's overhead exceeds the time of all checks."""
    by_name = {check.__name__.removeprefix("_"): check for check in checks}
    specs = [
        dg.AssetCheckSpec(name, asset=asset_key(asset), description=check.__doc__, blocking=blocking)
        for name, check in by_name.items()
    ]
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN

    @dg.multi_asset_check(name=f"{asset}_checks", specs=specs, can_subset=True)
    def step(
        context: dg.AssetCheckExecutionContext, analysis: dg.ResourceParam[Analysis]
    ) -> Iterator[dg.AssetCheckResult]:
        for key in context.selected_asset_check_keys:
            outcome = by_name[key.name](analysis)
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=outcome.passed,
                severity=severity,
                description=outcome.description,
                metadata=outcome.metadata,
            )

    return step


all_checks = [
    _step(
        BOTTLENECKS.asset,
        _p50s_exist_where_spans_do,
        _bottlenecks_are_above_their_threshold,
        _counts_add_up,
        blocking=True,
    ),
    _step(TRACES.asset, _clocks_agree, _little_is_quarantined, _every_day_has_spans, blocking=False),
    live_directives_have_active_items,
]
