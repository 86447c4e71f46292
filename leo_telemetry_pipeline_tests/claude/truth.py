"""Ground truth of the sessions of a stage: handoffs, tools and sub-agents, with bounds on their times.

The bounds are what the fake model saw: a sub-agent lasts at least from its first request to the end of its last
answer, and at most from the answer that launched it to the request that has its result.

Belongs here: what follows from plans, exchanges and prompts. Does not: what was stored (`stored`).
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from leo_telemetry_pipeline_tests.claude.fake_api import COMPACTION, Exchange, Record
from leo_telemetry_pipeline_tests.claude.plans import Plan, Tool, last_plan
from leo_telemetry_pipeline_tests.claude.scenarios import Stage
from leo_telemetry_pipeline_tests.claude.session import Session

OK, ERROR = "OK", "ERROR"
WAYS = ("hooks", "otel", "both")
HOOKED, EXPORTED = ("hooks", "both"), ("otel", "both")
# Ways of measuring that share a session: its hooks report to two homes, one of which also gets exports.
# Where only exports are tried, no hook may run, so this way needs a session of its own.
SIDE_BY_SIDE = (("hooks", "both"), ("otel",))
PROMPT = "claude_code.interaction"
# Claude Code's own commands, which do not call a model.
_BUILT_IN = ("/context", "/compact")


@dataclass(frozen=True)
class Fact:
    """One event: it took between ``least`` and ``most`` seconds, None if it has no end."""

    session: str
    type: str
    name: str
    status: str | None
    parent: tuple[str, str] | None
    # The earliest possible start of the event, in seconds since the epoch.
    begin: float
    least: float
    most: float | None
    # The id of the tool or sub-agent, which distinguishes it from others of the same name.
    key: str = ""
    # The ways of measuring that can see it.
    ways: tuple[str, ...] = WAYS

    @property
    def shape(self) -> tuple[str, str, str | None, tuple[str, str] | None]:
        """What must be stored, without times."""
        return self.type, self.name, self.status, self.parent


def facts(stage: Stage) -> list[Fact]:
    """Return all facts of a stage."""
    found: list[Fact] = []
    for name in dict.fromkeys(person.id for person in stage.sessions):
        persons = [person for person in stage.sessions if person.id == name]
        found += _Conversation(name, stage.record, persons).facts()
    return found


@dataclass(frozen=True)
class _Prompt:
    """A handoff: the prompts up to an answer, and the times of the first prompt and of the answer."""

    name: str
    plans: tuple[str, ...]
    said: float
    answered: float | None


@dataclass(frozen=True)
class _Launch:
    """The launch of a sub-agent's run: a tool in the plan of its launcher."""

    plan: str
    tool: Tool
    tool_id: str
    kind: str


class _Conversation:
    """A session with all its requests to the model."""

    def __init__(self, name: str, record: Record, persons: list[Session]) -> None:
        self.name = name
        self.exchanges = sorted(
            (exchange for exchange in record.exchanges if exchange.session == name), key=lambda one: one.received
        )
        self.plans = {plan.name: plan for (session, _), plan in record.plans.items() if session == name}
        prompts = [prompt for person in persons for prompt in _prompts(person)]
        self.prompts = [prompt for prompt in prompts if prompt.name not in _BUILT_IN]
        self.commands = [prompt for prompt in prompts if prompt.name in _BUILT_IN]
        self.waits = {
            request["tool_use_id"]: (begin, end)
            for person in persons
            for begin, end, request in person.asked
            if request.get("subtype") == "can_use_tool"
        }
        self.launches = dict(self._launches())
        self.agents = {one.plan: one.agent for one in self.exchanges if one.agent}

    def facts(self) -> Iterator[Fact]:
        """Return the facts: prompts, then runs of sub-agents, then tools."""
        yield from map(self._handoff, self.prompts)
        yield from self._notifications()
        yield from map(self._run, self.agents)
        for exchange in self.exchanges:
            if exchange.status == 200 and exchange.step < len(self.plans[exchange.plan].steps):
                yield from self._tools(exchange)
        yield from self._commands()
        for prompt in self.prompts:
            yield from self._requests(prompt.plans)
        for plan in self.agents:
            yield from self._requests((plan,))

    def _of(self, plan: str) -> list[Exchange]:
        steps = len(self.plans[plan].steps)
        return [one for one in self.exchanges if one.plan == plan and one.step < steps]

    def _handoff(self, prompt: _Prompt) -> Fact:
        own = [one for plan in prompt.plans for one in self._of(plan)]
        failed = own[-1].status != 200
        least = own[-1].last_byte - own[0].received
        most = prompt.answered - prompt.said if prompt.answered else None
        status = None if most is None else ERROR if failed else OK
        if any(tool.fate == "interrupted" for plan in prompt.plans for tool in self._asked_in(plan)):
            # The prompt was not answered, so it has no end.
            status = most = None
        return Fact(self.name, "handoff", prompt.name, status, None, prompt.said, least, most)

    def _notifications(self) -> Iterator[Fact]:
        """Return the notifications of ended background commands, which OpenTelemetry alone reports like prompts."""
        for plan in self.plans:
            own = self._of(plan)
            if any(tool.name == "Bash" and "run_in_background" in tool.arguments for tool in self._asked_in(plan)):
                last = next(one for one in self.exchanges if one.received > own[-1].last_byte)
                bounds = own[-1].last_byte, last.last_byte - last.received, 60
                yield Fact(self.name, "handoff", PROMPT, OK, None, *bounds, ways=("otel",))

    def _asked_in(self, plan: str) -> list[Tool]:
        return [tool for step in self.plans[plan].steps for tool in step.tools]

    def _commands(self) -> Iterator[Fact]:
        """Return the built-in commands, one of which asks the model for a summary."""
        for command in self.commands:
            taken = (command.answered or 0) - command.said
            yield Fact(self.name, "command", command.name, OK, None, command.said, 0, taken, ways=EXPORTED)
            if command.name == "/compact":
                own = self._of(COMPACTION.name)
                bounds = command.said, own[-1].last_byte - own[0].received, taken
                yield Fact(self.name, "compaction", "manual", OK, ("command", "/compact"), *bounds, ways=EXPORTED)

    def _run(self, plan: str) -> Fact:
        launch, own = self.launches[plan], self._of(plan)
        status = OK if own[-1].status == 200 else ERROR
        begin = self._asked(launch.tool_id).last_byte
        parent, least = self._owner(launch.plan), own[-1].last_byte - own[0].received
        end = self._heard_of(launch, own[-1])
        most = end - begin if end else None
        return Fact(self.name, "subagent", launch.kind, status, parent, begin, least, most, self.agents[plan])

    def _requests(self, plans: Iterable[str]) -> Iterator[Fact]:
        """Return requests to the model, each with its attempts."""
        for plan in plans:
            for _, attempts in itertools.groupby(self._of(plan), key=lambda one: one.step):
                own = list(attempts)
                last, parent = own[-1], self._owner(plan)
                status = OK if last.status == 200 else ERROR
                begin, end = self._around(own[0], last)
                least = last.last_byte - last.received
                yield Fact(self.name, "llm", last.model, status, parent, begin, least, end - begin, ways=EXPORTED)

    def _around(self, first: Exchange, last: Exchange) -> tuple[float, float]:
        """Return the times of the previous answer and the next request in the conversation of a request."""
        said = [prompt.said for prompt in self.prompts if prompt.said < first.received]
        answered = [prompt.answered for prompt in self.prompts if prompt.answered and prompt.answered > last.last_byte]
        before = [one.last_byte for one in self.exchanges if one.last_byte < first.received]
        after = [one.received for one in self.exchanges if one.received > last.last_byte and one.agent == last.agent]
        own = [one.last_byte for one in self.exchanges if one.last_byte < first.received and one.agent == first.agent]
        begin = max((own or before)[-1:] + said[-1:])
        return begin, min((*after[:1], *answered[:1], last.last_byte + 60))

    def _tools(self, exchange: Exchange) -> Iterator[Fact]:
        plan = self.plans[exchange.plan]
        for tool, tool_id in zip(plan.steps[exchange.step].tools, exchange.asked, strict=True):
            result = self._result(tool_id)
            if result is None or (tool.name == "Agent" and tool_id in self._began()):
                continue
            begin, parent = exchange.last_byte, self._owner(exchange.plan)
            if tool_id in self.waits:
                waited_from, begin = self.waits[tool_id]
                waited = begin - waited_from
                most = result - exchange.last_byte
                yield Fact(self.name, "wait", tool.name, None, parent, waited_from, waited, most, tool_id, EXPORTED)
            if tool.fate != "refused":
                yield from self._ran(tool, tool_id, parent, begin, result)

    def _ran(self, tool: Tool, tool_id: str, parent: tuple[str, str], begin: float, end: float) -> Iterator[Fact]:
        status = OK if tool.fate == "ok" else ERROR
        kind, name = _named(tool)
        bounds = begin, tool.takes, end - begin
        ways = EXPORTED if tool.fate == "interrupted" else WAYS
        yield Fact(self.name, kind, name, status, parent, *bounds, tool_id, ways)
        if server := re.match(r"mcp__(\w+?)__", tool.name):
            yield Fact(self.name, "mcp_server", server[1], status, (kind, name), *bounds, "", ways)

    def _began(self) -> set[str]:
        return {launch.tool_id for plan, launch in self.launches.items() if plan in self.agents}

    def _owner(self, plan: str) -> tuple[str, str]:
        if plan in self.agents:
            return "subagent", self.launches[plan].kind
        return "handoff", next(prompt.name for prompt in self.prompts if plan in prompt.plans)

    def _launches(self) -> Iterator[tuple[str, _Launch]]:
        kinds: dict[str, str] = {}
        for exchange in self.exchanges:
            plan = self.plans[exchange.plan]
            tools = plan.steps[exchange.step].tools if exchange.step < len(plan.steps) else ()
            for tool, tool_id in zip(tools, exchange.asked, strict=exchange.status == 200):
                task = _task(tool)
                if task is not None:
                    # A scenario continues at most one sub-agent.
                    kind = (
                        kinds.setdefault("last", "") if tool.name == "SendMessage" else tool.arguments["subagent_type"]
                    )
                    kinds["last"] = kind
                    yield task.name, _Launch(exchange.plan, tool, tool_id, kind)

    def _asked(self, tool_id: str) -> Exchange:
        return next(one for one in self.exchanges if tool_id in one.asked)

    def _result(self, tool_id: str) -> float | None:
        return next((one.received for one in self.exchanges if tool_id in one.results), None)

    def _heard_of(self, launch: _Launch, last: Exchange) -> float | None:
        """Return when the launcher of a run made its next request, with the result or after the notification."""
        if launch.tool.name == "Agent" and not launch.tool.arguments.get("run_in_background"):
            return self._result(launch.tool_id)
        after = [one.received for one in self.exchanges if not one.agent and one.received > last.last_byte]
        return after[0] if after else None


def _prompts(person: Session) -> Iterator[_Prompt]:
    turns = list(person.turns)
    for answer in person.answers():
        began = [turn for turn in turns if turn.at < answer["at"]]
        turns = turns[len(began) :]
        if began:
            yield _prompt([turn.text for turn in began], began[0].at, answer["at"])
    if turns:
        yield _prompt([turn.text for turn in turns], turns[0].at, None)


def _prompt(texts: list[str], said: float, answered: float | None) -> _Prompt:
    plans = tuple(plan.name for plan in map(last_plan, texts) if plan)
    name = texts[0].split()[0] if texts[0].startswith("/") else PROMPT
    return _Prompt(name, plans, said, answered)


def _task(tool: Tool) -> Plan | None:
    return last_plan(str(tool.arguments.get("prompt" if tool.name == "Agent" else "message", "")))


def _named(tool: Tool) -> tuple[str, str]:
    if tool.name == "Agent":
        return "subagent", tool.arguments["subagent_type"]
    if tool.name == "Skill":
        return "skill", tool.arguments["skill"]
    return "tool", tool.name
