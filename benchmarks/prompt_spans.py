"""Spans of one generated prompt of Claude Code, drawn by a seeded generator.

Belongs here: opening and closing spans of one trace. Does not: what a prompt does (sessions, model_sessions).
"""

import random
import uuid
from typing import Any

from leo_telemetry_pipeline.span import Span


class SpansOfPrompt:
    """The spans of one trace in a session of its own; times in ms."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._trace, self._session = self._new_id(), self._new_id()
        self._made: list[Span] = []

    def _open(self, span_type: str, name: str, at: int, parent: Span | None) -> Span:
        common: dict[str, Any] = {"service.name": "claude-code", "session.id": self._session}
        span = Span(
            trace_id=self._trace,
            span_id=self._new_id(),
            parent_span_id=parent.span_id if parent else None,
            span_type=span_type,
            span_name=name,
            start_time_ms=at,
            attributes=common,
        )
        self._made.append(span)
        return span

    def _close(self, span: Span, at: int) -> int:
        span.end_time_ms, span.duration_ms, span.status = at, at - span.start_time_ms, "OK"
        return at

    def _noisy(self, seconds: float, sigma: float = 0.25) -> int:
        return round(1000 * seconds * self._rng.lognormvariate(0.0, sigma))

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
