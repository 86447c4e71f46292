"""Policy: which items get a directive, and what becomes of one when its items end.

Belongs here: these decisions, as pure functions of rows. Does not: wording (directives), doing it (directive_steps).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leo_telemetry_pipeline.actions.directives import cause_of, facts_of
from leo_telemetry_pipeline.actions.item_detail import Known
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.directives import Directive
from leo_telemetry_pipeline.store.items import Event, Item

# Items that nobody works on yet.
WAITING = ("OPEN", "ACKNOWLEDGED")


@dataclass(frozen=True)
class Policy:
    """What an item must reach to get a directive: severity ratio, days of analyses that saw it, time lost per week."""

    ratio: float
    analyses: int
    lost_ms_a_week: float

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        """Return the policy that the settings describe."""
        return cls(settings.directive_ratio, settings.directive_analyses, 1000.0 * settings.directive_lost)


@dataclass(frozen=True)
class Candidate:
    """Item, and on how many days of window time an analysis of its present episode saw it."""

    item: Item
    analyses: int


@dataclass(frozen=True)
class Step:
    """Status that a directive moves to, the reason, and what was measured if that completes it."""

    to: str
    reason: str
    outcome: dict[str, Any] | None = None


def to_draft(candidates: Sequence[Candidate], live: Sequence[Directive], policy: Policy) -> list[list[Item]]:
    """Return the items of each new directive: one per cause, most time lost first.

    All waiting items of a cause share the directive, once one of them meets the policy. A cause with a live directive
    gets no second one.
    """
    served = {item_id for directive in live for item_id in directive.item_ids}
    taken = {(one.metadata.get("project") or "", one.metadata.get("cause")) for one in live}
    causes: dict[tuple[str, str], list[tuple[Candidate, Known]]] = defaultdict(list)
    for candidate in candidates:
        known = facts_of(candidate.item)
        if known is not None and candidate.item.status in WAITING and candidate.item.id not in served:
            causes[known.get("project") or "", cause_of(known)].append((candidate, known))
    groups = [
        sorted(group, key=lambda one: _rank(one[1]))
        for name, group in causes.items()
        if name not in taken and any(_meets(*one, policy) for one in group)
    ]
    groups.sort(key=lambda group: -max(known.get("lost_ms_a_week") or 0 for _, known in group))
    return [[candidate.item for candidate, _ in group] for group in groups]


def _meets(candidate: Candidate, known: Known, policy: Policy) -> bool:
    return (
        known["ratio"] >= policy.ratio
        and candidate.analyses >= policy.analyses
        and (known.get("lost_ms_a_week") or 0) >= policy.lost_ms_a_week
    )


def _rank(known: Known) -> tuple[bool, float]:
    """Rank the item that is named after the cause first, then by time lost."""
    is_member = cause_of(known) != f"{known['dimension_type']}:{known['dimension_key']}"
    return is_member, -(known.get("lost_ms_a_week") or 0)


def settle(directive: Directive, items: Sequence[Item], last: Mapping[str, Event]) -> Step | None:
    """Return the step that follows from the items of a live directive; None while it goes on.

    ``last``: the last event of each item, by id, which says what was measured.
    """
    measured = "; ".join(last[item.id].reason for item in items if item.id in last)
    if directive.status == "review" and any(item.status in WAITING for item in items):
        return Step("in_progress", measured)
    if any(item.is_active for item in items):
        return None
    outcome = {"items": [_outcome(item, last.get(item.id)) for item in items]}
    if not any(item.status == "RESOLVED" for item in items):
        how = ", ".join(sorted({item.status for item in items})) or "deleted"
        return Step("cancelled", f"The items ended without a fix: {how}", outcome)
    if directive.status in ("draft", "pending_approval", "deferred"):
        return Step("cancelled", "The items were resolved before the work began", outcome)
    return Step("completed", measured, outcome)


def _outcome(item: Item, event: Event | None) -> dict[str, Any]:
    measured = {"reason": event.reason, "at": event.window_end.isoformat(), "effect": event.effect} if event else {}
    return {"item_id": item.id, "status": item.status, "episode": item.episode} | measured
