"""Plans: what the fake model says, written into the prompt itself.

A plan is a list of steps, one per request to the model; it travels in the prompt as `<<name:base64>>`. So the fake
needs no state, and the prompt of a sub-agent has its own plan.

Belongs here: the shape of a plan and its text form. Does not: HTTP (`fake_api`), processes (`session`).
"""

import base64
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

# Stands for the id of the last sub-agent, which only Claude Code knows.
AGENT = "{agent}"
_MARK = re.compile(r"<<([A-Za-z0-9_-]+):([A-Za-z0-9_=-]+)>>")


@dataclass(frozen=True)
class Tool:
    """A tool that the model asks for: its outcome, and its minimum duration in seconds."""

    name: str
    arguments: dict[str, Any]
    # ok, failed, refused or interrupted.
    fate: str = "ok"
    takes: float = 0


@dataclass(frozen=True)
class Step:
    """An answer of the model: its latency, then an error, or its text and the tools it asks for."""

    say: str = "done"
    tools: tuple[Tool, ...] = ()
    # Seconds until the answer's headers, and from there to its last byte.
    first: float = 0.05
    rest: float = 0.05
    # HTTP status of an error, answered for the first `times` attempts.
    error: int = 0
    times: int = 1_000
    stop: str = ""


@dataclass(frozen=True)
class Plan:
    """What the model does after a prompt; the name is unique within a session."""

    name: str
    steps: tuple[Step, ...]

    def prompt(self) -> str:
        """Return the plan as the text of a prompt."""
        text = json.dumps([asdict(step) for step in self.steps])
        return f"work <<{self.name}:{base64.urlsafe_b64encode(text.encode()).decode()}>>"


def plan(name: str, *steps: Step) -> Plan:
    """Return a plan that ends with a step without tools."""
    return Plan(name, steps if steps and not steps[-1].tools else (*steps, Step()))


def last_plan(text: str) -> Plan | None:
    """Return the last plan in a text."""
    found = _MARK.findall(text)
    if not found:
        return None
    name, encoded = found[-1]
    steps = json.loads(base64.urlsafe_b64decode(encoded))
    return Plan(name, tuple(_step(step) for step in steps))


def _step(fields: dict[str, Any]) -> Step:
    return Step(**{**fields, "tools": tuple(Tool(**tool) for tool in fields["tools"])})
