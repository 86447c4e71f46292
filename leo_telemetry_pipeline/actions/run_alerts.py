"""Alerts of one analysis, written in the transaction that moves its items.

Belongs here: the transitions that people are told about, with the facts of their items.
Does not: deciding (alerts), SQL (store), the transaction (findings).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg2.extensions

from leo_telemetry_pipeline.actions import alerts
from leo_telemetry_pipeline.actions.alerts import Policy, Transition
from leo_telemetry_pipeline.actions.items import Plan
from leo_telemetry_pipeline.store import item_episodes, items, outbox
from leo_telemetry_pipeline.store.items import Event, Item

_DETAILS = {
    "p50_ms": "observed_p50_ms",
    "baseline_p50_ms": "baseline_p50_ms",
    "lost_ms_a_week": "lost_ms_a_week",
    "why": "why",
    "onset_day": "onset_day",
}


def write(
    cursor: psycopg2.extensions.cursor,
    plan: Plan,
    known: Sequence[Item],
    opened: Iterable[str | None],
    window_end: datetime,
    run_id: str,
    policy: Policy,
) -> None:
    """Write the alerts of an analysis, after its items; ``opened`` are the ids of its bottlenecks' items."""
    touched = {*(one.id for one in known if one.is_active), *filter(None, opened)}
    moved, openings = items.moved(cursor, touched, run_id), item_episodes.openings(cursor, touched)
    seen_again = _seen_again(plan, known, {item.id for item, _ in moved}, window_end, run_id)
    told = [replace(one, opened_at=openings.get(one.item_id, one.opened_at)) for one in (*_moved(moved), *seen_again)]
    if told:
        outbox.write(cursor, alerts.decide(told, policy, outbox.written_on(cursor, window_end.date())))


def _moved(moved: Iterable[tuple[Item, Event]]) -> Iterator[Transition]:
    for item, event in moved:
        yield Transition(
            item_id=item.id,
            name=_name(item.source_detail, item.title),
            episode=event.episode,
            from_status=event.from_status,
            to_status=event.to_status,
            window_end=event.window_end,
            opened_at=item.opened_at,
            ratio=_ratio(item.source_detail),
            actor=event.actor,
            run_id=event.run_id,
            effect=event.effect,
            details=_details(item.id, item.source_detail),
        )


def _seen_again(
    plan: Plan, known: Sequence[Item], moved: set[str], window_end: datetime, run_id: str
) -> Iterator[Transition]:
    by_mark = {one.fingerprint: one for one in known if one.is_active and one.id not in moved}
    for draft in plan.update:
        item = by_mark.get(draft.fingerprint)
        if item is None or item.last_seen_at > window_end:
            continue
        yield Transition(
            item_id=item.id,
            name=_name(item.source_detail, item.title),
            episode=item.episode,
            from_status=item.status,
            to_status=item.status,
            window_end=window_end,
            opened_at=item.opened_at,
            ratio=_ratio(draft.source_detail),
            ratio_before=_ratio(item.source_detail),
            run_id=run_id,
            details=_details(item.id, draft.source_detail),
        )


def _name(detail: Mapping[str, Any], title: str) -> str:
    of_type, key = detail.get("dimension_type"), detail.get("dimension_key")
    return f"{of_type}:{key}" if of_type and key else title


def _ratio(detail: Mapping[str, Any]) -> float | None:
    ratio = detail.get("ratio")
    return float(ratio) if isinstance(ratio, int | float) else None


def _details(item_id: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    return {"item_id": item_id} | {name: detail.get(of) for name, of in _DETAILS.items()}
