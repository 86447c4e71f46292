"""P50s of the window: one asset per named dimension type, and one for all other types.

Belongs here: which type is in which asset, and measuring each. Does not: computing medians (analysis, store).
"""

from collections.abc import Iterator
from functools import partial

import dagster as dg
import pandas as pd
import psycopg2

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.asset import FRESH, OWNERS, AssetValue
from leo_telemetry_pipeline.defs.assets.traces import TRACES
from leo_telemetry_pipeline.defs.names import OURS, asset_key
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store import dimension_results, exact_percentiles, shared_names, thresholds
from leo_telemetry_pipeline.store.dimensions import NAMED_ASSETS
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.server.database import SERVER_GONE

OTHER = "p50_by_other"
# The types of each asset, with or without spans.
_NAMED = {f"p50_by_{dimension_type.replace('+', '_')}": [dimension_type] for dimension_type in NAMED_ASSETS}
P50_ASSETS = (*_NAMED, OTHER)


def _write(name: str, analysis: Analysis, made: pd.DataFrame) -> None:
    assert analysis.run is not None
    types = sorted(set(made["dimension_type"]) | set(_NAMED.get(name, ())))
    dimension_results.replace_p50(analysis.database, analysis.run.run_id, analysis.fence, types, p50.rows(made))


def _read(name: str, analysis: Analysis) -> pd.DataFrame:
    assert analysis.run is not None
    types = _NAMED.get(name, NAMED_ASSETS)
    return p50.frame(dimension_results.p50(analysis.database, analysis.run.run_id, types, others=name == OTHER))


_VALUES = [AssetValue(name, partial(_write, name), partial(_read, name)) for name in P50_ASSETS]


def measured(analysis: Analysis) -> list[DimensionResult]:
    """Return the P50s of all dimensions of the window, not judged yet."""
    return [DimensionResult(*row) for value in _VALUES for row in p50.rows(value.get(analysis))]


def _spec(name: str) -> dg.AssetSpec:
    of = ", ".join(_NAMED.get(name, ["every other dimension type"]))
    return dg.AssetSpec(
        asset_key(name),
        deps=[asset_key("workflow_traces"), asset_key("duration_histograms")],
        description=f"Median judged time of {of} over the window, with P90 to P99.",
        group_name=OURS + "p50",
        kinds={"postgres", "pandas"},
        owners=OWNERS,
        freshness_policy=FRESH,
        skippable=True,
    )


# One Dagster step for all types, since a step takes longer than the medians of most types.
@dg.multi_asset(name="p50s", specs=[_spec(name) for name in P50_ASSETS], can_subset=True)
def p50_assets(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Measure the medians of the window per type, so that an error in one type does not affect the others."""
    for value in _VALUES:
        if asset_key(value.asset) not in context.selected_asset_keys:
            continue
        wanted = _NAMED.get(value.asset) or [t for t in history.types(analysis) if t not in NAMED_ASSETS]
        made = p50.together([_measured_or_noted(context, analysis, dimension_type) for dimension_type in wanted])
        value.put(analysis, made)
        yield dg.MaterializeResult(
            asset_key=asset_key(value.asset),
            metadata={
                "dimensions": len(made),
                "spans": int(made["sample_count"].to_numpy().sum()),
                "longest medians": dg.MetadataValue.md(markdown_tables.p50_table(made)),
            },
        )


def _measured_or_noted(context: dg.AssetExecutionContext, analysis: Analysis, dimension_type: str) -> pd.DataFrame:
    try:
        made = _measure(analysis, dimension_type)
        analysis.forget_error(dimension_type)
    except psycopg2.Error as error:
        if type(error).__name__ in SERVER_GONE:
            raise
        context.log.exception("P50 of %s failed", dimension_type)
        analysis.note_error(dimension_type, error)
        return p50.frame([])
    return made


def _measure(analysis: Analysis, dimension_type: str) -> pd.DataFrame:
    made = _measured(analysis, dimension_type)
    names = shared_names.of(analysis.database) if "+" in dimension_type else None
    if names is None or dimension_type not in names.types:
        return made
    if dimension_type in thresholds.named_types(analysis.database):
        return made
    return made.loc[[names.is_part((dimension_type, key)) for key in made["dimension_key"]]]


def _measured(analysis: Analysis, dimension_type: str) -> pd.DataFrame:
    window = analysis.window
    if history.method(analysis, TRACES.get(analysis)) == "exact":
        return p50.exact(
            exact_percentiles.of_window(analysis.database, window, [dimension_type], history.seen(analysis))
        )
    return p50.from_buckets(history.durations(analysis, [dimension_type], window), histograms.GAMMA)
