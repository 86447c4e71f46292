"""Extra columns of ``leo-telemetry trends`` for one dimension: time to first token, tokens, waiting.

Belongs here: these columns as text and as data. Does not: durations (trends), definitions (analysis.span_measures).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.analysis.span_measures import FIRST_TOKEN, MEASURES
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store import dimension_attributes
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimension_attributes import Waiting
from leo_telemetry_pipeline.store.server.database import Database

AFTER = "AFTER IT"
WAIT, WAITING = "WAIT P50", "WAITING"


@dataclass(frozen=True)
class OtherMeasures:
    """Daily medians of measures, and of the time after the first token in ms; daily waits for a person."""

    medians: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    rests: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    waits: Mapping[date, Waiting] = field(default_factory=dict)


def read(connection: Database, window: Window, dimension: Dimension) -> OtherMeasures:
    """Read the measures of a dimension's stored spans; empty if its type is not a span type."""
    names = {measure.name: measure.attributes for measure in MEASURES}
    of_time = [measure.name for measure in MEASURES if measure.is_time]
    medians, rests = dimension_attributes.medians(connection, window, dimension, names, of_time)
    return OtherMeasures(medians, rests, dimension_attributes.waiting(connection, window, dimension))


def columns(others: OtherMeasures, worked_ms: Mapping[date, float]) -> dict[str, dict[date, str]]:
    """Return the cells per day of each column that has any, by header. ``worked_ms``: total duration per day."""
    cells_by_header: dict[str, dict[date, str]] = {}
    for measure in MEASURES:
        write: Callable[[float], str] = milliseconds if measure.is_time else tokens
        cells_by_header[measure.header] = _column(others.medians, measure.name, write)
        if measure.name == FIRST_TOKEN:
            cells_by_header[AFTER] = _column(others.rests, measure.name, write)
    cells_by_header[WAIT] = {day: milliseconds(waits.p50_ms) for day, waits in others.waits.items()}
    cells_by_header[WAITING] = {
        day: f"{share * 100:.0f} %"
        for day, waits in others.waits.items()
        if (share := _share(waits, worked_ms.get(day, 0.0))) is not None
    }
    return {header: cells for header, cells in cells_by_header.items() if cells}


def notes(others: OtherMeasures) -> list[str]:
    """Explain the columns that are not durations of the spans themselves."""
    lines = []
    if any(others.rests.values()):
        lines.append("FIRST TOKEN and AFTER IT are medians of the time before the first token and of the rest.")
    if others.waits:
        lines.append("WAIT P50 is the median wait for a person, WAITING its share of all time; P50 to P99 exclude it.")
    return lines


def as_json(others: OtherMeasures, day: date, worked_ms: float) -> dict[str, Any]:
    """Return the measures of one day as JSON data."""
    waits, rest = others.waits.get(day), others.rests.get(day, {}).get(FIRST_TOKEN)
    after = {} if rest is None else {"after_first_token_ms": rest}
    return {
        "measures": {**others.medians.get(day, {}), **after},
        "waiting": None
        if waits is None
        else {
            "count": waits.count,
            "p50_ms": waits.p50_ms,
            "sum_ms": waits.sum_ms,
            "share": _share(waits, worked_ms),
        },
    }


def tokens(value: float) -> str:
    """Format a number of tokens: ``950``, ``12.5k``."""
    return f"{round(value)}" if value < 10_000 else f"{value / 1000:.1f}".removesuffix(".0") + "k"


def _column(days: Mapping[date, Mapping[str, float]], name: str, write: Callable[[float], str]) -> dict[date, str]:
    return {day: write(values[name]) for day, values in days.items() if name in values}


def _share(waits: Waiting, worked_ms: float) -> float | None:
    total = waits.sum_ms + worked_ms
    return waits.sum_ms / total if total else None
