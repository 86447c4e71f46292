"""Spans that nobody measured: the history that shows what this system finds, with slowdowns planted in it.

Belongs here: a made-up workflow that looks like the LEO Protocol's, and what a look at it must find.
Does not: the analysis itself; what must be found is worked out here by other means, to check it against.
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

# The bits of a UUID that say how it was made, and what they say of a random one.
_VERSION, _RANDOM = 0xF << 76 | 0b11 << 62, 4 << 76 | 0b10 << 62
_SIGMA = 0.25
# Handoffs a day, from and to: enough that each planted slowdown is in at least eight spans on nearly every day.
_ON_WEEKDAYS, _ON_WEEKENDS = (65, 75), (50, 60)
# Median seconds of own work, that is without what happens inside.
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
# Each handoff: its phase, the gates in it, the sub-agents beside them.
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
# Some gates ask a sub-agent, whose time is then part of theirs.
_ASKED_BY_GATE = {"GATE_DB_MIGRATION": "DATABASE", "GATE_SECURITY_REVIEW": "SECURITY"}
_SD_TYPES = {"feature": 6, "bugfix": 3, "refactor": 9, "infrastructure": 1, "docs": 1}


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What was made slower by ``factor`` for the last seven days; ``sd_type`` None means for all."""

    span_type: str
    span_name: str
    sd_type: str | None
    factor: float

    @property
    def dimension(self) -> Dimension:
        """The type and key of the dimension that names it best."""
        if self.sd_type is None:
            return self.span_type, self.span_name
        return f"{self.span_type}+sd_type", f"{self.span_name}:{self.sd_type}"

    @property
    def cause(self) -> str:
        """The slowdown in words."""
        only = f" for {self.sd_type}" if self.sd_type else ""
        return f"{self.span_type}:{self.span_name}{only} was made {self.factor:g} times as long"

    def is_of(self, span_type: str, name: str, sd_type: str) -> bool:
        """Tell whether it is in spans of this type and name, in work of this SD type."""
        return (self.span_type, self.span_name) == (span_type, name) and self.sd_type in (None, sd_type)


SLOWDOWNS = (
    Slowdown("gate", "GATE_PRD_REQUIRED", None, 3.0),
    Slowdown("subagent", "DESIGN", None, 3.5),
    Slowdown("gate", "GATE_TEST_COVERAGE", "refactor", 4.0),
)


def generate(last_midnight: datetime, days: int = DAYS, seed: int = SEED) -> Iterator[Span]:
    """Yield the spans of ``days`` UTC days that end, exclusively, at the given UTC midnight.

    The same arguments give the same spans; another midnight gives others, with other ids.
    """
    if last_midnight.utcoffset() != timedelta(0) or last_midnight.time() != datetime.min.time():
        raise ValueError(f"{last_midnight} is no UTC midnight")
    rng = random.Random(f"{seed} {days} {last_midnight.date()}")
    deck: list[tuple[str, str]] = []
    for ago in range(days, 0, -1):
        day = last_midnight - timedelta(days=ago)
        for _ in range(rng.randint(*(_ON_WEEKDAYS if day.weekday() < 5 else _ON_WEEKENDS))):
            # Dealt from a deck and not thrown, so that every kind occurs as often as it should.
            if not deck:
                kinds = [kind for kind, times in _SD_TYPES.items() for _ in range(times)]
                deck = [(name, kind) for name in _HANDOFFS for kind in kinds]
                rng.shuffle(deck)
            name, sd_type = deck.pop()
            start = day + timedelta(seconds=rng.uniform(7 * 3600, 20 * 3600))
            yield from _Trace(rng, sd_type, slow=ago <= WINDOW_DAYS).spans(name, start)


class _Trace:
    """One handoff and all in it, made from the inside out: a span lasts as long as what is in it needs."""

    def __init__(self, rng: random.Random, sd_type: str, slow: bool) -> None:
        self._rng = rng
        self._sd_type = sd_type
        self._slow = slow
        self._id = self._new_id()
        self._sd_id = f"SD-DEMO-{rng.randint(1, 120):03d}"
        self._made: list[Span] = []

    def spans(self, handoff: str, start: datetime) -> list[Span]:
        """Return the handoff's span and then all others, each behind the span it lies in."""
        phase, gates, subagents = _HANDOFFS[handoff]
        at = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        root = self._open("handoff", handoff, at, None)
        root.attributes |= {"sd_type": self._sd_type, "retry_attempt": int(self._rng.random() < 0.1)}
        at = self._phase(phase, gates, subagents, at + self._noisy(2.0), root)
        if self._rng.random() < 0.3:
            at = self._leaf("wait", "APPROVAL", at, self._noisy(180.0, 0.6), root)
        self._close(root, at + self._noisy(3.0))
        return self._made

    def _phase(self, name: str, gates: tuple, subagents: tuple, at: int, parent: Span) -> int:
        phase = self._open("phase", name, at, parent)
        work = self._noisy(_PHASES[name])
        at += work // 2
        for subagent in subagents:
            at = self._subagent(subagent, at, phase)
        for gate in gates:
            at = self._gate(gate, at, phase)
        return self._close(phase, at + work - work // 2)

    def _gate(self, name: str, at: int, parent: Span) -> int:
        gate = self._open("gate", name, at, parent)
        gate.attributes |= {"gate_score": self._rng.randint(70, 100)}
        gate.queue_wait_ms = self._noisy(0.2, 0.5)
        own = self._slowed("gate", name, self._noisy(_GATES[name]))
        if name in _ASKED_BY_GATE:
            at = self._subagent(_ASKED_BY_GATE[name], at + own // 2, gate) - own // 2
        if name == "GATE_ACCEPTANCE" and self._rng.random() < 0.4:
            at = self._leaf("wait", "SIGN_OFF", at + own // 2, self._noisy(30.0, 0.6), gate) - own // 2
        return self._close(gate, at + own)

    def _subagent(self, name: str, at: int, parent: Span) -> int:
        subagent = self._open("subagent", name, at, parent)
        subagent.queue_wait_ms = self._noisy(1.0, 0.5)
        end = at + self._slowed("subagent", name, self._noisy(_SUBAGENTS[name]))
        for tool in self._rng.sample(sorted(_TOOLS), self._rng.choice((1, 1, 2))):
            at = self._leaf("tool", tool, at + 100, self._noisy(_TOOLS[tool]), subagent)
        return self._close(subagent, max(at, end))

    def _leaf(self, span_type: str, name: str, at: int, length: int, parent: Span) -> int:
        return self._close(self._open(span_type, name, at, parent), at + length)

    def _open(self, span_type: str, name: str, at: int, parent: Span | None) -> Span:
        span = Span(
            trace_id=self._id,
            span_id=self._new_id(),
            parent_span_id=parent.span_id if parent else None,
            span_type=span_type,
            span_name=name,
            start_time_ms=at,
            sd_id=self._sd_id,
            project=PROJECT,
            attributes={"generated": True},
        )
        self._made.append(span)
        return span

    def _close(self, span: Span, at: int) -> int:
        span.end_time_ms, span.duration_ms, span.status = at, at - span.start_time_ms, "OK"
        return at

    def _noisy(self, seconds: float, sigma: float = _SIGMA) -> int:
        return round(1000 * seconds * self._rng.lognormvariate(0.0, sigma))

    def _slowed(self, span_type: str, name: str, length: int) -> int:
        for slowdown in SLOWDOWNS if self._slow else ():
            if slowdown.is_of(span_type, name, self._sd_type):
                length = round(length * slowdown.factor)
        return length

    def _new_id(self) -> str:
        return uuid_text(self._rng.getrandbits(128) & ~_VERSION | _RANDOM)
