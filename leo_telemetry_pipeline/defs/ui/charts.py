"""Trend chart of one dimension: daily P50 and P90, spans per day below, and a line at each change.

Belongs here: drawing series as SVG. Does not: computing numbers, tables (markdown_tables).
"""

import base64
from datetime import date, timedelta

import numpy as np

from leo_telemetry_pipeline.actions.inert import markdown, xml
from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.analysis.changes import ChangePoint
from leo_telemetry_pipeline.analysis.trends import Daily, DimensionChanges
from leo_telemetry_pipeline.resolution import is_least

_LEFT, _RIGHT, _WIDTH = 70, 780, 800
_TOP, _BOTTOM = 40, 190
_BARS_TOP, _BARS_BOTTOM = 215, 255
_HEIGHT = 285
_P50, _P90, _SLOWER, _FASTER, _VOLUME = "#1f4e79", "#9dc3e6", "#c0392b", "#2e7d32", "#b8860b"


def trend(name: str, first: date, found: Daily, place: int, changed: DimensionChanges) -> str:
    """Return a Markdown image of the dimension at index ``place`` of the series, whose first day is ``first``.

    The axis runs from 0 to the highest daily P90; a day without spans is a gap.
    """
    count = found.count[place]
    if not count.any():
        return f"{markdown(name)} has no spans in these days."
    p50_ms, p90_ms = found.p50_ms[place], found.p90_ms[place]
    days = len(count)
    top = float(np.nanmax(p90_ms)) or 1.0
    x = _LEFT + (np.arange(days) + 0.5) * (_RIGHT - _LEFT) / days
    parts = [
        f'<text x="{_LEFT}" y="16" font-weight="bold">{xml(name)}</text>',
        *_axes(top, int(count.max()), first, days),
        *_bars(x, count),
        *(_mark(change, first, x, _VOLUME, _BARS_TOP - 8, _BARS_BOTTOM) for change in changed.volume),
        *(
            _mark(change, first, x, _SLOWER if change.ratio > 1 else _FASTER, _TOP - 8, _BOTTOM)
            for change in changed.time
        ),
        _line(x, p90_ms, top, _P90),
        _line(x, p50_ms, top, _P50),
    ]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif"'
        f' font-size="12"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>'
    )
    return f"![trend](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _axes(top: float, most: int, first: date, days: int) -> list[str]:
    last = first + timedelta(days - 1)
    return [
        f'<text x="{_RIGHT}" y="16" text-anchor="end" fill="#444">P50 (dark), P90 (light), spans per day (grey)</text>',
        f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}M{_LEFT} {_BARS_BOTTOM}H{_RIGHT}" stroke="#999" fill="none"/>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 4}" text-anchor="end">{milliseconds(top)}</text>',
        f'<text x="{_LEFT - 6}" y="{_BOTTOM}" text-anchor="end">0</text>',
        f'<text x="{_LEFT - 6}" y="{_BARS_TOP + 8}" text-anchor="end">{most}</text>',
        f'<text x="{_LEFT}" y="{_HEIGHT - 10}">{first}</text>',
        f'<text x="{_RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">{last}</text>',
    ]


def _bars(x: np.ndarray, count: np.ndarray) -> list[str]:
    width = max(1.0, 0.7 * (_RIGHT - _LEFT) / len(count))
    heights = count / count.max() * (_BARS_BOTTOM - _BARS_TOP)
    return [
        f'<rect x="{at - width / 2:.1f}" y="{_BARS_BOTTOM - height:.1f}" width="{width:.1f}" height="{height:.1f}"'
        ' fill="#bbb"/>'
        for at, height in zip(x, heights, strict=True)
        if height
    ]


def _mark(change: ChangePoint, first: date, x: np.ndarray, colour: str, top: float, bottom: float) -> str:
    """Draw the onset as a line, and its interval as a band."""
    begin, end, at = (x[(day - first).days] for day in (change.onset_from, change.onset_to, change.onset))
    least = "at least " * is_least(change.ratio, change.after, change.before)
    says = xml(f"{least}{change.ratio:.2f}x since {change.onset}")
    return (
        f'<rect x="{begin - 2:.1f}" y="{top}" width="{end - begin + 4:.1f}" height="{bottom - top}"'
        f' fill="{colour}" fill-opacity="0.15"/>'
        f'<path d="M{at:.1f} {top}V{bottom}" stroke="{colour}" stroke-dasharray="4"/>'
        f'<text x="{at - 4:.1f}" y="{top + 4}" text-anchor="end" fill="{colour}">{says}</text>'
    )


def _line(x: np.ndarray, values: np.ndarray, top: float, colour: str) -> str:
    """Draw a line with gaps at days without a value; a single day is a dot."""
    y = _BOTTOM - values / top * (_BOTTOM - _TOP)
    there = ~np.isnan(values)
    path = [f"{'L' if day and there[day - 1] else 'M'}{x[day]:.1f} {y[day]:.1f}" for day in np.flatnonzero(there)]
    dots = [f'<circle cx="{x[day]:.1f}" cy="{y[day]:.1f}" r="2" fill="{colour}"/>' for day in np.flatnonzero(there)]
    return f'<path d="{"".join(path)}" stroke="{colour}" stroke-width="2" fill="none"/>{"".join(dots)}'
