"""Threshold suggestions: read the daily history that they need, and apply them.

Belongs here: which dimensions and days are read, which columns a suggestion changes. Does not: computing suggestions
(analysis.tuning), SQL statements (store), printing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from leo_telemetry_pipeline.analysis import alarm_replay, bottlenecks, trends, tuning
from leo_telemetry_pipeline.analysis.changes import day_number
from leo_telemetry_pipeline.analysis.tuning import ALARMS_A_YEAR, Past
from leo_telemetry_pipeline.dimension import OTHER_KEYS, Dimension, Suggestion
from leo_telemetry_pipeline.store import suggestions, thresholds
from leo_telemetry_pipeline.store.days import Window, midnight
from leo_telemetry_pipeline.store.dimensions import GLOBAL
from leo_telemetry_pipeline.store.history import daily
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.suggestions import TunableThreshold

HISTORY_DAYS = 180
# Maximum number of dimensions without their own row; those with the most time are chosen.
MOST = 300


def suggest(
    database: Database,
    end: datetime,
    dimension_type: str | None = None,
    key: str | None = None,
    alarms_a_year: float = ALARMS_A_YEAR,
) -> list[Suggestion]:
    """Suggest new values for configured thresholds, from the 180 closed days before ``end``.

    Dimensions with their own row come first, then those that inherit from a type or ``global``, most time first.
    ``dimension_type`` and ``key`` restrict both.
    """
    rows = suggestions.rows(database)
    keys = [(of, name) for of, name in rows if name is not None]
    named = [one for one in keys if dimension_type in (None, one[0]) and key in (None, one[1])]
    closed = midnight(end.date())
    window = Window(closed - timedelta(HISTORY_DAYS), closed)
    shared = [of for of, name in rows if name is None]
    types = [dimension_type] if dimension_type else [] if GLOBAL in shared else shared
    inherited: list[Dimension] = []
    if GLOBAL in shared or set(types) & set(shared):
        scope = daily.scope(database, window, types)
        found = daily.dimensions(database, window, scope.types, scope.seen, scope.uncounted)
        inherited = [row[:2] for row in found if key in (None, row[1]) and row[1] != OTHER_KEYS]
    tunable = suggestions.tunable(database, list(dict.fromkeys([*named, *inherited])))
    own = [one for one in tunable if one.source == "key"]
    others = [one for one in tunable if one.source != "key"]
    return tuning.tune(_pasts(database, window, [*own, *others[:MOST]]), alarms_a_year)


def apply(database: Database, suggested: Sequence[Suggestion], by: str | None = None) -> list[Suggestion]:
    """Write the suggestions that differ from the current threshold to the row of their key, and return them."""
    changed = [one for one in suggested if _values(one)]
    for one in changed:
        thresholds.put(database, *one.dimension, _values(one), by=by, reason="suggested from its history")
    return changed


def automatic(suggested: Sequence[Suggestion]) -> list[Suggestion]:
    """Return the suggestions that may be applied automatically: for keys with a row, unless the key became slower."""
    return [one for one in suggested if one.source == "key" and not one.is_slower]


def _values(one: Suggestion) -> dict[str, float | bool]:
    """Return the columns that a suggestion changes."""
    wanted = {
        "baseline_p50_ms": (one.current_baseline_p50_ms, one.baseline_p50_ms),
        "multiplier": (one.current_multiplier, one.multiplier),
    }
    if all(then in (None, now) for now, then in wanted.values()):
        return {}
    return {name: then for name, (_, then) in wanted.items() if then is not None}


def _pasts(database: Database, window: Window, tunable: Sequence[TunableThreshold]) -> list[Past]:
    if not tunable:
        return []
    dimensions = [one.dimension for one in tunable]
    scope = daily.scope(database, window, sorted({of for of, _ in dimensions}))
    portions = list(daily.read(database, window, dimensions, scope.seen, scope.uncounted))
    days = len(window.days)
    found = trends.daily(portions, len(dimensions), days, GAMMA)
    _, week_p50_ms = alarm_replay.weeks(portions, len(dimensions), days, GAMMA)
    first = day_number(window.start.date())
    return [
        Past(
            *one.dimension,
            one.source,
            first,
            found.count[place],
            found.p50_ms[place],
            week_p50_ms[place],
            one.baseline_p50_ms,
            one.multiplier or bottlenecks.DEFAULT_MULTIPLIER,
            one.has_baseline,
        )
        for place, one in enumerate(tunable)
    ]
