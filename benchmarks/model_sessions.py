"""Simulated weeks of a Claude Code user whose sub-agents mostly wait for a model that becomes slow in the last week.

Belongs here: prompts with requests, tools and sub-agents, as OpenTelemetry or hooks alone measure them. Does not:
slowdowns of other parts (sessions), analysing (accept_models).
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from benchmarks.prompt_spans import SpansOfPrompt
from leo_telemetry_pipeline.span import Span

PAST_DAYS, SLOW_DAYS = 35, 7
MODEL, OTHER_MODEL = "claude-opus-5-5", "claude-haiku-5"
AGENTS = ("Explore", "Plan", "DESIGN")
# Which model a sub-agent uses: that of the prompt, one per type of sub-agent, or another one for every second run.
MODELS = ("one model", "a model per sub-agent", "mixed models")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOOLS = {"Bash": 4.0, "Edit": 0.5, "Read": 0.3, "Grep": 0.8}
_REQUEST_S, _OTHER_REQUEST_S = 4.0, 2.5


def weeks(
    seed: int, last_midnight: datetime, models: str, *, hooks: bool, prompts_per_day: int = 15, factor: float = 2.0
) -> Iterator[Span]:
    """Yield the spans of the days before a midnight; ``hooks``: without what only OpenTelemetry reports."""
    rng = random.Random(seed)
    for ago in range(PAST_DAYS + SLOW_DAYS, 0, -1):
        for _ in range(prompts_per_day):
            start = last_midnight - timedelta(days=ago) + timedelta(seconds=rng.uniform(7 * 3600, 20 * 3600))
            yield from _Prompt(rng, models, factor if ago <= SLOW_DAYS else 1.0, hooks=hooks).spans(start)


class _Prompt(SpansOfPrompt):
    """One prompt and its child spans; times in ms."""

    def __init__(self, rng: random.Random, models: str, factor: float, *, hooks: bool) -> None:
        super().__init__(rng)
        self._models, self._factor, self._hooks = models, factor, hooks

    def spans(self, start: datetime) -> list[Span]:
        at = (start - _EPOCH) // timedelta(milliseconds=1)
        root = self._open("handoff", "claude_code.interaction", at, None)
        for _ in range(self._rng.randint(2, 6)):
            at = self._tool(self._rng.choice(["Bash", "Edit", "Read"]), self._request(MODEL, at, root), root)
        for name in AGENTS:
            if self._rng.random() < 0.4:
                at = self._agent(name, self._request(MODEL, at, root), root)
        self._close(root, self._request(MODEL, at, root))
        return self._made

    def _agent(self, name: str, at: int, parent: Span) -> int:
        is_other = {
            "one model": False,
            "a model per sub-agent": name == "Explore",
            "mixed models": self._rng.random() < 0.5,
        }
        model = OTHER_MODEL if is_other[self._models] else MODEL
        turns = self._rng.randint(4, 9)
        agent = self._open("subagent", name, at, parent)
        agent.attributes |= {"agent_id": self._new_id(), "model": model, "tool_uses": turns, "background": True}
        for _ in range(turns):
            at = self._tool("Grep", self._request(model, at, agent), agent)
        return self._close(agent, self._request(model, at, agent))

    def _request(self, model: str, at: int, parent: Span) -> int:
        length = self._noisy(_REQUEST_S if model == MODEL else _OTHER_REQUEST_S, 0.5)
        end = at + round(length * (self._factor if model == MODEL else 1.0))
        if not self._hooks:
            request = self._open("llm", model, at, parent)
            request.attributes |= {"model": model, "output_tokens": self._rng.randint(100, 400)}
            self._close(request, end)
        return end

    def _tool(self, name: str, at: int, parent: Span) -> int:
        tool = self._open("tool", name, at, parent)
        return self._close(tool, at + self._noisy(_TOOLS[name], 0.4))
