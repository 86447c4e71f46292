"""How what an asset returns is stored, and loaded for the next one.

Belongs here: which store function keeps which asset, and the rows of a frame.
Does not: computing anything. Every write carries the fence of the run that makes it.
"""

from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.defs import history, judgements
from leo_telemetry_pipeline.store import baselines, measurements, runs
from leo_telemetry_pipeline.store.dimensions import NAMED_ASSETS

TRACE_COLUMNS = ("span_type", "day", "spans", "timed_spans")
OTHER = "p50_by_other"


def asset_name(dimension_type: str) -> str:
    """Return the name of the asset that holds a dimension type."""
    return f"p50_by_{dimension_type.replace('+', '_')}" if dimension_type in NAMED_ASSETS else OTHER


P50_ASSETS = (*(asset_name(dimension_type) for dimension_type in NAMED_ASSETS), OTHER)


class PostgresIOManager(dg.IOManager):
    """Keep assets as rows of the analysis run that computes them."""

    def __init__(self, analysis: Any) -> None:
        self._analysis = analysis

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store what an asset returned. Raises LostRun when the row is no longer this run's."""
        analysis, name = self._analysis, context.asset_key.path[-1]
        if name == "workflow_traces":
            analysis.annotate({"workflow_traces": rows(obj.assign(day=obj["day"].astype(str)))})
        elif name == "bottleneck_causes":
            analysis.annotate({name: obj})
        elif name in P50_ASSETS and analysis.run is not None:
            types = sorted(set(obj["dimension_type"]) | {t for t in NAMED_ASSETS if asset_name(t) == name})
            measurements.replace_p50(analysis.database, analysis.run.run_id, analysis.fence, types, rows(obj))
        elif name == "learned_baselines" and analysis.run is not None:
            window, mine = analysis.window, (analysis.run.run_id, analysis.fence)
            measurements.put_learned(analysis.database, *mine, judgements.to_json(obj))
            baselines.put(analysis.database, window.project, window.end, judgements.to_learn(obj), analysis.hold)
        elif name == "bottlenecks" and analysis.run is not None:
            columns = ["dimension_type", "dimension_key", *measurements.JUDGEMENT]
            measurements.put_judgements(analysis.database, analysis.run.run_id, analysis.fence, rows(obj[columns]))

    def load_input(self, context: dg.InputContext) -> Any:
        """Load what an earlier asset stored, in this Dagster run or in one before."""
        analysis, name = self._analysis, context.asset_key.path[-1]
        if name == "workflow_traces":
            return traces(self._noted(name) or history.in_window(analysis, history.scan(analysis)))
        if name == "duration_histograms":
            return history.uncounted(analysis)
        if name == "bottleneck_causes":
            return self._noted(name) or []
        if name == "learned_baselines":
            return judgements.from_json(measurements.learned(analysis.database, self._run_id()))
        if name == "bottlenecks":
            return judged(measurements.judgements(analysis.database, self._run_id()))
        return p50.frame(
            measurements.p50(
                analysis.database,
                self._run_id(),
                NAMED_ASSETS if name == OTHER else [t for t in NAMED_ASSETS if asset_name(t) == name],
                others=name == OTHER,
            )
        )

    def _run_id(self) -> str:
        # Where there is no run yet, this says what to do.
        _ = self._analysis.window
        return self._analysis.run.run_id

    def _noted(self, name: str) -> Any:
        """Return what an asset left with the row of the run, None where there is no such thing."""
        analysis = self._analysis
        run = runs.get(analysis.database, analysis.run.run_id) if analysis.run else None
        return run.metadata.get(name) if run else None


@dg.io_manager(required_resource_keys={"analysis"}, description="Rows of PostgreSQL, written behind the run's fence.")
def postgres_io_manager(context: dg.InitResourceContext) -> PostgresIOManager:
    """Make the IO manager of the analysis that this Dagster run executes."""
    return PostgresIOManager(context.resources.analysis)


def rows(frame: pd.DataFrame) -> list[tuple]:
    """Return a frame's rows as tuples of what a database or JSON can hold: NaN becomes None."""
    return [
        tuple(None if _is_missing(value) else value.item() if isinstance(value, np.generic) else value for value in row)
        for row in frame.itertuples(index=False, name=None)
    ]


def traces(found: list) -> pd.DataFrame:
    """Return what a window holds, a row a span type and day."""
    made = pd.DataFrame(found, columns=list(TRACE_COLUMNS))
    made["day"] = pd.to_datetime(made["day"])
    return made.astype(dict.fromkeys(("spans", "timed_spans"), "int64") | {"span_type": "object"})


def judged(found: list[tuple]) -> pd.DataFrame:
    """Return every dimension with its P50 and how it was judged."""
    width = len(p50.COLUMNS)
    made = p50.frame([row[:width] for row in found])
    for index, name in enumerate(measurements.JUDGEMENT):
        number = name in ("observed_p50_ms", "baseline_p50_ms", "multiplier", "min_samples", "p_value")
        values = [row[width + index] for row in found]
        if name == "onset_day":
            values = [None if value is None else pd.Timestamp(value).date() for value in values]
        made[name] = pd.Series(values, index=made.index, dtype="float64" if number else "object")
    made["ratio"] = made["observed_p50_ms"] / made["baseline_p50_ms"]
    return made


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and value != value)
