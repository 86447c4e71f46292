"""Daily medians of numeric attributes, and waits, of one dimension.

Belongs here: reading them from stored spans; days whose spans were dropped are missing.
Does not: which attributes matter (analysis.span_measures), durations (history.daily).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store import folded_names
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimensions import REACH_MS, spans_of_one, stored_types, waited_for
from leo_telemetry_pipeline.store.name_templates import Folds
from leo_telemetry_pipeline.store.server.database import Database

# Candidate attributes of each measure, in order of preference, each with its conversion factor.
Names = Mapping[str, Sequence[tuple[str, float]]]
_NUMBER = r"^-?[0-9]{1,15}([.][0-9]{1,12})?([eE][+-]?[0-9]{1,2})?$"
_NO_PARENT = "'00000000-0000-0000-0000-000000000000'::uuid"


@dataclass(frozen=True)
class Waiting:
    """Waits for a person on one day: number, median and sum in ms."""

    count: int
    p50_ms: float
    sum_ms: float


def medians(
    database: Database, window: Window, dimension: Dimension, names: Names, of_time: Sequence[str] = ()
) -> tuple[dict[date, dict[str, float]], dict[date, dict[str, float]]]:
    """Return daily medians of each measure and, for measures ``of_time``, of the rest of the duration in ms.

    For plain dimensions (span type and name) only. A day lacks measures that none of its spans have.
    """
    folds = folded_names.of(database)
    columns, parameters = [], _parameters(database, window, dimension, folds)
    for number, (name, attributes) in enumerate(names.items()):
        value = _value(number, attributes, parameters)
        # Without CASE, spans that lack the measure would count as 0, since GREATEST ignores NULL.
        rest = f"CASE WHEN {value} IS NOT NULL THEN greatest(duration_ms - {value}, 0) END"
        rest = rest if name in of_time else "NULL::float8"
        columns += [f"percentile_cont(0.5) WITHIN GROUP (ORDER BY {expression})" for expression in (value, rest)]
    rows = database.rows(
        # `?|` is a fast path: most dimensions have none of the attributes.
        f"SELECT day, {', '.join(columns)} FROM ({spans_of_one(folds)}) AS spans WHERE attributes ?| %(any)s::text[]"
        " GROUP BY day ORDER BY day",
        parameters | {"number": _NUMBER, "any": [attribute for given in names.values() for attribute, _ in given]},
    )
    measures, rests = {}, {}
    for day, *values in rows:
        measures[day] = {name: value for name, value in zip(names, values[::2], strict=True) if value is not None}
        rests[day] = {name: value for name, value in zip(names, values[1::2], strict=True) if value is not None}
    return measures, rests


def waiting(database: Database, window: Window, dimension: Dimension) -> dict[date, Waiting]:
    """Return the waits for a person that are not part of a dimension's time, by start day.

    They are children of its spans, or siblings of its spans with the dimension's name. A dimension of waits has none.
    """
    if dimension[0] == "wait":
        return {}
    folds = folded_names.of(database)
    rows = database.rows(
        f"""
        WITH spans AS MATERIALIZED (
            SELECT trace_id, span_id, coalesce(parent_span_id, {_NO_PARENT}) AS parent
            FROM ({spans_of_one(folds)}) AS own
        ), waits AS (
            SELECT DATE '1970-01-01' + (w.start_time_ms / 86400000)::integer AS day, w.trace_id,
                   {waited_for(folds)} AS name,
                   coalesce(w.parent_span_id, {_NO_PARENT}) AS parent,
                   coalesce(w.duration_ms, w.end_time_ms - w.start_time_ms) AS wait_ms
            FROM workflow_trace_log AS w
            WHERE w.span_type = 'wait' AND w.start_time_ms >= %(from_ms)s - %(reach)s AND w.start_time_ms < %(to_ms)s
        )
        SELECT day, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY wait_ms), sum(wait_ms)::float8
        FROM waits
        WHERE wait_ms IS NOT NULL AND (
            (trace_id, parent) IN (SELECT trace_id, span_id FROM spans)
            OR (name = %(key)s AND (trace_id, parent) IN (SELECT trace_id, parent FROM spans)))
        GROUP BY day
        """,
        _parameters(database, window, dimension, folds) | {"reach": REACH_MS},
    )
    return {day: Waiting(count, p50_ms, sum_ms) for day, count, p50_ms, sum_ms in rows}


def dropped(database: Database) -> list[date]:
    """Return the days whose spans were dropped, for conditions on spans: a cluster cannot join them with our tables."""
    return [
        day for (day,) in database.rows("SELECT DISTINCT day FROM telemetry_sealed_days WHERE dropped_at IS NOT NULL")
    ]


def _value(number: int, attributes: Sequence[tuple[str, float]], parameters: dict[str, object]) -> str:
    """Return the SQL of a span's measure, adding its parameters to ``parameters``."""
    values = []
    for place, (attribute, factor) in enumerate(attributes):
        mark = f"{number}_{place}"
        parameters |= {f"name{mark}": attribute, f"factor{mark}": factor}
        text = f"(attributes ->> %(name{mark})s)"
        values.append(f"CASE WHEN {text} ~ %(number)s THEN {text}::float8 * %(factor{mark})s::float8 END")
    return f"coalesce({', '.join(values)})"


def _parameters(database: Database, window: Window, dimension: Dimension, folds: Folds) -> dict[str, object]:
    span_type, key = dimension
    return (
        window.parameters()
        | folds.parameters()
        | {
            "span_type": span_type,
            "stored": stored_types([span_type]),
            "key": key,
            "dropped": dropped(database),
        }
    )
