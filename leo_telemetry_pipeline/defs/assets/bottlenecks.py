"""The P50s of the window judged, as an asset.

Belongs here: what each is judged by, and the traces that show it. Does not: the rule (analysis.bottlenecks).
"""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.defs.assets import history, p50s
from leo_telemetry_pipeline.defs.assets.asset import Left, analysis_asset, rows
from leo_telemetry_pipeline.defs.assets.learning import LEARNED
from leo_telemetry_pipeline.defs.assets.traces import TRACES
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.store import dimension_results, thresholds, trace_samples
from leo_telemetry_pipeline.store.dimension_results import JUDGEMENT

_OUTCOMES = {
    "bottleneck": "bottlenecks",
    "ok": "within their threshold",
    "too_few": "too few spans",
    "no_baseline": "without a baseline",
    "switched_off": "switched off",
    "pooled": "keys beyond the most a type may have",
}


def frame(found: list[tuple]) -> pd.DataFrame:
    """Return every dimension with its P50 and how it was judged."""
    width = len(p50.COLUMNS)
    made = p50.frame([row[:width] for row in found])
    for index, name in enumerate(JUDGEMENT):
        number = name in ("observed_p50_ms", "baseline_p50_ms", "multiplier", "min_samples", "p_value")
        values = [row[width + index] for row in found]
        if name == "onset_day":
            values = [None if value is None else pd.Timestamp(value).date() for value in values]
        made[name] = pd.Series(values, index=made.index, dtype="float64" if number else "object")
    made["ratio"] = made["observed_p50_ms"] / made["baseline_p50_ms"]
    return made


def _write(analysis: Analysis, made: pd.DataFrame) -> None:
    assert analysis.run is not None
    columns = ["dimension_type", "dimension_key", *JUDGEMENT]
    dimension_results.put_judgements(analysis.database, analysis.run.run_id, analysis.fence, rows(made[columns]))


def _read(analysis: Analysis) -> pd.DataFrame:
    assert analysis.run is not None
    return frame(dimension_results.judgements(analysis.database, analysis.run.run_id))


BOTTLENECKS = Left("bottlenecks", _write, _read)


@analysis_asset(
    "findings",
    "Every dimension judged by its baseline; those over their threshold are bottlenecks.",
    {"pandas"},
    after=["workflow_traces", "learned_baselines", *p50s.P50_ASSETS],
)
def bottlenecks(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Judge every dimension of the window."""
    measured = p50s.measured(analysis)
    if analysis.errors and not len(measured):
        # Nothing is known, which must not look like a week without bottlenecks.
        raise dg.Failure(f"nothing could be measured: {analysis.errors[0]['error']}", allow_retries=False)
    dimensions = list(zip(measured["dimension_type"], measured["dimension_key"], strict=True))
    made = judging.judge(
        measured,
        judging.thresholds(thresholds.effective(analysis.database, dimensions)),
        LEARNED.get(analysis),
        analysis.settings.min_samples,
    )
    found = judging.found(made)
    keys = list(zip(found["dimension_type"], found["dimension_key"], strict=True))
    evidence = trace_samples.longest(
        analysis.database,
        analysis.window,
        keys,
        history.seen(analysis),
        newest_first=history.method(analysis, TRACES.get(analysis)) == "histogram",
    )
    made["evidence_trace_ids"] = pd.Series(
        [evidence.get((a, b)) for a, b in zip(made["dimension_type"], made["dimension_key"], strict=True)],
        index=made.index,
        dtype="object",
    )
    made = frame(rows(made.loc[:, [*p50.COLUMNS, *JUDGEMENT]]))
    BOTTLENECKS.put(analysis, made)
    yield dg.MaterializeResult(
        metadata={
            **{_OUTCOMES[name]: count for name, count in judging.count_outcomes(made).items()},
            "worst": dg.MetadataValue.md(markdown_tables.worst_table(made)),
            "observed against baseline": dg.MetadataValue.md(markdown_tables.observed_against_baseline(made)),
        },
    )
