"""What must hold before items are made, and what people should be warned of.

Belongs here: the checks, each a pure function of frames or counts beside the check that runs it.
Does not: repairing anything. A blocking check that fails ends the run as FAILED (CHECK_FAILED).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import dagster as dg
import pandas as pd

from leo_telemetry_pipeline.actions.inert import markdown
from leo_telemetry_pipeline.analysis.bottlenecks import JUDGED, NOT_JUDGED, is_above
from leo_telemetry_pipeline.defs import history
from leo_telemetry_pipeline.defs.assets import bottlenecks, workflow_traces
from leo_telemetry_pipeline.defs.names import asset_key
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.store import measure, spans
from leo_telemetry_pipeline.store.days import DAY, Window, midnight
from leo_telemetry_pipeline.store.dimensions import NOT_BY_DEFAULT

MOST_SKEWED = 0.01
MOST_QUARANTINED = 0.01


def unmeasured_types(traces: pd.DataFrame, judged: pd.DataFrame, failed: list[str]) -> list[str]:
    """Return the span types that have timed spans in the window and no P50."""
    timed = set(traces.loc[traces["timed_spans"] > 0, "span_type"]) - set(NOT_BY_DEFAULT)
    return sorted(timed - set(judged["dimension_type"]) - set(failed))


def not_above_threshold(judged: pd.DataFrame) -> list[str]:
    """Return the bottlenecks whose P50 is not over baseline times multiplier."""
    found = judged[judged["outcome"] == "bottleneck"]
    wrong = found[~is_above(found["observed_p50_ms"], found["baseline_p50_ms"], found["multiplier"])]
    return [f"{a}:{b}" for a, b in zip(wrong["dimension_type"], wrong["dimension_key"], strict=True)]


def uncounted(traces: pd.DataFrame, judged: pd.DataFrame, failed: list[str]) -> dict[str, int]:
    """Return span types of which fewer spans were judged, too few or switched off than were scanned.

    More are no error: spans that arrive while the analysis runs are measured though the scan missed them.
    """
    known = judged.loc[judged["outcome"].isin((*JUDGED, *NOT_JUDGED))]
    accounted, scanned = Counter[str](), Counter[str]()
    for name, spans_judged in zip(known["dimension_type"], known["sample_count"], strict=True):
        accounted[name] += int(spans_judged)
    for name, spans_timed in zip(traces["span_type"], traces["timed_spans"], strict=True):
        if name not in (*NOT_BY_DEFAULT, *failed):
            scanned[name] += int(spans_timed)
    # What is left of the scanned ones; Counter keeps what is above zero.
    missing = dict(scanned - accounted)
    nameless = len(judged) - len(known)
    return missing | ({"dimensions without an outcome": nameless} if nameless else {})


def days_without_spans(traces: pd.DataFrame, window: Window) -> list[str]:
    """Return the closed days of the window that have no spans."""
    days = pd.date_range(window.start.date(), window.end.date(), inclusive="left")
    return [f"{day:%Y-%m-%d}" for day in days if day not in set(traces["day"])]


def _failed(analysis: Analysis) -> list[str]:
    return [error["dimension_type"] for error in analysis.errors]


def _listed(names: Iterable[str]) -> str:
    # The UI reads descriptions as Markdown.
    return ", ".join(map(markdown, names))


def _counted(spans: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {markdown(name)}" for name, count in spans.items())


def _said(broken: object, good: str, bad: str) -> str:
    return bad if broken else good


@dg.asset_check(
    asset=bottlenecks,
    blocking=True,
    additional_ins={"traces": dg.AssetIn(asset_key("workflow_traces"))},
    description="Every span type with timed spans in the window has P50s.",
)
def p50s_exist_where_spans_do(
    bottlenecks: pd.DataFrame, traces: pd.DataFrame, analysis: dg.ResourceParam[Analysis]
) -> dg.AssetCheckResult:
    """Fail when a span type was not measured."""
    broken = unmeasured_types(traces, bottlenecks, _failed(analysis))
    said = _said(broken, "every span type was measured", f"not measured: {_listed(broken)}")
    return dg.AssetCheckResult(passed=not broken, description=said, metadata={"not measured": broken})


@dg.asset_check(asset=bottlenecks, blocking=True, description="Every bottleneck lies above its threshold.")
def bottlenecks_are_above_their_threshold(bottlenecks: pd.DataFrame) -> dg.AssetCheckResult:
    """Fail when something is called a bottleneck that is none."""
    broken = not_above_threshold(bottlenecks)
    said = _said(broken, "every bottleneck is above its threshold", f"not above: {_listed(broken)}")
    return dg.AssetCheckResult(passed=not broken, description=said, metadata={"not above": broken})


@dg.asset_check(
    asset=bottlenecks,
    blocking=True,
    additional_ins={"traces": dg.AssetIn(asset_key("workflow_traces"))},
    description="Spans scanned = judged + too few + without a baseline + switched off.",
)
def counts_add_up(
    bottlenecks: pd.DataFrame, traces: pd.DataFrame, analysis: dg.ResourceParam[Analysis]
) -> dg.AssetCheckResult:
    """Fail when spans were lost on the way."""
    broken = uncounted(traces, bottlenecks, _failed(analysis))
    said = _said(broken, "every scanned span is accounted for", f"not accounted for: {_counted(broken)}")
    return dg.AssetCheckResult(passed=not broken, description=said, metadata={"not accounted for": broken})


@dg.asset_check(asset=workflow_traces, description="Children lie within their parents, give or take a second.")
def clocks_agree(workflow_traces: pd.DataFrame, analysis: dg.ResourceParam[Analysis]) -> dg.AssetCheckResult:
    """Warn when clocks of different machines disagree."""
    window = analysis.window
    if history.method(analysis, workflow_traces) == "histogram":
        # Clocks that disagree show in a day of very many spans as well as in a week of them.
        window = replace(window, start=max(window.start, midnight(window.days[-1] - DAY)))
    outside, children = measure.count_skewed(analysis.database, window)
    return _warn(
        outside <= MOST_SKEWED * children,
        f"{outside} of {children} child spans lie outside their parent by over a second",
        {"outside": outside, "children": children},
    )


@dg.asset_check(asset=workflow_traces, description="At most 1 % of what came in was put into quarantine.")
def little_is_quarantined(workflow_traces: pd.DataFrame, analysis: dg.ResourceParam[Analysis]) -> dg.AssetCheckResult:
    """Warn when input is being lost to quarantine."""
    put_aside = spans.count_quarantined(analysis.database, analysis.window.start)
    stored = int(workflow_traces["spans"].to_numpy().sum())
    return _warn(
        put_aside <= MOST_QUARANTINED * (stored + put_aside),
        f"{put_aside} lines are in quarantine, beside {stored} spans stored: see telemetry_quarantine",
        {"quarantined": put_aside},
    )


@dg.asset_check(asset=workflow_traces, description="Every closed day of the window has spans.")
def every_day_has_spans(workflow_traces: pd.DataFrame, analysis: dg.ResourceParam[Analysis]) -> dg.AssetCheckResult:
    """Warn when collection seems to have stopped for a day."""
    empty = days_without_spans(workflow_traces, analysis.window)
    return _warn(not empty, f"days without spans: {', '.join(empty) or 'none'}", {"empty days": len(empty)})


def _warn(passed: bool, description: str, metadata: dict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed, severity=dg.AssetCheckSeverity.WARN, description=description, metadata=metadata
    )


all_checks = [
    p50s_exist_where_spans_do,
    bottlenecks_are_above_their_threshold,
    counts_add_up,
    clocks_agree,
    little_is_quarantined,
    every_day_has_spans,
]
