"""Synthetic span history for the demo, with planted slowdowns.

Belongs here: a made-up workflow that resembles the LEO Protocol's, and its slowdowns.
Does not: computing which dimensions they slow, the analysis.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.tracing.context import uuid_text

DAYS = 63
WINDOW_DAYS = 7
SEED = 20260209
PROJECT = "demo"

# The version and variant bits of a UUID, and their values for a random one.
_VERSION, _RANDOM = 0xF << 76 | 0b11 << 62, 4 << 76 | 0b10 << 62
_SIGMA = 0.25
# Handoffs per day, least and most: enough that each slowdown is in at least eight spans on nearly every day.
_ON_WEEKDAYS, _ON_WEEKENDS = (65, 75), (50, 60)
# Median seconds of own work, without nested spans.
_GATES = {
    "GATE_SD_SCOPE": 3.0,
    "GATE_PRD_REQUIRED": 5.0,
    "GATE_DESIGN_REVIEW": 8.0,
    "GATE_DB_MIGRATION": 6.0,
    "GATE_SECURITY_REVIEW": 7.0,
    "GATE_TEST_COVERAGE": 9.0,
    "GATE_CODE_REVIEW": 12.0,
    "GATE_DOCS_UPDATED": 2.5,
    "GATE_ACCEPTANCE": 4.0,
    "GATE_RETROSPECTIVE": 3.5,
}
_SUBAGENTS = {
    "DESIGN": 40.0,
    "DATABASE": 25.0,
    "SECURITY": 30.0,
    "TESTING": 60.0,
    "RCA": 35.0,
    "DOCMON": 15.0,
}
_TOOLS = {"Bash": 4.0, "Edit": 1.5, "Grep": 0.8}
_PHASES = {"LEAD": 90.0, "PLAN": 150.0, "EXEC": 240.0}
# Phase, gates and sub-agents of each handoff.
_HANDOFFS = {
    "LEAD-TO-PLAN": (
        "LEAD",
        ("GATE_SD_SCOPE", "GATE_PRD_REQUIRED", "GATE_DB_MIGRATION"),
        ("DESIGN", "RCA"),
    ),
    "PLAN-TO-EXEC": (
        "PLAN",
        ("GATE_PRD_REQUIRED", "GATE_DESIGN_REVIEW", "GATE_SECURITY_REVIEW"),
        ("DESIGN",),
    ),
    "EXEC-TO-PLAN": (
        "EXEC",
        ("GATE_TEST_COVERAGE", "GATE_CODE_REVIEW", "GATE_DOCS_UPDATED"),
        ("TESTING", "RCA"),
    ),
    "PLAN-TO-LEAD": (
        "PLAN",
        ("GATE_TEST_COVERAGE", "GATE_ACCEPTANCE", "GATE_RETROSPECTIVE"),
        ("DOCMON", "RCA"),
    ),
}
# Gates that call a sub-agent, whose time is part of the gate's.
_CALLED_BY_GATE = {"GATE_DB_MIGRATION": "DATABASE", "GATE_SECURITY_REVIEW": "SECURITY"}
_SD_TYPES = {"feature": 6, "bugfix": 3, "refactor": 9, "infrastructure": 1, "docs": 1}


@dataclass(frozen=True, slots=True)
class Slowdown:
    """A slowdown by ``factor`` in the last seven days, of one ``sd_type``, or of all if None."""

    span_type: str
    span_name: str
    sd_type: str | None
    factor: float

    @property
    def dimension(self) -> Dimension:
        """The dimension of exactly the slowed spans."""
        if self.sd_type is None:
            return self.span_type, self.span_name
        return f"{self.span_type}+sd_type", f"{self.span_name}:{self.sd_type}"

    @property
    def cause(self) -> str:
        """The slowdown in words."""
        only = f" for {self.sd_type}" if self.sd_type else ""
        return f"{self.span_type}:{self.span_name}{only} was made {self.factor:g} times as long"

    def is_of(self, span_type: str, name: str, sd_type: str) -> bool:
        """Return whether the slowdown applies to spans of this type and name, in work of this SD type."""
        return (self.span_type, self.span_name) == (span_type, name) and self.sd_type in (None, sd_type)


SLOWDOWNS = (
    Slowdown("gate", "GATE_PRD_REQUIRED", None, 3.0),
    Slowdown("subagent", "DESIGN", None, 3.5),
    Slowdown("gate", "GATE_TEST_COVERAGE", "refactor", 4.0),
)


def generate(last_midnight: datetime, days: int = DAYS, seed: int = SEED) -> Iterator[Span]:
    """Yield the spans of ``days`` UTC days before the given UTC midnight.

    The same arguments give the same spans; another midnight gives others, with other ids.
    """
    if last_midnight.utcoffset() != timedelta(0) or last_midnight.time() != datetime.min.time():
        raise ValueError(f"{last_midnight} is not a UTC midnight")
    rng = random.Random(f"{seed} {days} {last_midnight.date()}")
    deck: list[tuple[str, str]] = []
    for ago in range(days, 0, -1):
        day = last_midnight - timedelta(days=ago)
        for _ in range(rng.randint(*(_ON_WEEKDAYS if day.weekday() < 5 else _ON_WEEKENDS))):
            # Kinds are dealt from a shuffled deck, so that each occurs in its exact proportion.
            if not deck:
                kinds = [kind for kind, times in _SD_TYPES.items() for _ in range(times)]
                deck = [(name, kind) for name in _HANDOFFS for kind in kinds]
                rng.shuffle(deck)
            name, sd_type = deck.pop()
            start = day + timedelta(seconds=rng.uniform(7 * 3600, 20 * 3600))
            yield from _Trace(rng, sd_type, slow=ago <= WINDOW_DAYS).spans(name, start)


class _Trace:
    """One handoff with its nested spans; a span lasts as long as its own work and its children need."""

    def __init__(self, rng: random.Random, sd_type: str, slow: bool) -> None:
        self._rng = rng
        self._sd_type = sd_type
        self._slow = slow
        self._id = self._new_id()
        self._sd_id = f"SD-DEMO-{rng.randint(1, 120):03d}"
        self._spans: list[Span] = []

    def spans(self, handoff: str, start: datetime) -> list[Span]:
        """Return the handoff's span and then all others, each after its parent."""
        phase, gates, subagents = _HANDOFFS[handoff]
        now_ms = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        root = self._open("handoff", handoff, now_ms, None)
        root.attributes |= {"sd_type": self._sd_type, "retry_attempt": int(self._rng.random() < 0.1)}
        now_ms = self._phase(phase, gates, subagents, now_ms + self._noisy(2.0), root)
        if self._rng.random() < 0.3:
            now_ms = self._leaf("wait", "APPROVAL", now_ms, self._noisy(180.0, 0.6), root)
        self._close(root, now_ms + self._noisy(3.0))
        return self._spans

    def _phase(self, name: str, gates: tuple, subagents: tuple, now_ms: int, parent: Span) -> int:
        phase = self._open("phase", name, now_ms, parent)
        work = self._noisy(_PHASES[name])
        now_ms += work // 2
        for subagent in subagents:
            now_ms = self._subagent(subagent, now_ms, phase)
        for gate in gates:
            now_ms = self._gate(gate, now_ms, phase)
        return self._close(phase, now_ms + work - work // 2)

    def _gate(self, name: str, now_ms: int, parent: Span) -> int:
        gate = self._open("gate", name, now_ms, parent)
        gate.attributes |= {"gate_score": self._rng.randint(70, 100)}
        gate.queue_wait_ms = self._noisy(0.2, 0.5)
        own = self._slowed("gate", name, self._noisy(_GATES[name]))
        if name in _CALLED_BY_GATE:
            now_ms = self._subagent(_CALLED_BY_GATE[name], now_ms + own // 2, gate) - own // 2
        if name == "GATE_ACCEPTANCE" and self._rng.random() < 0.4:
            now_ms = self._leaf("wait", "SIGN_OFF", now_ms + own // 2, self._noisy(30.0, 0.6), gate) - own // 2
        return self._close(gate, now_ms + own)

    def _subagent(self, name: str, now_ms: int, parent: Span) -> int:
        subagent = self._open("subagent", name, now_ms, parent)
        subagent.queue_wait_ms = self._noisy(1.0, 0.5)
        end = now_ms + self._slowed("subagent", name, self._noisy(_SUBAGENTS[name]))
        for tool in self._rng.sample(sorted(_TOOLS), self._rng.choice((1, 1, 2))):
            now_ms = self._leaf("tool", tool, now_ms + 100, self._noisy(_TOOLS[tool]), subagent)
        return self._close(subagent, max(now_ms, end))

    def _leaf(self, span_type: str, name: str, now_ms: int, length: int, parent: Span) -> int:
        return self._close(self._open(span_type, name, now_ms, parent), now_ms + length)

    def _open(self, span_type: str, name: str, now_ms: int, parent: Span | None) -> Span:
        span = Span(
            trace_id=self._id,
            span_id=self._new_id(),
            parent_span_id=parent.span_id if parent else None,
            span_type=span_type,
            span_name=name,
            start_time_ms=now_ms,
            sd_id=self._sd_id,
            project=PROJECT,
            attributes={"generated": True},
        )
        self._spans.append(span)
        return span

    def _close(self, span: Span, now_ms: int) -> int:
        span.end_time_ms, span.duration_ms, span.status = now_ms, now_ms - span.start_time_ms, "OK"
        return now_ms

    def _noisy(self, seconds: float, sigma: float = _SIGMA) -> int:
        return round(1000 * seconds * self._rng.lognormvariate(0.0, sigma))

    def _slowed(self, span_type: str, name: str, length: int) -> int:
        for slowdown in SLOWDOWNS if self._slow else ():
            if slowdown.is_of(span_type, name, self._sd_type):
                length = round(length * slowdown.factor)
        return length

    def _new_id(self) -> str:
        return uuid_text(self._rng.getrandbits(128) & ~_VERSION | _RANDOM)
