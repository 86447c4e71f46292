"""Scope of the daily history in one analysis, decided once per run.

Belongs here: which span types exist, which days are stale, by which method P50s are computed.
Does not: counting and reading (store), percentiles (analysis.p50).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import dagster as dg

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.analysis.bottlenecks import HISTORY_DAYS
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.store import name_slices, shared_names, span_totals, thresholds
from leo_telemetry_pipeline.store.days import Window, midnight
from leo_telemetry_pipeline.store.dimensions import types_to_judge
from leo_telemetry_pipeline.store.history import (
    blocks,
    buckets,
    histograms,
    name_folding,
    name_sharing,
    slice_choice,
    span_counts,
    staleness,
)
from leo_telemetry_pipeline.store.history.span_counts import SpanCount


def learned_from(window: Window) -> Window:
    """Return the closed days up to the end of a window from which baselines and changes are learned."""
    end = midnight(window.end.date())
    return Window(min(window.start, end - timedelta(days=HISTORY_DAYS)), end, window.project)


def mark(analysis: Analysis) -> None:
    """Mark the days with late spans as stale, so that later steps of this run need not search for them."""
    staleness.mark_stale(analysis.database, analysis.hold)
    analysis.progress.marked = True


def scan(analysis: Analysis) -> list[SpanCount]:
    """Return the spans of the window and the learning days, by type and day."""
    both = replace(analysis.window, start=learned_from(analysis.window).start)
    stale = staleness.stale_days(
        analysis.database, both.start.date(), both.end.date(), [], marked=analysis.progress.marked
    )
    found = span_counts.by_type_and_day(analysis.database, both, sorted(set(both.closed_days) - set(stale)))
    analysis.progress.seen = sorted({one.span_type for one in found})
    return found


def in_window(analysis: Analysis) -> list[SpanCount]:
    """Return the spans of the window by type and day."""
    return [one for one in scan(analysis) if one.day >= analysis.window.start.date()]


def count_traces(analysis: Analysis, scanned: int) -> int:
    """Count the traces of the window; with more than ``exact_spans``, a trace over midnight counts on both days."""
    if scanned <= analysis.settings.exact_spans and is_stored(analysis):
        return span_totals.count(analysis.database, analysis.window)[1]
    window = analysis.window
    first, last = window.start.date(), window.end.date()
    stale = staleness.stale_days(analysis.database, first, last, [], marked=analysis.progress.marked)
    return span_counts.traces(analysis.database, window, sorted(set(window.closed_days) - set(stale)))


def seen(analysis: Analysis) -> list[str]:
    """Return the span types of the window and the learning days."""
    if analysis.progress.seen is None:
        scan(analysis)
    return analysis.progress.seen or []


def types(analysis: Analysis) -> list[str]:
    """Return the dimension types to analyse."""
    return sorted({*_whole_types(analysis), *name_slices.types(analysis.database)})


def _whole_types(analysis: Analysis) -> list[str]:
    database = analysis.database
    named = [*thresholds.named_types(database), *shared_names.of(database).types]
    return types_to_judge(seen(analysis), named)


def method(analysis: Analysis, found: Iterable[SpanCount]) -> str:
    """Return the method by which P50s are computed, given the window's spans by type and day."""
    scanned = sum(one.spans for one in found)
    return p50.method(scanned, analysis.settings.exact_spans, all_stored=is_stored(analysis))


def is_stored(analysis: Analysis) -> bool:
    """Return whether all spans of the window are still stored. Raises dg.Failure if those of a partial day are not."""
    window = analysis.window
    if (part := _part_day(window)) and not staleness.all_stored(analysis.database, part.date(), part.date()):
        raise dg.Failure(
            f"The spans of {part:%Y-%m-%d} were dropped, and history has only whole days: end the window at midnight",
            allow_retries=False,
        )
    return staleness.all_stored(analysis.database, window.days[0], window.days[-1])


def stale(analysis: Analysis, found: Iterable[SpanCount], of_types: Sequence[str] | None = None) -> list[date]:
    """Return the days with stale history; the partial day only if P50s come from the history."""
    window = analysis.window
    return staleness.stale_days(
        analysis.database,
        learned_from(window).start.date(),
        window.end.date(),
        types(analysis) if of_types is None else of_types,
        _part_day(window) if method(analysis, found) == "histogram" else None,
        marked=analysis.progress.marked,
    )


def bring_up_to_date(analysis: Analysis, found: Iterable[SpanCount]) -> tuple[list[date], int, int]:
    """Recount stale days and rebuild their blocks; return these days, their rows, and the number of blocks."""
    days, window = stale(analysis, found), analysis.window
    if analysis.is_dry:
        analysis.progress.uncounted = days
        return days, 0, 0
    # The partial day is counted in every analysis, which need not decide as often.
    closed = [day for day in days if day < window.end.date()]
    decided = [
        name_folding.decide(analysis.database, closed, analysis.hold),
        name_sharing.decide(analysis.database, closed, analysis.hold),
        slice_choice.decide(analysis.database, closed, analysis.hold),
    ]
    if any(decided):
        days = stale(analysis, found, _whole_types(analysis))
    rows = _count(analysis, days, types(analysis))
    if decided[-1]:
        # Other days lack only new slices.
        later = stale(analysis, found)
        rows += _count(analysis, later, name_slices.types(analysis.database))
        days = sorted({*days, *later})
    made = blocks.make(
        analysis.database, learned_from(window).start.date(), window.end.date(), types(analysis), analysis.hold
    )
    analysis.progress.uncounted = []
    return days, rows, made


def _count(analysis: Analysis, days: Sequence[date], of_types: Sequence[str]) -> int:
    part_day = _part_day(analysis.window)
    return histograms.rebuild(analysis.database, days, of_types, seen(analysis), analysis.hold, part_day=part_day)


def uncounted(analysis: Analysis) -> list[date]:
    """Return the days that must be read from their spans."""
    if analysis.progress.uncounted is None:
        analysis.progress.uncounted = stale(analysis, in_window(analysis))
    return analysis.progress.uncounted


def durations(analysis: Analysis, of_types: Sequence[str], window: Window) -> list[tuple]:
    """Return the durations of each dimension per bucket; see ``store.history.buckets.of_window``."""
    chosen = sorted(set(uncounted(analysis)) & set(window.days))
    return buckets.of_window(analysis.database, window, of_types, seen(analysis), chosen)


def _part_day(window: Window) -> datetime | None:
    return window.end if len(window.closed_days) < len(window.days) else None
