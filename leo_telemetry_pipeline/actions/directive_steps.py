"""Steps of directives: drafting and settling after an analysis, and the decisions of people.

Belongs here: transactions that change directives and their items together. Does not: which items get one and what
follows from their ends (directive_policy), wording (directives), SQL (store).
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from leo_telemetry_pipeline.actions import directive_policy as policy
from leo_telemetry_pipeline.actions import directives as wording
from leo_telemetry_pipeline.actions.item_decisions import require_short
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import directives as store
from leo_telemetry_pipeline.store import item_pages, items
from leo_telemetry_pipeline.store.directives import Directive, IllegalStep
from leo_telemetry_pipeline.store.items import SYSTEM, Item, Transition
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class Decision:
    """Step that a person may take: its name when done, the directive's status after it, and that of its items.

    ``means``: what follows, in words. ``allowed``: statuses from which the database allows it. Items in another state
    than ``from_items`` stay in it: they are further already, or have ended.
    """

    done: str
    to: str
    means: str
    allowed: tuple[str, ...]
    items_to: str = ""
    from_items: tuple[str, ...] = ()


_NOT_APPROVED = ("draft", "pending_approval", "deferred")
DECISIONS = {
    "approve": Decision(
        "approved",
        "active",
        "work may begin, and its items are IN_PROGRESS",
        _NOT_APPROVED,
        "IN_PROGRESS",
        policy.WAITING,
    ),
    "start": Decision(
        "started",
        "in_progress",
        "its items are IN_PROGRESS",
        ("active", "planning", "review"),
        "IN_PROGRESS",
        policy.WAITING,
    ),
    "done": Decision(
        "done",
        "review",
        "its items are VERIFYING until two analyses at least one day apart find them fast again",
        ("active", "planning", "in_progress"),
        "VERIFYING",
        (*policy.WAITING, "IN_PROGRESS"),
    ),
    "cancel": Decision(
        "cancelled",
        "cancelled",
        "the next analysis may draft another while its items are slow; dismiss or accept them to prevent that",
        (*_NOT_APPROVED, "active", "planning", "in_progress", "review"),
    ),
}


@dataclass(frozen=True)
class Followed:
    """Directives that were drafted and settled after an analysis, by key; for settled ones, with the reason."""

    drafted: tuple[str, ...]
    settled: tuple[tuple[str, str], ...]


def possible(directive: Directive) -> list[str]:
    """Return the steps that a person can take now."""
    return [name for name, decision in DECISIONS.items() if directive.status in decision.allowed]


def decide(database: Database, directive: Directive, decision: Decision, by: str, reason: str, at: datetime) -> None:
    """Take a person's step, and move the items with it. Raises UserError if the status does not allow it."""
    _require_possible(directive, decision)
    require_short(reason)
    found = _items(database, directive)
    try:
        with database.transaction() as cursor:
            store.act_as(cursor, by, reason)
            store.move(cursor, directive, decision.to)
            for item in found:
                if item.status in decision.from_items:
                    words = f"{directive.sd_key} is {decision.to}: {reason}"
                    step = Transition(item.id, item.status, decision.items_to, item.status_since, at, by, words)
                    if not items.move(cursor, step):
                        raise IllegalStep
    except IllegalStep:
        raise UserError(f"{directive.sd_key} was changed by someone else meanwhile: look at it again") from None


def _require_possible(directive: Directive, decision: Decision) -> None:
    where, others = f"{directive.sd_key} is {directive.status}", [DECISIONS[name].done for name in possible(directive)]
    if directive.status == decision.to:
        raise UserError(f"{where} already")
    if not others:
        raise UserError(f"{where}, which is final")
    if directive.status not in decision.allowed:
        raise UserError(f"{where}: it can be {' or '.join(others)}, not {decision.done}")


def follow(database: Database, settings: Settings) -> Followed:
    """Settle the directives whose items ended or came back, then draft those that the policy asks for."""
    settled = _settle(database)
    return Followed(_draft(database, settings), settled)


def _settle(database: Database) -> tuple[tuple[str, str], ...]:
    settled = []
    for directive in store.live(database):
        found = _items(database, directive)
        last = {item.id: event for item in found for event in items.events(database, item.id)}
        step = policy.settle(directive, found, last)
        if step is None:
            continue
        # Whoever changed it first wins; the next analysis looks again.
        with suppress(IllegalStep), database.transaction() as cursor:
            store.act_as(cursor, SYSTEM, step.reason)
            store.move(cursor, directive, step.to, outcome=step.outcome)
            settled.append((directive.sd_key, step.reason))
    return tuple(settled)


def _draft(database: Database, settings: Settings) -> tuple[str, ...]:
    seen, drafted = store.days_seen(database), []
    candidates = [policy.Candidate(item, seen.get(item.id, 0)) for item in item_pages.active(database)]
    for group in policy.to_draft(candidates, store.live(database), policy.Policy.of(settings)):
        content = wording.draft(group, settings.directive_application)
        with database.transaction() as cursor:
            store.act_as(cursor, SYSTEM, f"drafted from item {group[0].id}")
            key = store.add(cursor, wording.key_prefix(group[0]), content, [item.id for item in group])
        drafted += [key] if key else []
    return tuple(drafted)


def _items(database: Database, directive: Directive) -> list[Item]:
    found = (items.get(database, item_id) for item_id in directive.item_ids)
    return [item for item in found if item]
