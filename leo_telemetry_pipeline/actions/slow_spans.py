"""Alerts about overdue operations: which ones people are told about, before they end.

Belongs here: keys, grouping, caps, wording. Pure: no database, no clock. Does not: reading operations (operations),
alerts about items (alerts).
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from leo_telemetry_pipeline.actions.alerts import MOST_LISTED
from leo_telemetry_pipeline.actions.items import lasted
from leo_telemetry_pipeline.actions.operations import RunningOperation
from leo_telemetry_pipeline.store.outbox import Alert

KIND = "slow_span"
# The other alerts of a day are for items.
SHARE = 3
# Trace id and span id.
_Span = tuple[str | None, str | None]


@dataclass(frozen=True)
class Told:
    """What was told before: keys of alerts, and how many alerts with a cap were written today, and of this kind."""

    keys: Collection[str] = ()
    today: int = 0
    of_this_kind: int = 0


def overdue(operations: Sequence[RunningOperation]) -> dict[str, RunningOperation]:
    """Return the operations to tell about by the key of their alert, those that are late longest first.

    An operation whose own part is overdue is not listed: the part is why it is late. One whose process seems gone may
    have ended.
    """
    parents = {_span(one): (one.trace_id, one.parent_span_id) for one in operations if one.span_id}
    late = [one for one in operations if one.is_overdue and not one.seems_gone]
    explained = {above for one in late for above in _above(one, parents)}
    causes = [one for one in late if one.span_id is None or _span(one) not in explained]
    causes.sort(key=lambda one: (-(one.worked_s - (one.time_out_s or 0)), _key(one)))
    return {_key(one): one for one in causes}


def decide(found: dict[str, RunningOperation], told: Told, per_day: int, now: datetime) -> list[Alert]:
    """Return the alerts about operations that nobody was told of: those over the caps become one digest per day."""
    new = [(key, one) for key, one in found.items() if key not in told.keys]
    allowed = max(0, min(per_day // SHARE - told.of_this_kind, per_day - told.today))
    return [*(_alert(key, one, now) for key, one in new[:allowed]), *_overflow([one for _, one in new[allowed:]], now)]


def _span(one: RunningOperation) -> _Span:
    return one.trace_id, one.span_id


def _above(one: RunningOperation, parents: Mapping[_Span, _Span]) -> Iterator[_Span]:
    """Yield the ids of the spans around an operation."""
    seen, at = set(), parents.get(_span(one))
    while at is not None and at not in seen:
        seen.add(at)
        yield at
        at = parents.get(at)


def _key(one: RunningOperation) -> str:
    if one.span_id is not None:
        return f"{KIND}:{one.trace_id}:{one.span_id}"
    # Session ids and names come from outside, so they may be long or hold any character.
    parts = f"{one.session}\n{one.span_type}\n{one.span_name}\n{one.started_at.timestamp()}"
    return f"{KIND}:{hashlib.sha256(parts.encode(errors='replace')).hexdigest()[:32]}"


def _alert(key: str, one: RunningOperation, now: datetime) -> Alert:
    name = f"{one.span_type}:{one.span_name}"
    return Alert(
        key=key,
        kind=KIND,
        severity="warning",
        title=f"Overdue: {name} has not ended after {lasted(one.worked_s)}",
        body={
            "name": name,
            "started_at": one.started_at.isoformat(),
            "worked_s": round(one.worked_s, 1),
            "time_out_s": round(one.time_out_s or 0, 1),
            "process": f"session {one.session}" if one.session is not None else f"process {one.pid} on {one.host}",
            "project": one.project,
            "sd_id": one.sd_id,
            "trace_id": one.trace_id,
        },
        window_end=now,
    )


def _overflow(over: Sequence[RunningOperation], now: datetime) -> Iterable[Alert]:
    if not over:
        return
    listed = [
        {"name": f"{one.span_type}:{one.span_name}", "worked_s": round(one.worked_s, 1)} for one in over[:MOST_LISTED]
    ]
    yield Alert(
        key=f"digest:{KIND}:{now:%Y-%m-%d}",
        kind="digest",
        severity="warning",
        title=f"{len(over)} more {'operation is' if len(over) == 1 else 'operations are'} overdue",
        body={"operations": listed, "more": len(over) - len(listed)},
        window_end=now,
    )
