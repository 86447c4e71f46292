"""Decisions of people on items (dismissed as noise, accepted), collected per dimension.

Belongs here: their consequence for the dimension's baseline. Pure: no database, no clock.
Does not: closing items (store.items), learning baselines (analysis.baselines).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from leo_telemetry_pipeline.dimension import Baseline, Dimension
from leo_telemetry_pipeline.store.items import Item


@dataclass(frozen=True)
class Account:
    """How often items of a dimension were dismissed as noise, and when one was last accepted at its level."""

    noise: int = 0
    accepted_at: datetime | None = None


def ledger(items: Iterable[Item]) -> dict[Dimension, Account]:
    """Return the decisions per dimension: on items named after it, and on those that list it as a member."""
    accounts: dict[Dimension, Account] = {}
    for item in items:
        accepted_at = item.closed_at if item.status == "ACCEPTED" else None
        if not item.noise_count and accepted_at is None:
            continue
        for dimension in dimensions_of(item.source_detail):
            before = accounts.get(dimension, Account())
            moments = [moment for moment in (before.accepted_at, accepted_at) if moment]
            accounts[dimension] = Account(before.noise + item.noise_count, max(moments, default=None))
    return accounts


def may_rise(account: Account | None, accepted_at: datetime | None, moved_at: datetime) -> bool:
    """Return whether a person has declared, since a baseline moved, that a higher level may be normal."""
    declared = (accepted_at, account.accepted_at if account else None)
    return any(moment is not None and moment > moved_at for moment in declared)


def remembered(kept: Iterable[Baseline], accounts: Mapping[Dimension, Account], window_end: datetime) -> list[Baseline]:
    """Return the stored baselines with the effect of these decisions, for an analysis of a window.

    Omits baselines learned from a later window, which must not affect the analysis of an earlier one.
    """
    remembered_baselines = []
    for baseline in kept:
        if baseline.window_end is None or baseline.window_end <= window_end:
            account = accounts.get(baseline.dimension)
            rises = baseline.moved_at is not None and may_rise(account, baseline.accepted_at, baseline.moved_at)
            evidence = {**baseline.evidence, "noise_dismissals": account.noise if account else 0}
            remembered_baselines.append(replace(baseline, may_rise=rises, evidence=evidence))
    return remembered_baselines


def dimensions_of(detail: Mapping[str, Any]) -> list[Dimension]:
    """Return the dimensions of an item, without duplicates: the one it is named after, then its members."""
    members = detail.get("members")
    named = [detail, *(one for one in members if isinstance(one, Mapping))] if isinstance(members, list) else [detail]
    dimensions = [(one.get("dimension_type", ""), one.get("dimension_key", "")) for one in named]
    valid = [dimension for dimension in dimensions if all(part and isinstance(part, str) for part in dimension)]
    return list(dict.fromkeys(valid))
