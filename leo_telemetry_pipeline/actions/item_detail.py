"""Detail of an item's row, as far as it is valid: rows written by SQL may hold anything.

Belongs here: reading ``source_detail``. Pure. Does not: writing it (actions.items).
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from leo_telemetry_pipeline.store.items import Item

Known = Mapping[str, Any]


def known_of(item: Item) -> Known:
    """Return the valid fields of an item's detail; rows written by SQL may hold anything."""
    return _read(item.source_detail, _OF_A_DIMENSION | _OF_AN_ITEM)


def _read(given: Any, readers: Mapping[str, Callable[[Any], Any]]) -> Known:
    read = {name: reader(given.get(name)) for name, reader in readers.items()} if isinstance(given, dict) else {}
    return {name: value for name, value in read.items() if value is not None}


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and abs(value) <= sys.float_info.max else None


def _words(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _list_of_words(value: Any) -> list[str] | None:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else None


def _window(value: Any) -> tuple[datetime, datetime] | None:
    # Start or end may be missing, not be a time, or lie outside the years that Python knows.
    with suppress(KeyError, TypeError, ValueError, OverflowError):
        start, end = (datetime.fromisoformat(value[side]).astimezone(UTC) for side in ("start", "end"))
        return start, end
    return None


def _slow_calls(value: Any) -> Known | None:
    read = _read(value, dict.fromkeys(("share", "p50_ms", "cut_ms", "p90_ms", "p90_before_ms"), _number))
    return read if read.keys() >= {"share", "cut_ms", "p90_ms"} and 0 < read["share"] <= 1 else None


def _members(value: Any) -> list[Known] | None:
    members = [_read(member, _OF_A_DIMENSION) for member in value] if isinstance(value, list) else []
    return [member for member in members if member.get("dimension_type") and member.get("dimension_key")]


_OF_A_DIMENSION: dict[str, Callable[[Any], Any]] = {
    "dimension_type": _words,
    "dimension_key": _words,
    "share": _number,
}
_OF_AN_ITEM: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("project", "baseline_source", "onset_day", "why", "cause", "slow_value"), _words),
    **dict.fromkeys(("observed_p50_ms", "baseline_p50_ms", "multiplier", "ratio", "resolution_ms"), _number),
    **dict.fromkeys(("sample_count", "p_value", "lost_ms_a_week"), _number),
    **dict.fromkeys(("measured", "set_apart_by", "evidence_trace_ids"), _list_of_words),
    "window": _window,
    "members": _members,
    "slow_calls": _slow_calls,
}
