"""What is normal, learned from each dimension's own days, as an asset.

Belongs here: which days are read, and what is remembered from before. Does not: learning and judging
(analysis.baselines), how that is kept (judgements), what a person configured (assets.bottlenecks puts that above it).
"""

from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg
import numpy as np
import pandas as pd

from leo_telemetry_pipeline.actions import item_resolutions
from leo_telemetry_pipeline.analysis import baselines, trends
from leo_telemetry_pipeline.analysis.bottlenecks import OTHER_KEYS
from leo_telemetry_pipeline.defs.assets import history, judgements, p50s
from leo_telemetry_pipeline.defs.assets.asset import Left, analysis_asset
from leo_telemetry_pipeline.defs.assets.judgements import KEY
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store import baselines as kept_baselines
from leo_telemetry_pipeline.store import dimension_results, items, thresholds
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.history import daily, histograms
from leo_telemetry_pipeline.store.server.database import Database


def _write(analysis: Analysis, made: pd.DataFrame) -> None:
    assert analysis.run is not None
    database, window = analysis.database, analysis.window
    dimension_results.put_learned(database, analysis.run.run_id, analysis.fence, judgements.to_json(made))
    kept_baselines.put(database, window.project, window.end, judgements.to_learn(made), analysis.hold)


def _read(analysis: Analysis) -> pd.DataFrame:
    assert analysis.run is not None
    return judgements.from_json(dimension_results.learned(analysis.database, analysis.run.run_id))


LEARNED = Left("learned_baselines", _write, _read)


@analysis_asset(
    "findings",
    "What is normal for each dimension, learned from its own days, and whether the window differs from it.",
    {"pandas", "postgres"},
    after=["duration_histograms", *p50s.P50_ASSETS],
)
def learned_baselines(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Learn the baseline of every dimension of the window, and judge the window by it."""
    measured = p50s.measured(analysis)
    dimensions = [name for name in zip(*(measured[column] for column in KEY), strict=True) if name[1] != OTHER_KEYS]
    daily_frame = daily_p50s(
        analysis.database,
        history.learned_from(analysis.window),
        dimensions,
        history.seen(analysis),
        history.uncounted(analysis),
    )
    days = baselines.days_of(daily_frame)
    changes = baselines.found_changes(days)
    learned = baselines.learn(days, changes, _remembered(analysis))
    judged = baselines.judge(
        days,
        changes,
        _with_configured_multipliers(analysis, learned),
        analysis.window.start,
        analysis.window.end,
    )
    made = judged.merge(learned.rename(columns={"multiplier": "learned_multiplier"}), on=KEY, how="left")
    LEARNED.put(analysis, made)
    yield dg.MaterializeResult(
        metadata={
            "dimensions": len(made),
            **{f"baselines {word}": int(n) for word, n in learned["moved"].value_counts().sort_index().items()},
            "what changed": dg.MetadataValue.md(markdown_tables.change_table(changes)),
        },
    )


def daily_p50s(
    database: Database,
    window: Window,
    dimensions: Sequence[Dimension],
    seen: Sequence[str],
    uncounted: Sequence[date] = (),
) -> pd.DataFrame:
    """Return dimension_type, dimension_key, day, count and p50_ms of the days of a window that have spans.

    Most P50s were kept when their day was counted; where that cannot be, history is added up, and days ``uncounted``
    are read from their spans.
    """
    fresh = set(uncounted) & set(window.days)
    known, left = ([], list(range(len(dimensions)))) if fresh else daily.medians(database, window, dimensions)
    parts = list(known)
    if left:
        rows = daily.read(database, window, [dimensions[place] for place in left], seen, sorted(fresh))
        found = trends.daily(rows, len(left), len(window.days), histograms.GAMMA)
        of, on = np.nonzero(found.count)
        parts.append((np.array(left)[of], on, found.count[of, on], found.p50_ms[of, on]))
    return judgements.daily_frame(dimensions, window.start.date(), parts)


def _remembered(analysis: Analysis) -> pd.DataFrame:
    project, database = analysis.window.project, analysis.database
    accounts = item_resolutions.ledger(items.of_scope(database, project))
    return judgements.remembered(kept_baselines.of_scope(database, project), accounts, analysis.window.end)


def _with_configured_multipliers(analysis: Analysis, learned: pd.DataFrame) -> pd.DataFrame:
    """Return what was learned with the multipliers that people wrote for such dimensions, a type or all."""
    if learned.empty:
        return learned
    names = list(zip(learned["dimension_type"], learned["dimension_key"], strict=True))
    written = thresholds.multipliers(analysis.database, names)
    own = [written.get(name, value) for name, value in zip(names, learned["multiplier"], strict=True)]
    return learned.assign(multiplier=pd.Series(own, index=learned.index, dtype="float64"))
