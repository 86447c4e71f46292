"""What people look at on the asset pages: tables in Markdown, and one picture.

Belongs here: turning frames into text that Dagster shows. Does not: any number of its own.
"""

import base64
from html import escape

import pandas as pd

from leo_telemetry_pipeline.actions.items import milliseconds, ratio
from leo_telemetry_pipeline.analysis.bottlenecks import JUDGED, worst_first

ROWS = 10


def worst_table(judged: pd.DataFrame) -> str:
    """Return the dimensions with the highest ratio, worst first."""
    lines = ["| dimension | observed P50 | baseline | from | ratio | allowed | spans |", "|---|--:|--:|---|--:|--:|--:|"]
    for row in worst_first(judged[judged["outcome"].isin(JUDGED)]).head(ROWS).itertuples():
        name = f"{row.dimension_type}:{row.dimension_key}"
        mark = "**" if row.outcome == "bottleneck" else ""
        lines.append(
            f"| {mark}{_cell(name)}{mark} | {milliseconds(row.p50_ms)} | {milliseconds(row.baseline_p50_ms)} |"
            f" {row.baseline_source} | {mark}{ratio(row.ratio)}{mark} | {ratio(row.multiplier)} | {row.sample_count} |"
        )
    return "\n".join(lines) if len(lines) > 2 else "No dimension could be judged yet."


def p50_table(measured: pd.DataFrame) -> str:
    """Return the dimensions with the longest medians."""
    lines = ["| dimension | spans | P50 | P90 | P99 |", "|---|--:|--:|--:|--:|"]
    longest = measured.sort_values(["p50_ms", "dimension_key"], ascending=[False, True]).head(ROWS)
    for row in longest.itertuples():
        times = " | ".join(milliseconds(value) for value in (row.p50_ms, row.p90_ms, row.p99_ms))
        lines.append(f"| {_cell(f'{row.dimension_type}:{row.dimension_key}')} | {row.sample_count} | {times} |")
    return "\n".join(lines) if len(lines) > 2 else "No spans of this type in the window."


def day_table(traces: pd.DataFrame) -> str:
    """Return the spans of each day of the window by type."""
    if traces.empty:
        return "No spans in the window."
    by_day = traces.pivot_table(index="day", columns="span_type", values="spans", aggfunc="sum", fill_value=0)
    lines = ["| day | " + " | ".join(map(_cell, by_day.columns)) + " |", "|---" + "|--:" * len(by_day.columns) + "|"]
    for day, counts in by_day.iterrows():
        lines.append(f"| {day:%Y-%m-%d} | " + " | ".join(str(int(count)) for count in counts) + " |")
    return "\n".join(lines)


def observed_against_baseline(judged: pd.DataFrame) -> str:
    """Return a picture of the worst dimensions: a bar for the observed P50, a line where its threshold is.

    Every bar is drawn in units of its own baseline, so that milliseconds and minutes fit on one page.
    """
    shown = worst_first(judged[judged["outcome"].isin(JUDGED)]).head(ROWS)
    if shown.empty:
        return "No dimension could be judged yet."
    unit = 420 / max(shown["ratio"].max(), shown["multiplier"].max())
    parts, height = [], 40 + 26 * len(shown)
    for index, row in enumerate(shown.itertuples()):
        y, colour = 34 + 26 * index, "#c0392b" if row.outcome == "bottleneck" else "#4f81bd"
        name, threshold = f"{row.dimension_type}:{row.dimension_key}", 300 + row.multiplier * unit
        parts.append(
            f'<text x="292" y="{y + 13}" text-anchor="end">{escape(name[:44])}</text>'
            f'<rect x="300" y="{y}" width="{row.ratio * unit:.1f}" height="16" fill="{colour}"/>'
            f'<line x1="{threshold:.1f}" x2="{threshold:.1f}" y1="{y - 3}" y2="{y + 19}" stroke="#222" stroke-width="2"/>'
            f'<text x="{306 + max(row.ratio, row.multiplier) * unit:.1f}" y="{y + 13}">{ratio(row.ratio)}</text>'
        )
    baseline = 300 + unit
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="780" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="780" height="{height}" fill="#fff"/>'
        '<text x="300" y="16" fill="#444">observed P50 (bar), baseline (grey), threshold (black)</text>'
        f'<line x1="{baseline:.1f}" x2="{baseline:.1f}" y1="24" y2="{height - 6}" stroke="#999" stroke-dasharray="4"/>'
        + "".join(parts)
        + "</svg>"
    )
    return f"![observed against baseline](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
