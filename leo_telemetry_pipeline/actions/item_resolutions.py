"""Resolutions of items (fixed, noise, expected), counted per dimension.

Belongs here: the count, and what it means for the dimension's baseline. Pure: no database, no clock.
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
    """How many closed items of a dimension were what.

    ``settled_at`` is when the last one was closed as fixed or expected, after which its level may be the normal one.
    """

    fixed: int = 0
    noise: int = 0
    expected: int = 0
    settled_at: datetime | None = None


def ledger(items: Iterable[Item]) -> dict[Dimension, Account]:
    """Count the closed items of each dimension, for the one they are named after and for their members."""
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
    """Tell whether somebody has said, since a baseline moved, that a higher level may be normal."""
    said = [moment for moment in (accepted_at, account.settled_at if account else None) if moment is not None]
    return any(moment > moved_at for moment in said)


def remembered(kept: Iterable[Baseline], accounts: Mapping[Dimension, Account], window_end: datetime) -> list[Baseline]:
    """Return the baselines of a scope for an analysis of a window, with what people have said of each since it moved.

    What was learned from a later window is left out: a look back must not judge by it.
    """
    made = []
    for one in kept:
        if one.window_end is None or one.window_end <= window_end:
            account = accounts.get(one.dimension)
            rises = one.moved_at is not None and may_rise(account, one.accepted_at, one.moved_at)
            evidence = {**one.evidence, "noise_dismissals": account.noise if account else 0}
            made.append(replace(one, may_rise=rises, evidence=evidence))
    return made


def dimensions_of(detail: Mapping[str, Any]) -> list[Dimension]:
    """Return the dimensions that an item is about: the one it is named after first, then its members."""
    members = detail.get("members")
    named = [detail, *(one for one in members if isinstance(one, Mapping))] if isinstance(members, list) else [detail]
    found = [(one.get("dimension_type", ""), one.get("dimension_key", "")) for one in named]
    named_by = [dimension for dimension in found if all(part and isinstance(part, str) for part in dimension)]
    return list(dict.fromkeys(named_by))
