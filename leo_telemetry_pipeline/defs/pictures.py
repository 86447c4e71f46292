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
    lines = [
        "| dimension | observed P50 | baseline | from | ratio | allowed | spans |",
        "|---|--:|--:|---|--:|--:|--:|",
    ]
    for row in worst_first(judged.loc[judged["outcome"].isin(JUDGED)]).head(ROWS).to_dict("records"):
        mark = "**" if row["outcome"] == "bottleneck" else ""
        times = (milliseconds(row["p50_ms"]), milliseconds(row["baseline_p50_ms"]), row["baseline_source"])
        cells = (*times, ratio(row["ratio"]), ratio(row["multiplier"]), str(row["sample_count"]))
        lines.append(f"| {mark}{_cell(_name(row))}{mark} | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else "No dimension could be judged yet."


def p50_table(measured: pd.DataFrame) -> str:
    """Return the dimensions with the longest medians."""
    lines = ["| dimension | spans | P50 | P90 | P99 |", "|---|--:|--:|--:|--:|"]
    longest = measured.sort_values(["p50_ms", "dimension_key"], ascending=[False, True]).head(ROWS)
    for row in longest.to_dict("records"):
        times = " | ".join(milliseconds(row[name]) for name in ("p50_ms", "p90_ms", "p99_ms"))
        lines.append(f"| {_cell(_name(row))} | {row['sample_count']} | {times} |")
    return "\n".join(lines) if len(lines) > 2 else "No spans of this type in the window."


def day_table(traces: pd.DataFrame) -> str:
    """Return the spans of each day of the window by type."""
    if traces.empty:
        return "No spans in the window."
    by_day = traces.pivot_table(index="day", columns="span_type", values="spans", aggfunc="sum", fill_value=0)
    lines = [
        "| day | " + " | ".join(map(_cell, by_day.columns)) + " |",
        "|---" + "|--:" * len(by_day.columns) + "|",
    ]
    for day, counts in by_day.iterrows():
        lines.append(f"| {day:%Y-%m-%d} | " + " | ".join(str(int(count)) for count in counts) + " |")
    return "\n".join(lines)


def observed_against_baseline(judged: pd.DataFrame) -> str:
    """Return a picture of the worst dimensions: a bar for the observed P50, a line where its threshold is.

    Every bar is drawn in units of its own baseline, so that milliseconds and minutes fit on one page.
    """
    shown = worst_first(judged.loc[judged["outcome"].isin(JUDGED)]).head(ROWS)
    if shown.empty:
        return "No dimension could be judged yet."
    unit = 420 / max(shown["ratio"].max(), shown["multiplier"].max())
    parts, height = [], 40 + 26 * len(shown)
    for index, row in enumerate(shown.to_dict("records")):
        observed, allowed, y = row["ratio"] * unit, row["multiplier"] * unit, 34 + 26 * index
        colour = "#c0392b" if row["outcome"] == "bottleneck" else "#4f81bd"
        name, times = escape(_short(_name(row))), ratio(row["ratio"])
        parts.append(
            f'<text x="312" y="{y + 13}" text-anchor="end">{name}</text>'
            f'<rect x="320" y="{y}" width="{observed:.1f}" height="16" fill="{colour}"/>'
            f'<path d="M{320 + allowed:.1f} {y - 3}v22" stroke="#222" stroke-width="2"/>'
            f'<text x="{326 + max(observed, allowed):.1f}" y="{y + 13}">{times}</text>'
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}"'
        ' font-family="sans-serif" font-size="12">'
        f'<rect width="800" height="{height}" fill="#fff"/>'
        '<text x="320" y="16" fill="#444">observed P50 (bar), baseline (grey), threshold (black)</text>'
        f'<path d="M{320 + unit:.1f} 24V{height - 6}" stroke="#999" stroke-dasharray="4"/>{"".join(parts)}</svg>'
    )
    return f"![observed against baseline](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _name(row: dict) -> str:
    return f"{row['dimension_type']}:{row['dimension_key']}"


def _short(name: str) -> str:
    return name if len(name) <= 46 else name[:45] + "…"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
