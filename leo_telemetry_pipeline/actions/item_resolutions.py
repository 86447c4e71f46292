"""Decisions of people on items (dismissed as noise, accepted), collected per dimension.

Belongs here: their consequence for the dimension's baseline. Pure: no database, no clock.
Does not: closing items (store.items), learning baselines (analysis.baselines).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from leo_telemetry_pipeline.dimension import Baseline, Dimension
from leo_telemetry_pipeline.store.items import Item


@dataclass(frozen=True)
class Account:
    """How often items of a dimension were dismissed as noise, and the last acceptance: its time, and its window day."""

    noise: int = 0
    accepted_at: datetime | None = None
    accepted_on: date | None = None


def ledger(items: Iterable[Item]) -> dict[Dimension, Account]:
    """Return the decisions per dimension: on items named after it, and on those that list it as a member."""
    accounts: dict[Dimension, Account] = {}
    for item in sorted(items, key=lambda one: one.closed_at or one.created_at):
        for dimension in dimensions_of(item.source_detail) if item.noise_count or item.status == "ACCEPTED" else ():
            before = accounts.get(dimension, Account())
            account = replace(before, noise=before.noise + item.noise_count)
            if item.status == "ACCEPTED":
                day = item.status_since.astimezone(UTC).date()
                account = replace(account, accepted_at=item.closed_at, accepted_on=day)
            accounts[dimension] = account
    return accounts


def accepted_on(account: Account | None, accepted_at: datetime | None, moved_at: datetime) -> date | None:
    """Return the day on which a person last declared, since a baseline moved, that its level is normal."""
    days = []
    if accepted_at and accepted_at > moved_at:
        days.append(accepted_at.astimezone(UTC).date())
    if account and account.accepted_at and account.accepted_on and account.accepted_at > moved_at:
        days.append(account.accepted_on)
    return max(days, default=None)


def remembered(kept: Iterable[Baseline], accounts: Mapping[Dimension, Account], window_end: datetime) -> list[Baseline]:
    """Return the stored baselines with the effect of these decisions, for an analysis of a window.

    Omits baselines learned from a later window, which must not affect the analysis of an earlier one.
    """
    remembered_baselines = []
    for baseline in kept:
        if baseline.window_end is None or baseline.window_end <= window_end:
            account = accounts.get(baseline.dimension)
            moved_at = baseline.moved_at
            accepted = accepted_on(account, baseline.accepted_at, moved_at) if moved_at else None
            evidence = {**baseline.evidence, "noise_dismissals": account.noise if account else 0}
            remembered_baselines.append(replace(baseline, accepted_on=accepted, evidence=evidence))
    return remembered_baselines


def dimensions_of(detail: Mapping[str, Any]) -> list[Dimension]:
    """Return the dimensions of an item, without duplicates: the one it is named after, then its members."""
    members = detail.get("members")
    named = [detail, *(one for one in members if isinstance(one, Mapping))] if isinstance(members, list) else [detail]
    dimensions = [(one.get("dimension_type", ""), one.get("dimension_key", "")) for one in named]
    valid = [dimension for dimension in dimensions if all(part and isinstance(part, str) for part in dimension)]
    return list(dict.fromkeys(valid))
