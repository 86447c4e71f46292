"""Insights: assets computed after a successful analysis, which they do not affect; the forecast and its backtest.

Belongs here: the decorator of all insights, and these two assets, for the last SUCCEEDED run. Does not: the models
(analysis.forecast, analysis.backtest), which are imported lazily.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any, cast

import dagster as dg
import numpy as np

from leo_telemetry_pipeline.analysis import trends
from leo_telemetry_pipeline.analysis.changes import date_of, day_number
from leo_telemetry_pipeline.defs.assets import history
from leo_telemetry_pipeline.defs.assets.asset import OWNERS
from leo_telemetry_pipeline.defs.names import FOLLOWS_TAG, LAST_ASSET, OURS, PREFIX, asset_key
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.store import dimension_results, forecasts, runs
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.history import daily, histograms
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.database import Database

INSIGHTS = OURS + "insights"
_WEEK = timedelta(days=7)


def insight(description: str, *more_deps: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare an insight; it depends on the last asset of an analysis, since it describes a SUCCEEDED run."""
    decorator = dg.asset(
        key_prefix=PREFIX,
        group_name=INSIGHTS,
        deps=[asset_key(LAST_ASSET), *more_deps],
        description=description,
        kinds={"pandas", "postgres"},
        owners=OWNERS,
    )
    return cast("Callable[[Callable[..., Any]], dg.AssetsDefinition]", decorator)


def started(instance: dg.DagsterInstance, run: Run) -> bool:
    """Return whether insights were started for an analysis run, whatever their outcome."""
    return instance.get_runs_count(dg.RunsFilter(tags={FOLLOWS_TAG: run.run_id})) > 0


def last_run(database: Database) -> Run:
    """Return the last successful run over all projects. Raises dg.Failure if there is none."""
    run = runs.last_succeeded(database)
    if run is None:
        raise dg.Failure(
            "No analysis has succeeded yet, so there are no results to use: "
            "materialize all assets, or run `leo-telemetry analyze`",
            allow_retries=False,
        )
    return run


@insight("Scores past forecasts against rules without a model.")
def forecast_backtest(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Score forecasts from past weeks, and store the calibration for the next forecast."""
    from leo_telemetry_pipeline.analysis.backtest import backtest

    with telemetry_database.session() as (database, _):
        run = last_run(database)
        histories, today = _histories(database, run)
        made = backtest(histories, today)
        scores, bins = [asdict(one) for one in made.scores], [asdict(one) for one in made.bins]
        forecasts.put_backtest(database, run.run_id, made.verdict, scores, bins, asdict(made.calibration))
    yield dg.MaterializeResult(
        metadata={
            "verdict": made.verdict,
            "forecasts": len(made.pairs),
            "scores": dg.MetadataValue.md(markdown_tables.score_table(made.scores)),
            "forecast and observed": dg.MetadataValue.md(markdown_tables.bin_table(made.bins)),
        }
    )


@insight("Probability that each dimension is a bottleneck in 7 and 14 days.", forecast_backtest)
def dimension_forecasts(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Forecast the dimensions with the most time per week; the others get a reason instead of a forecast."""
    from leo_telemetry_pipeline.analysis.forecast import Calibration, forecast

    with telemetry_database.session() as (database, _):
        run = last_run(database)
        histories, today = _histories(database, run)
        taught = forecasts.calibration(database, run.run_id)
        made = forecast(histories, today, calibration=Calibration(**taught) if taught else None)
        expected = [
            (
                one.dimension_type,
                one.dimension_key,
                Expected(
                    one.horizon_days,
                    date_of(one.day),
                    one.probability,
                    one.p50_ms,
                    one.low_ms,
                    one.high_ms,
                    one.reason,
                ),
            )
            for one in made
        ]
        forecasts.put(database, run.run_id, expected)
    yield dg.MaterializeResult(
        metadata={
            "forecast": sum(one.probability is not None for one in made),
            "not forecast": sum(one.probability is None for one in made),
            "most likely": dg.MetadataValue.md(markdown_tables.forecast_table(made)),
        }
    )


def _histories(database: Database, run: Run) -> tuple[list[Any], int]:
    """Return the daily history and threshold of every dimension of a run, and the day number of the last closed day."""
    from leo_telemetry_pipeline.analysis.bottlenecks import DEFAULT_MULTIPLIER
    from leo_telemetry_pipeline.analysis.forecast import ForecastInput

    window = history.learned_from(run.window)
    measured = [one for one in dimension_results.of_run(database, run.run_id) if one.outcome != "pooled"]
    scope = daily.scope(database, window, sorted({one.dimension_type for one in measured}))
    rows = daily.read(database, window, [one.dimension for one in measured], scope.seen, scope.uncounted)
    series = trends.daily(rows, len(measured), len(window.days), histograms.GAMMA)
    first = day_number(window.start.date())
    a_week = _WEEK / (run.window.end - run.window.start)
    made = []
    for place, one in enumerate(measured):
        on = np.flatnonzero(series.count[place])
        made.append(
            ForecastInput(
                *one.dimension,
                first + on,
                series.count[place, on],
                series.p50_ms[place, on],
                one.baseline_p50_ms,
                one.multiplier or DEFAULT_MULTIPLIER,
                one.sum_ms * a_week,
            )
        )
    return made, day_number(window.end.date()) - 1
