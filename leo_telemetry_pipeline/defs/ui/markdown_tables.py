"""Markdown tables of the asset pages, and one bar chart.

Belongs here: formatting results as text that Dagster shows. Does not: computing numbers, trend charts (charts).
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from leo_telemetry_pipeline.actions.inert import markdown, xml
from leo_telemetry_pipeline.actions.items import calls_are_slow, duration, milliseconds, ratio
from leo_telemetry_pipeline.analysis.bottlenecks import JUDGED, worst_first
from leo_telemetry_pipeline.dimension import Dimension, DimensionResult, ExplainedCause, Suggestion
from leo_telemetry_pipeline.resolution import is_least
from leo_telemetry_pipeline.store.history.span_counts import SpanCount

if TYPE_CHECKING:
    from leo_telemetry_pipeline.actions.impact import Resolution
    from leo_telemetry_pipeline.analysis.backtest import Bin, Score
    from leo_telemetry_pipeline.analysis.changes import ChangePoint
    from leo_telemetry_pipeline.analysis.compare import Comparison, Estimate
    from leo_telemetry_pipeline.analysis.forecast import Forecast
    from leo_telemetry_pipeline.analysis.trends import DimensionChanges
    from leo_telemetry_pipeline.store.directives import Directive

ROWS = 10
# Span types with a column of their own; the others share one, as their number is unbounded.
COLUMNS = 8
# Prevents a line break within a table cell.
_NO_BREAK = "\N{NO-BREAK SPACE}"


def worst_table(judged: Iterable[DimensionResult]) -> str:
    """Tabulate the dimensions with the highest ratio, worst first."""
    lines = [
        "| dimension | observed P50 | baseline | from | ratio | allowed | spans |",
        "|---|--:|--:|---|--:|--:|--:|",
    ]
    for one in _worst(judged):
        mark = "**" if one.outcome == "bottleneck" else ""
        times = (milliseconds(one.observed_p50_ms or 0), milliseconds(one.baseline_p50_ms or 0), one.baseline_source)
        cells = (*times, ratio(one.ratio or 0), ratio(one.multiplier or 0), str(one.sample_count))
        of_slow = f": {calls_are_slow(asdict(one.slow_calls))}" if one.slow_calls else ""
        lines.append(f"| {mark}{markdown(one.name)}{mark}{of_slow} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) if len(lines) > 2 else "No dimension could be judged yet."


def _worst(judged: Iterable[DimensionResult]) -> list[DimensionResult]:
    return worst_first([one for one in judged if one.outcome in JUDGED])[:ROWS]


def p50_table(measured: pd.DataFrame) -> str:
    """Tabulate the dimensions with the highest medians."""
    lines = ["| dimension | spans | P50 | P90 | P99 |", "|---|--:|--:|--:|--:|"]
    longest = measured.sort_values(["p50_ms", "dimension_key"], ascending=[False, True]).head(ROWS)
    for row in longest.to_dict("records"):
        times = " | ".join(milliseconds(row[name]) for name in ("p50_ms", "p90_ms", "p99_ms"))
        name = markdown(f"{row['dimension_type']}:{row['dimension_key']}")
        lines.append(f"| {name} | {row['sample_count']} | {times} |")
    return "\n".join(lines) if len(lines) > 2 else "No spans of this type in the window."


def change_table(changes: "Mapping[Dimension, Sequence[ChangePoint]]") -> str:
    """Tabulate the latest level changes, newest first."""
    lines = ["| dimension | since | onset between | before | after | |", "|---|---|---|--:|--:|--:|"]
    every = [(dimension, one) for dimension, found in changes.items() for one in found]
    for dimension, one in sorted(every, key=lambda each: (-each[1].at, -each[1].score))[:ROWS]:
        between = f"{one.onset_from} and {one.onset_to}"
        times = f"{milliseconds(one.before)} | {milliseconds(one.after)} | {_times(one)}"
        lines.append(f"| {markdown(':'.join(dimension))} | {one.onset} | {between} | {times} |")
    return "\n".join(lines) if len(lines) > 2 else "No dimension has changed its level."


def dimension_change_table(names: Sequence[str], changed: "Sequence[DimensionChanges]") -> str:
    """Tabulate the last changes of time and of volume of each dimension that has any."""
    lines = [
        "| dimension | time | since | confidence | spans per day | since | confidence |",
        "|---|--:|---|--:|--:|---|--:|",
    ]
    for name, of in zip(names, changed, strict=True):
        if of.time or of.volume:
            both = (*_last_change(of.time, milliseconds), *_last_change(of.volume, lambda value: f"{value:.0f}"))
            lines.append(f"| {markdown(name)} | {' | '.join(both)} |")
    return "\n".join(lines) if len(lines) > 2 else "Neither time nor volume of these dimensions has changed."


def _last_change(changed: "Sequence[ChangePoint]", write: Callable[[float], str]) -> tuple[str, str, str]:
    if not changed:
        return "steady", "", ""
    last = changed[-1]
    about = "" if last.onset_from == last.onset_to else f" ({last.onset_from:%m-%d} to {last.onset_to:%m-%d})"
    size = f"{write(last.before)} to {write(last.after)} ({_times(last)})".replace(" ", _NO_BREAK)
    return size, f"{last.onset}{about}", _confidence(last.confidence)


def _times(change: "ChangePoint") -> str:
    return f"{'at least ' * is_least(change.ratio, change.after, change.before)}{change.ratio:.2f}x"


def comparison_table(found: "Sequence[tuple[str, Comparison]]", days: str) -> str:
    """Tabulate comparisons of B with A, one line per percentile, with 95 % intervals; ``days`` describes the windows.

    ``found``: each pair in words, and its comparison.
    """
    lines = [days, "", "| B | | A | B | B - A (95 %) | B / A (95 %) | B is |", "|---|---|--:|--:|--:|--:|---|"]
    for pair, of in found:
        for name, one in ((pair, of.p50), ("", of.p90)):
            times = (milliseconds(one.a_ms), milliseconds(one.b_ms))
            more = (_estimate(one.difference_ms, _more), _estimate(one.ratio, lambda value: f"{value:.2f}x"))
            cells = (markdown(name), f"P{one.quantile * 100:.0f}", *times, *more, one.verdict.replace(" ", _NO_BREAK))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) if found else "Nothing to compare yet."


def _estimate(of: "Estimate", write: Callable[[float], str]) -> str:
    if of.value is None:
        return "-"
    if of.low is None or of.high is None:
        return write(of.value)
    return f"{write(of.value)} ({write(of.low)} to {write(of.high)})"


def _more(value: float) -> str:
    return ("-" if milliseconds(abs(value)) != "0ms" and value < 0 else "+") + milliseconds(abs(value))


def _confidence(confidence: float) -> str:
    return (f"{confidence * 100:.1f} %" if confidence < 0.999 else "over 99.9 %").replace(" ", _NO_BREAK)


def cause_table(causes: Sequence[ExplainedCause]) -> str:
    """Tabulate each cause, where its added time goes, and how many other dimensions it slows down."""
    lines = ["| cause | added time | more common in slow spans | also slowed down |", "|---|---|---|--:|"]
    for cause in causes[:ROWS]:
        name = f"{cause.name} ({cause.value})" if cause.value else cause.name
        cells = (name, cause.why or "unknown", "; ".join(cause.set_apart_by))
        lines.append(f"| {' | '.join(map(markdown, cells))} | {len(cause.members)} |")
    return "\n".join(lines) if len(lines) > 2 else "There is no bottleneck to explain."


def forecast_table(expected: "Sequence[Forecast]") -> str:
    """Tabulate the dimensions most likely to be bottlenecks."""
    lines = ["| dimension | in | probability | P50 from | to |", "|---|--:|--:|--:|--:|"]
    known = [one for one in expected if one.probability is not None]
    for one in sorted(known, key=lambda one: (-(one.probability or 0), one.horizon_days))[:ROWS]:
        between = f"{milliseconds(one.low_ms or 0)} | {milliseconds(one.high_ms or 0)}"
        name = markdown(f"{one.dimension_type}:{one.dimension_key}")
        lines.append(f"| {name} | {one.horizon_days} days | {one.probability:.0%} | {between} |")
    return "\n".join(lines) if len(lines) > 2 else "Nothing can be forecast yet."


def score_table(scores: "Sequence[Score]") -> str:
    """Tabulate the Brier scores of the forecast and of the reference rules."""
    lines = [
        "| ahead | forecasts | Brier score | as today | as after days like today | base rate | calibration error |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for one in scores:
        ahead = "all" if one.horizon_days is None else f"{one.horizon_days} days"
        rules = (one.brier, one.as_today, one.as_today_learned, one.base_rate, one.calibration_error)
        lines.append(f"| {ahead} | {one.forecasts} | {' | '.join(f'{value:.4f}' for value in rules)} |")
    return "\n".join(lines) if len(lines) > 2 else "No past forecast can be scored yet."


def bin_table(bins: "Sequence[Bin]") -> str:
    """Tabulate forecast and observed frequencies, by tenths of the probability."""
    lines = ["| probability | forecasts | forecast | observed |", "|---|--:|--:|--:|"]
    for one in bins:
        cells = f"{one.low:.0%} to {one.high:.0%}", one.forecasts, f"{one.predicted:.0%}", f"{one.observed:.0%}"
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) if len(lines) > 2 else "No past forecast can be scored yet."


def suggestion_table(suggested: Sequence[Suggestion]) -> str:
    """Tabulate today's and the suggested threshold of each dimension, with the alarms per year of each."""
    lines = ["| dimension | today | alarms per year | suggested | alarms per year |", "|---|--:|--:|--:|--:|"]
    for one in suggested:
        if one.multiplier is not None:
            today = _limit(one.current_baseline_p50_ms, one.current_multiplier)
            fits = _limit(one.baseline_p50_ms or one.current_baseline_p50_ms, one.multiplier)
            rates = f"{one.alarms_a_year_now:.1f}", f"{one.alarms_a_year_then:.1f}"
            name = markdown(one.name)
            lines.append(f"| {name} | {today} | {rates[0]} | {fits} | {rates[1]} |")
    return "\n".join(lines) if len(lines) > 2 else "No configured threshold can be tuned yet."


def _limit(baseline_p50_ms: float | None, multiplier: float) -> str:
    return f"{'' if baseline_p50_ms is None else milliseconds(baseline_p50_ms)} x {multiplier:.2f}"


def directive_table(directives: "Sequence[Directive]") -> str:
    """Tabulate directives by status and priority."""
    lines = ["| directive | status | priority | title |", "|---|---|---|---|"]
    for one in directives:
        lines.append(f"| {one.sd_key} | {one.status} | {one.priority} | {markdown(one.title)} |")
    return "\n".join(lines) if len(lines) > 2 else "No live directives."


def settled_table(settled: Sequence[tuple[str, str]]) -> str:
    """Tabulate what became of directives whose items ended or came back, by key."""
    lines = ["| directive | what was measured |", "|---|---|"]
    lines += [f"| {key} | {markdown(reason)} |" for key, reason in settled]
    return "\n".join(lines) if settled else "Nothing was settled."


def resolution_table(resolutions: "Sequence[Resolution]") -> str:
    """Tabulate resolved items, those that give back the most time first."""
    lines = ["| item | resolved | P50 before | P50 now | given back per week |", "|---|---|--:|--:|--:|"]
    for one in resolutions[:ROWS]:
        p50s = ("" if p50 is None else milliseconds(p50) for p50 in (one.slow_ms, one.after_ms))
        given_back = one.given_back_ms_per_week
        weekly = "" if given_back is None else duration(given_back)
        lines.append(f"| {markdown(one.name)} | {one.resolved_at:%Y-%m-%d} | {' | '.join(p50s)} | {weekly} |")
    return "\n".join(lines) if resolutions else "Nothing was resolved yet."


def day_table(counts: Sequence[SpanCount]) -> str:
    """Tabulate the spans of each day by type, with a column for each of the most frequent types."""
    if not counts:
        return "No spans in the window."
    by_day = pd.DataFrame(counts).pivot_table(
        index="day", columns="span_type", values="spans", aggfunc="sum", fill_value=0
    )
    names = sorted(by_day.sum().nlargest(COLUMNS).index)
    others = by_day.drop(columns=names)
    headings = [*map(markdown, names), *([f"{others.shape[1]} more"] if others.shape[1] else [])]
    lines = [f"| day | {' | '.join(headings)} |", "|---" + "|--:" * len(headings) + "|"]
    for (day, of_day), rest in zip(by_day[names].iterrows(), others.sum(axis=1), strict=True):
        own = [*of_day, *([rest] if others.shape[1] else [])]
        lines.append(f"| {day:%Y-%m-%d} | " + " | ".join(str(int(count)) for count in own) + " |")
    return "\n".join(lines)


def observed_against_baseline(judged: Iterable[DimensionResult]) -> str:
    """Draw the worst dimensions as a bar chart: a bar for the observed P50, a line at its threshold.

    Each bar is in units of its own baseline, so that milliseconds and minutes share one axis.
    """
    shown = _worst(judged)
    if not shown:
        return "No dimension could be judged yet."
    bars = [(one, one.ratio or 0.0, one.multiplier or 0.0) for one in shown]
    unit = 420 / max(max(longest) for _, *longest in bars)
    parts, height = [], 40 + 26 * len(shown)
    for index, (one, times, limit) in enumerate(bars):
        observed, allowed, y = times * unit, limit * unit, 34 + 26 * index
        colour = "#c0392b" if one.outcome == "bottleneck" else "#4f81bd"
        name = xml(one.name if len(one.name) <= 46 else one.name[:45] + "…")
        parts.append(
            f'<text x="312" y="{y + 13}" text-anchor="end">{name}</text>'
            f'<rect x="320" y="{y}" width="{observed:.1f}" height="16" fill="{colour}"/>'
            f'<path d="M{320 + allowed:.1f} {y - 3}v22" stroke="#222" stroke-width="2"/>'
            f'<text x="{326 + max(observed, allowed):.1f}" y="{y + 13}">{ratio(times)}</text>'
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}"'
        ' font-family="sans-serif" font-size="12">'
        f'<rect width="800" height="{height}" fill="#fff"/>'
        '<text x="320" y="16" fill="#444">observed P50 (bar), baseline (grey), threshold (black)</text>'
        f'<path d="M{320 + unit:.1f} 24V{height - 6}" stroke="#999" stroke-dasharray="4"/>{"".join(parts)}</svg>'
    )
    return f"![observed against baseline](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
