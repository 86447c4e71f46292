"""Stores to drain a spool into, and the contents of its folder."""

from pathlib import Path
from typing import NamedTuple

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import segments
from leo_telemetry_pipeline.spool.drain import Drained

MB = 1 << 20


class Stored(NamedTuple):
    new: int
    quarantined: int = 0
    completed: int = 0


class Store:
    """A store that keeps its spans in memory."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.removed: dict[str, int] = {}

    def __call__(self, spans: list[Span], removed: dict[str, int]) -> Stored:
        self.spans += spans
        for name, count in removed.items():
            self.removed[name] = self.removed.get(name, 0) + count
        return Stored(len(spans))


def away(spans: list[Span], removed: dict[str, int]) -> Stored:
    raise ConnectionError("the database is away")


def noted(done: Drained) -> None:
    """Accept the result of a drain like an available database."""


def files(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.spans"))


def lines_of(spans: list[Span]) -> bytes:
    return b"".join(map(segments.span_line, spans))
