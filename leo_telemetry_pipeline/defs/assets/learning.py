"""Asset ``learned_baselines``: the learned baseline of each dimension, and its window judged against it.

Belongs here: reading days, earlier baselines, and traces around mixed parts. Does not: learning (analysis.baselines),
judging (analysis.judgement), configured thresholds, which take precedence (assets.bottlenecks).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg
import numpy as np

from leo_telemetry_pipeline.actions import item_resolutions
from leo_telemetry_pipeline.analysis import baselines, causes, judgement, levels, mixed_parts, mixes, slices, tails
from leo_telemetry_pipeline.analysis.changes import day_number
from leo_telemetry_pipeline.analysis.levels import DailyP50s
from leo_telemetry_pipeline.analysis.slices import Slices
from leo_telemetry_pipeline.defs.assets import compared_traces, history, p50s
from leo_telemetry_pipeline.defs.assets.asset import AssetValue, analysis_asset
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.defs.ui import markdown_tables
from leo_telemetry_pipeline.dimension import OTHER_KEYS, Baseline, Dimension, Judgement
from leo_telemetry_pipeline.store import baselines as kept_baselines
from leo_telemetry_pipeline.store import dimension_results, items, name_slices, shared_names, thresholds
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.history import daily, histograms
from leo_telemetry_pipeline.store.server.database import Database


def _write(analysis: Analysis, judged: list[Judgement]) -> None:
    assert analysis.run is not None
    database, window = analysis.database, analysis.window
    dimension_results.put_learned(database, analysis.run.run_id, analysis.fence, judged)
    learned = [one.baseline for one in judged if one.baseline]
    kept_baselines.put(database, window.project, window.end, learned, analysis.hold)


def _read(analysis: Analysis) -> list[Judgement]:
    assert analysis.run is not None
    return dimension_results.learned(analysis.database, analysis.run.run_id)


LEARNED = AssetValue("learned_baselines", _write, _read)


@analysis_asset(
    "findings",
    "Learns from its own days what is normal for each dimension, and whether the window differs from it.",
    {"numpy", "postgres"},
    after=["duration_histograms", *p50s.P50_ASSETS],
)
def learned_baselines(
    context: dg.AssetExecutionContext, analysis: dg.ResourceParam[Analysis]
) -> Iterator[dg.MaterializeResult]:
    """Learn the baseline of every dimension of the window, and judge the window by it."""
    database, window = analysis.database, analysis.window
    names = shared_names.of(database)
    measured = [one.dimension for one in p50s.measured(analysis) if one.dimension_key != OTHER_KEYS]
    dimensions = [dimension for dimension in measured if not names.is_replaced(dimension)]
    read = daily_p50s(
        database, history.learned_from(window), dimensions, history.seen(analysis), history.uncounted(analysis)
    )
    # A slow minority of a slice is one of its dimension as well.
    days = levels.days_of(read.without_tails(name_slices.types(database)))
    changes = levels.change_points(days)
    learned = baselines.learn(days, changes, _remembered(analysis))
    written = thresholds.multipliers(database, list(learned))
    judged = judgement.judge(days, changes, learned, window.start, window.end, written)
    of = slices.slices_of([one.dimension for one in judged])
    judged = _with_slow_calls(analysis, _with_mixes(analysis, judged, of))
    for is_minority in (False, True):
        judged = _with_mixed_parts(analysis, judged, is_minority=is_minority)
    judged = slices.like_wholes(mixes.remembered(judged), of, name_slices.types(database))
    LEARNED.put(analysis, judged)
    moved = Counter(one.moved for one in learned.values())
    yield dg.MaterializeResult(
        metadata={
            "dimensions": len(judged),
            **{f"baselines {word}": count for word, count in sorted(moved.items())},
            "what changed": dg.MetadataValue.md(markdown_tables.change_table(changes)),
        },
    )


def _with_mixes(analysis: Analysis, judged: list[Judgement], of: Slices) -> list[Judgement]:
    candidates = mixes.candidates(judged, of)
    if not candidates:
        return judged
    days, read = history.learned_from(analysis.window), [slice_ for _, slice_ in candidates]
    rows = list(daily.read(analysis.database, days, read, history.seen(analysis), history.uncounted(analysis)))
    first, start = days.start.date(), analysis.window.start.date()
    return mixes.settled(judged, of, candidates, rows, first, start, histograms.GAMMA)


def _with_mixed_parts(analysis: Analysis, judged: list[Judgement], *, is_minority: bool) -> list[Judgement]:
    """Return the judgements, with the mixes of spans below that make dimensions slow."""
    slow, found = mixed_parts.slow(judged, is_minority=is_minority), {}
    parts_since = {onset: mixed_parts.parts(judged, onset) for onset in {each.onset_day for each in slow}}
    explainable = [each for each in slow if parts_since[each.onset_day]]
    for compared in compared_traces.by_onset(analysis, explainable[: compared_traces.MOST]):
        parts = parts_since[compared.onset]
        of_day = causes.attributed(compared.slow, compared.since, compared.before, parts)
        found |= {
            each.dimension: mix
            for each in compared.slow
            if (mix := mixed_parts.explanation(each, of_day[each.dimension], parts))
        }
    return mixed_parts.settled(judged, found, is_minority=is_minority)


def daily_p50s(
    database: Database,
    window: Window,
    dimensions: Sequence[Dimension],
    seen: Sequence[str],
    uncounted: Sequence[date] = (),
) -> DailyP50s:
    """Return the daily P50s of a window, for days with spans.

    Most were stored when their day was counted; the others come from histograms or, for ``uncounted`` days, from spans.
    """
    fresh = set(uncounted) & set(window.days)
    known, left = ([], list(range(len(dimensions)))) if fresh else daily.medians(database, window, dimensions)
    parts = list(known)
    if left:
        wanted, numbers = [dimensions[place] for place in left], np.array(left)
        for rows in daily.read(database, window, wanted, seen, sorted(fresh)):
            parts.append((numbers[rows.dimension], *levels.of_rows(rows, *histograms.LEVELS)))
    first = day_number(window.start.date())
    return DailyP50s.of_parts(dimensions, [(place, first + day, *more) for place, day, *more in parts])


def _with_slow_calls(analysis: Analysis, judged: list[Judgement]) -> list[Judgement]:
    slow = [one.dimension for one in judged if one.tail and one.tail.outcome == "bottleneck"]
    if not slow:
        return judged
    read = history.learned_from(analysis.window)
    rows = list(daily.read(analysis.database, read, slow, history.seen(analysis), history.uncounted(analysis)))
    starts = read.start.date(), analysis.window.start.date()
    return tails.with_slow_calls(judged, slow, rows, starts, histograms.GAMMA)


def _remembered(analysis: Analysis) -> list[Baseline]:
    project, database = analysis.window.project, analysis.database
    accounts = item_resolutions.ledger(items.of_scope(database, project))
    return item_resolutions.remembered(kept_baselines.of_scope(database, project), accounts, analysis.window.end)
