"""Resolutions of items (fixed, noise, expected), counted per dimension.

Belongs here: the count, and its consequence for the dimension's baseline. Pure: no database, no clock.
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
    """Closed items of a dimension, per resolution.

    ``settled_at``: when the last one was closed as fixed or expected; the level since then may be the normal one.
    """

    fixed: int = 0
    noise: int = 0
    expected: int = 0
    settled_at: datetime | None = None


def ledger(items: Iterable[Item]) -> dict[Dimension, Account]:
    """Count the closed items per dimension: those named after it, and those that list it as a member."""
    accounts: dict[Dimension, Account] = {}
    for item in items:
        if item.is_open or item.resolution is None or item.closed_at is None:
            continue
        for dimension in dimensions_of(item.source_detail):
            before = accounts.get(dimension, Account())
            after = replace(before, **{item.resolution: getattr(before, item.resolution) + 1})
            if item.resolution != "noise":
                after = replace(after, settled_at=max(item.closed_at, before.settled_at or item.closed_at))
            accounts[dimension] = after
    return accounts


def may_rise(account: Account | None, accepted_at: datetime | None, moved_at: datetime) -> bool:
    """Return whether a person has declared, since a baseline moved, that a higher level may be normal."""
    declared = (accepted_at, account.settled_at if account else None)
    return any(moment is not None and moment > moved_at for moment in declared)


def remembered(kept: Iterable[Baseline], accounts: Mapping[Dimension, Account], window_end: datetime) -> list[Baseline]:
    """Return the stored baselines with the effect of resolutions, for an analysis of a window.

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
