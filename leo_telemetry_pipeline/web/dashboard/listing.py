"""Lists in parts of fixed size: the link to the next part holds the place after which it begins.

Belongs here: places as text, and cutting a part. Does not: the queries (store), the lists (pages).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.web.dashboard.page import Missing

SIZE = 50
LONGEST_SEARCH = 200
_BETWEEN = "~"

T = TypeVar("T")
Place = tuple[Any, ...]


@dataclass(frozen=True)
class Part(Generic[T]):
    """Part of a list; ``place``: the place after which the next part begins, empty at the end."""

    rows: tuple[T, ...]
    place: str


def cut(rows: Sequence[T], place_of: Callable[[T], Sequence[object]]) -> Part[T]:
    """Return the first ``SIZE`` rows; a further row only shows that there is a next part."""
    kept = tuple(rows[:SIZE])
    return Part(kept, written(place_of(kept[-1])) if len(rows) > SIZE else "")


def written(place: Sequence[object]) -> str:
    """Write a place as text."""
    return _BETWEEN.join(part.isoformat() if isinstance(part, datetime) else str(part) for part in place)


def parsed(text: str, parsers: Sequence[Callable[[str], Any]]) -> Place | None:
    """Read a place, None for the start of the list. Raises Missing."""
    if not text:
        return None
    parts = text.split(_BETWEEN, len(parsers) - 1)
    try:
        return tuple(parse(part) for parse, part in zip(parsers, parts, strict=True))
    except (ValueError, OverflowError):
        raise Missing("This list has no such part: open it from its start") from None


def search(text: str) -> str:
    """Return what somebody searches for, cut to a sensible length."""
    return text.strip()[:LONGEST_SEARCH]


def moment(text: str) -> datetime:
    """Read a time. Raises ValueError."""
    return datetime.fromisoformat(text).astimezone(UTC)


def truth(text: str) -> bool:
    """Read a truth value. Raises ValueError."""
    return bool(("False", "True").index(text))


def dimension(text: str) -> Dimension | None:
    """Read the name of a dimension, None for an empty one. Raises Missing."""
    if not text:
        return None
    of_type, _, key = text.partition(":")
    if not of_type or not key:
        raise Missing(f"{text} is not a dimension: a name has a type and a key, such as gate:GATE_PRD_REQUIRED")
    return of_type, key
