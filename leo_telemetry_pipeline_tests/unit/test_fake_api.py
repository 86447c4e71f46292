"""The fake of Claude Code's API, as any client sees it: it answers as the plan in the prompt says, and remembers."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from leo_telemetry_pipeline_tests.claude import fake_api
from leo_telemetry_pipeline_tests.claude.fake_api import Exchange, Record
from leo_telemetry_pipeline_tests.claude.plans import Step, Tool, last_plan, plan
from leo_telemetry_pipeline_tests.processes import until

WORK = plan(
    "work",
    Step("first", (Tool("Bash", {"command": "true"}),), first=0, rest=0),
    Step("last", first=0, rest=0),
)


@pytest.fixture
def served() -> Iterator[tuple[str, Record]]:
    """Run the fake."""
    with fake_api.serving() as fake:
        yield fake


def remembered(record: Record, count: int) -> list[Exchange]:
    """Return what the fake remembers, which it writes down after it has answered."""
    until(lambda: len(record.exchanges) == count, "the exchanges are remembered", every=0.01)
    return sorted(record.exchanges, key=lambda one: one.received)


def ask(address: str, messages: list[dict[str, Any]], *, stream: bool = False) -> bytes:
    """Ask the model, and return its answer as it came."""
    body = json.dumps({"model": "m", "messages": messages, "stream": stream}).encode()
    with urlopen(Request(address + "/v1/messages?beta=true", body, {"x-claude-code-session-id": "s"})) as answer:
        return answer.read()


def test_a_plan_survives_its_way_through_a_prompt():
    """Lost: every scenario, which is written into prompts."""
    inner = plan("inner", Step(say="<< ünïcode >>"))
    outer = plan("outer", Step(tools=(Tool("Agent", {"prompt": inner.prompt()}),)))
    assert last_plan(f"before {outer.prompt()} after") == outer
    assert last_plan(outer.steps[0].tools[0].arguments["prompt"]) == inner
    assert last_plan("no plan at all") is None


def test_each_answer_is_the_next_step_of_the_plan(served: tuple[str, Record]):
    """Lost: what the model is known to have said."""
    address, record = served
    messages: list[dict[str, Any]] = [{"role": "user", "content": WORK.prompt()}]
    first = json.loads(ask(address, messages))
    tool = first["content"][1]
    assert (first["stop_reason"], tool["name"], tool["input"]) == ("tool_use", "Bash", {"command": "true"})
    result = {"type": "tool_result", "tool_use_id": tool["id"], "content": "done"}
    messages += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]
    last = json.loads(ask(address, messages))
    assert (last["stop_reason"], last["content"][0]["text"]) == ("end_turn", "last")
    assert [(one.session, one.plan, one.step, one.asked, one.results) for one in remembered(record, 2)] == [
        ("s", "work", 0, (tool["id"],), ()),
        ("s", "work", 1, (), (tool["id"],)),
    ]


def test_a_streamed_answer_says_the_same(served: tuple[str, Record]):
    """Lost: the way in which Claude Code asks."""
    address, _ = served
    text = ask(address, [{"role": "user", "content": WORK.prompt()}], stream=True).decode()
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    assert [event["delta"]["text"] for event in events if "text" in event.get("delta", {})] == ["first"]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("status", [400, 429, 500, 529])
def test_an_error_comes_as_often_as_it_is_planned(served: tuple[str, Record], status: int):
    """Lost: second attempts, whose first one must fail."""
    address, record = served
    messages = [{"role": "user", "content": plan("p", Step(error=status, times=1, first=0, rest=0)).prompt()}]
    with pytest.raises(HTTPError) as raised:
        ask(address, messages)
    raised.value.close()
    assert raised.value.code == status
    assert json.loads(ask(address, messages))["content"][0]["text"] == "done"
    assert [(one.status, one.attempt) for one in remembered(record, 2)] == [(status, 1), (200, 2)]
