"""Conclusion of an analysis: its summary, its items, their alerts and the end of its run, in one transaction.

Belongs here: the shape of ``output_ref``, and the transaction that commits all findings or none.
Does not: which bottlenecks get items (actions.items), how findings are shown (cli).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg2.extensions

from leo_telemetry_pipeline.actions import item_life, mixed, run_alerts
from leo_telemetry_pipeline.actions import items as planning
from leo_telemetry_pipeline.actions.alerts import Policy
from leo_telemetry_pipeline.analysis.bottlenecks import JUDGED
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension, DimensionResult, ExplainedCause, Judgement
from leo_telemetry_pipeline.store import items, runs, span_totals, thresholds
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.items import SYSTEM, Item, Occurrence, Transition
from leo_telemetry_pipeline.store.server.database import Database

WEEK = timedelta(days=7)
_MEASURED = ("ratio", "observed_p50_ms", "baseline_p50_ms", "sample_count")


@dataclass(frozen=True)
class Summary:
    """Result of judging: bottlenecks, worst first, with their causes, and the number of dimensions per outcome.

    ``largest_sample``: spans of the largest dimension. ``pooled``: spans per dimension type with more
    than the maximum number of keys. ``folded``: dimensions that stand for names with ids.
    ``shared``: names that are judged per service or kind. ``lacking``: what the largest dimension without a baseline
    lacks. ``mixes``: judgements whose ``mix`` changed. ``slices_left_out``: the number of names and attributes whose
    values are not counted. ``judged``: the result of every dimension.
    """

    bottlenecks: tuple[Bottleneck, ...]
    outcomes: dict[str, int]
    largest_sample: int
    needed_sample: int
    p50_method: str
    pooled: dict[str, int]
    causes: tuple[ExplainedCause, ...] = ()
    folded: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    mixes: tuple[Judgement, ...] = ()
    slices_left_out: int = 0
    lacking: str | None = None
    judged: tuple[DimensionResult, ...] = ()


@dataclass(frozen=True)
class _Writes:
    """What the last transaction writes about items."""

    plan: planning.Plan
    occurrences: Sequence[Occurrence]
    transitions: Sequence[Transition]
    known: Sequence[Item]


def conclude(
    database: Database,
    summary: Summary,
    window: Window,
    *,
    run_id: str | None,
    dagster_run_id: str,
    errors: Sequence[dict[str, str]],
    policy: Policy | None = None,
) -> dict[str, Any]:
    """Write items and alerts, end the run as SUCCEEDED, and return its ``output_ref``; without ``run_id``, only that.

    Raises store.runs.LostRun, with nothing written, if the run is no longer RUNNING for this Dagster run.
    """
    explained = {name: note for cause in summary.causes for name, note in notes(cause)}
    of_mix = {one.dimension: mixed.line(one.mix) for one in summary.mixes if one.mix}
    bottlenecks = causes_first([_explained(found, window, explained, of_mix) for found in summary.bottlenecks])
    writes = _decided(database, summary, bottlenecks, window, run_id or "")
    plan = writes.plan
    run = runs.get(database, run_id) if run_id else None
    metadata = run.metadata if run else {}
    scanned, traces = metadata.get("traces_scanned"), metadata.get("trace_count")
    if scanned is None:
        scanned, traces = span_totals.count(database, window)
    output_ref = {
        "traces_scanned": scanned,
        "dimensions_evaluated": sum(summary.outcomes[name] for name in JUDGED),
        "bottlenecks": [one.as_json() | {"improvement_id": None} for one in bottlenecks],
        "items_created": len(plan.create) + len(plan.reopen),
        "items_skipped_rate_limit": plan.skipped_rate_limit,
        "items_skipped_dedupe": plan.skipped_dedupe,
        "errors": list(metadata.get("errors") or errors),
        "trace_count": traces,
        "p50_method": summary.p50_method,
        "pooled": summary.pooled,
        "folded": list(summary.folded),
        "shared": list(summary.shared),
        "mixes": [_mixed(one) for one in summary.mixes],
        "slices_left_out": summary.slices_left_out,
        "dimensions_not_judged": {name: count for name, count in summary.outcomes.items() if name not in JUDGED},
        "largest_sample": summary.largest_sample,
        "needed_sample": summary.needed_sample,
        "lacking": summary.lacking,
    }
    if run_id is not None:
        _commit(database, writes, output_ref, window, run_id, dagster_run_id, policy or Policy())
    return output_ref


def _decided(
    database: Database, summary: Summary, bottlenecks: Sequence[Bottleneck], window: Window, run_id: str
) -> _Writes:
    # NumPy takes long to import, and only analyses need it.
    from leo_telemetry_pipeline.actions import item_steps

    known = items.of_scope(database, window.project)
    results = {one.dimension: one for one in summary.judged}
    slow = {one.dimension for one in bottlenecks}
    wanted = [item.dimension for item in known if item.dimension and (item.is_active or item.dimension in slow)]
    past = item_steps.read(database, window, wanted)

    def may_return(item: Item, found: Bottleneck) -> bool:
        first = max(item_life.first_day_since(item.status_since), found.onset_day or window.start.date())
        since = past.since(found.dimension, first.toordinal(), found.baseline_p50_ms * found.multiplier)
        result = results.get(found.dimension)
        least = result.min_samples if result and result.min_samples else 1
        return item_life.returns(item, found, since, least, window)

    plan = planning.plan(
        bottlenecks,
        known,
        _limits(database, bottlenecks),
        project=window.project,
        run_id=run_id,
        window_start=window.start,
        window_end=window.end,
        causes=summary.causes,
        may_return=may_return,
    )
    streaks = items.streaks(database, window.project)
    occurrences, transitions = item_steps.steps(database, known, results, streaks, past, window, run_id)
    return _Writes(plan, occurrences, transitions, known)


def _commit(
    database: Database,
    writes: _Writes,
    output_ref: dict[str, Any],
    window: Window,
    run_id: str,
    dagster_run_id: str,
    policy: Policy,
) -> None:
    plan = writes.plan
    with database.transaction() as cursor:
        runs.fence(cursor, run_id, dagster_run_id)
        ids: dict[str, str | None] = dict(items.active_ids(cursor, plan.item_of.values()))
        ids |= {draft.fingerprint: items.update(cursor, draft) for draft in plan.update}
        _opened(cursor, plan, ids, window, run_id)
        items.put_occurrences(cursor, writes.occurrences)
        for step in writes.transitions:
            items.move(cursor, step)
        run_alerts.write(cursor, plan, writes.known, ids.values(), window.end, run_id, policy)
        for bottleneck in output_ref["bottlenecks"]:
            mark = planning.fingerprint(bottleneck["dimension_type"], bottleneck["dimension_key"], window.project)
            bottleneck["improvement_id"] = ids.get(plan.item_of[mark])
        reason = "COMPLETED" if output_ref["dimensions_evaluated"] else "INSUFFICIENT_DATA"
        if not runs.finish(cursor, run_id, dagster_run_id, "SUCCEEDED", reason, output_ref=output_ref):
            raise runs.LostRun(f"analysis run {run_id} no longer belongs to this Dagster run")


def _opened(
    cursor: psycopg2.extensions.cursor,
    plan: planning.Plan,
    ids: dict[str, str | None],
    window: Window,
    run_id: str,
) -> None:
    """Open new and returning items with their first occurrence, and add them to ``ids`` by fingerprint."""
    seen = []
    for item, draft in [*((None, draft) for draft in plan.create), *plan.reopen]:
        item_id = item.id if item else ""
        status, since = (item.status, item.status_since) if item else ("", window.end)
        step = Transition(item_id, status, "OPEN", since, window.end, SYSTEM, draft.title, run_id)
        if item is None:
            ids[draft.fingerprint] = items.write(cursor, draft, step)
        elif items.move(cursor, step, draft):
            ids[draft.fingerprint] = item.id
        if opened := ids.get(draft.fingerprint):
            ratio, p50_ms, baseline_ms, count = (draft.source_detail[name] for name in _MEASURED)
            episode = item.episode + 1 if item else 1
            measured = (ratio, p50_ms, baseline_ms, count, item_life.SLOW)
            seen.append(Occurrence(opened, run_id, episode, window.end, *measured))
    items.put_occurrences(cursor, seen)


def notes(cause: ExplainedCause) -> Iterator[tuple[Dimension, dict[str, Any]]]:
    """Yield the explanation of each dimension of a cause, with the cause's name as ``cause``."""
    for explained in (cause, *cause.members):
        explanation = {name: getattr(explained, name) for name in ("why", "measured", "set_apart_by")}
        yield explained.dimension, explanation | {"cause": cause.name, "slow_value": cause.value}


def causes_first(bottlenecks: Sequence[Bottleneck]) -> list[Bottleneck]:
    """Return bottlenecks, given worst first, with each cause before its members."""
    names = {one.name: one for one in bottlenecks}
    ordered: dict[str, Bottleneck] = {}
    for name, one in names.items():
        if one.cause in names:
            ordered.setdefault(one.cause, names[one.cause])
        ordered.setdefault(name, one)
    return list(ordered.values())


def _mixed(one: Judgement) -> dict[str, Any]:
    names = ("dimension_type", "dimension_key", "observed_p50_ms", "ratio", "resolution_ms")
    found = {name: getattr(one, name) for name in names} | {"baseline_p50_ms": one.baseline and one.baseline.p50_ms}
    return found | {"mix": one.mix and one.mix.as_json()}


def _explained(
    found: Bottleneck, window: Window, explained: Mapping[Dimension, dict[str, Any]], mixes: Mapping[Dimension, str]
) -> Bottleneck:
    lost_ms = found.added_ms * found.slow_count * (WEEK / (window.end - window.start))
    found = replace(found, lost_ms_a_week=lost_ms, **({"cause": found.name} | explained.get(found.dimension, {})))
    # Only a bottleneck by a configured threshold has a changed mix: others are then no bottlenecks.
    line = mixes.get(found.dimension)
    return replace(found, measured=[line, *found.measured]) if line else found


def _limits(database: Database, bottlenecks: Sequence[Bottleneck]) -> dict[str, planning.Limits]:
    types = sorted({one.dimension_type for one in bottlenecks})
    # Limits apply to a type, so look them up without a key: the row of a single key must not change them.
    return {
        one.dimension_type: planning.Limits(one.max_items_per_run, one.max_items_per_day, one.cooldown_hours)
        for one in thresholds.effective(database, [(dimension_type, "") for dimension_type in types])
    }
