"""A simulated month of Claude Code sessions as spans, with one slowdown planted in its last week.

Belongs here: prompts and their child spans, with the types and names of docs/claude-code.md.
Does not: analysing them (accept_sessions), converting Claude Code's records to spans (sources.claude).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.prompt_spans import SpansOfPrompt
from leo_telemetry_pipeline.span import Span

DAYS, SLOW_DAYS = 30, 7
MODEL, SMALL_MODEL = "claude-opus-5-5", "claude-haiku-5"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Median seconds of work.
_TOOLS = {"Bash": 4.0, "Edit": 0.5, "Read": 0.3, "Grep": 0.8}
_SERVERS = {"shop": ("lookup", "order"), "wiki": ("search", "page")}
_SKILLS = {"review": 3.0, "release": 2.0}
_AGENTS = {"Explore": 20.0, "DESIGN": 30.0}
_HOOKS = {"UserPromptSubmit": 0.2, "PostToolUse": 0.15, "Stop": 0.3}
_MCP_S, _COMPACTION_S, _ASKED_S, _ALLOWED_S = 1.5, 8.0, 6.0, 0.01
_FIRST_TOKEN_S, _TOKEN_MS, _TOKENS = 1.5, 10.0, 250


@dataclass(frozen=True)
class Plant:
    """A slowdown in the last week: ``part`` of the spans of a type and name takes ``factor`` times as long."""

    span_type: str
    span_name: str
    part: str = "work"
    factor: float = 3.0


PLANTS = {
    "first token of a model": Plant("llm", MODEL, "first token"),
    "pace of a model": Plant("llm", MODEL, "pace"),
    "tokens of a model": Plant("llm", MODEL, "tokens"),
    "tool": Plant("tool", "Bash"),
    "sub-agent": Plant("subagent", "Explore"),
    "skill": Plant("skill", "review"),
    "MCP server": Plant("mcp_server", "shop"),
    "hook": Plant("hook", "PostToolUse"),
    "waiting for a person": Plant("tool", "Bash", "wait", 10.0),
}


def month(seed: int, last_midnight: datetime, plant: Plant | None, prompts_per_day: int) -> Iterator[Span]:
    """Yield the spans of the 30 UTC days before a midnight, with about ``prompts_per_day``; reproducible."""
    rng = random.Random(f"{seed} {last_midnight.date()} {plant}")
    for ago in range(DAYS, 0, -1):
        for _ in range(prompts_per_day + rng.randint(-1, 1)):
            start = last_midnight - timedelta(days=ago) + timedelta(seconds=rng.uniform(7 * 3600, 20 * 3600))
            yield from _Prompt(rng, plant if ago <= SLOW_DAYS else None).spans(start)


class _Prompt(SpansOfPrompt):
    """One prompt and its child spans; times in ms."""

    def __init__(self, rng: random.Random, plant: Plant | None) -> None:
        super().__init__(rng)
        self._plant = plant

    def spans(self, start: datetime) -> list[Span]:
        at = (start - _EPOCH) // timedelta(milliseconds=1)
        root = self._open("handoff", "claude_code.interaction", at, None)
        at = self._hook("UserPromptSubmit", at, root)
        for tool in self._rng.sample(["Bash", "Edit", "Read"], 3):
            at = self._request(MODEL, at, root)
            at = self._tool(tool, at, root, self._noisy(_ASKED_S, 0.5) if tool == "Bash" else None)
        for chance, step in ((0.9, self._mcp), (0.8, self._skill), (0.8, self._agent), (0.1, self._compaction)):
            if self._rng.random() < chance:
                at = step(self._request(MODEL, at, root), root)
        at = self._request(MODEL, at, root)
        self._close(root, self._hook("Stop", at, root))
        return self._made

    def _request(self, model: str, at: int, parent: Span) -> int:
        first = self._slowed("llm", model, "first token", self._noisy(_FIRST_TOKEN_S))
        tokens = self._slowed("llm", model, "tokens", round(self._noisy(_TOKENS / 1000)))
        each = self._slowed("llm", model, "pace", self._noisy(_TOKEN_MS, 0.1)) / 1000
        request = self._open("llm", model, at, parent)
        request.attributes |= {
            "model": model,
            "ttft_ms": first,
            "input_tokens": self._rng.randint(800, 1_200),
            "cache_read_tokens": self._rng.randint(9_000, 11_000),
            "cache_creation_tokens": self._rng.randint(0, 500),
            "output_tokens": tokens,
            "effort": "medium",
            "attempt": 1,
            "stop_reason": "tool_use",
        }
        return self._close(request, at + first + round(tokens * each))

    def _tool(self, name: str, at: int, parent: Span, asked: int | None = None) -> int:
        at = self._wait(name, at, parent, asked)
        end = at + self._slowed("tool", name, "work", self._noisy(_TOOLS[name]))
        tool = self._open("tool", name, at, parent)
        self._close(self._open("execution", name, at, tool), end)
        return self._hook("PostToolUse", self._close(tool, end), parent)

    def _mcp(self, at: int, parent: Span) -> int:
        for name in self._rng.sample([f"{server}__{tool}" for server in _SERVERS for tool in _SERVERS[server]], 3):
            server = name.partition("__")[0]
            at = self._wait(f"mcp__{name}", at, parent, None)
            end = at + self._slowed("mcp_server", server, "work", self._noisy(_MCP_S))
            tool = self._open("tool", f"mcp__{name}", at, parent)
            self._close(self._open("execution", f"mcp__{name}", at, tool), end)
            self._close(self._open("mcp_server", server, at, tool), end)
            at = self._hook("PostToolUse", self._close(tool, end), parent)
        return at

    def _skill(self, at: int, parent: Span) -> int:
        for name in _SKILLS:
            end = at + self._slowed("skill", name, "work", self._noisy(_SKILLS[name]))
            at = self._hook("PostToolUse", self._close(self._open("skill", name, at, parent), end), parent)
        return at

    def _agent(self, at: int, parent: Span) -> int:
        for name in _AGENTS:
            agent = self._open("subagent", name, at, parent)
            end = at + self._slowed("subagent", name, "work", self._noisy(_AGENTS[name]))
            for _ in range(2):
                at = self._tool("Grep", self._request(SMALL_MODEL, at, agent), agent)
            at = self._close(agent, max(at, end))
        return at

    def _compaction(self, at: int, parent: Span) -> int:
        return self._close(self._open("compaction", "auto", at, parent), at + self._noisy(_COMPACTION_S))

    def _wait(self, name: str, at: int, parent: Span, asked: int | None) -> int:
        length = self._noisy(_ALLOWED_S) if asked is None else self._slowed("tool", name, "wait", asked)
        return self._close(self._open("wait", name, at, parent), at + length)

    def _hook(self, event: str, at: int, parent: Span) -> int:
        length = self._slowed("hook", event, "work", self._noisy(_HOOKS[event]))
        return self._close(self._open("hook", event, at, parent), at + length)

    def _slowed(self, span_type: str, name: str, part: str, value: int) -> int:
        plant = self._plant
        if plant is None or (plant.span_type, plant.span_name, plant.part) != (span_type, name, part):
            return value
        return round(value * plant.factor)
