"""The fake of Claude Code's API as a client sees it: answers by the plan in the prompt, and the record of requests."""

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


def exchanges_of(record: Record, count: int) -> list[Exchange]:
    """Return the recorded exchanges; the fake records an exchange after it has answered."""
    until(lambda: len(record.exchanges) == count, "the exchanges are recorded", every=0.01)
    return sorted(record.exchanges, key=lambda one: one.received)


def ask(address: str, messages: list[dict[str, Any]], *, stream: bool = False) -> bytes:
    """Ask the model, and return its raw answer."""
    body = json.dumps({"model": "m", "messages": messages, "stream": stream}).encode()
    with urlopen(Request(address + "/v1/messages?beta=true", body, {"x-claude-code-session-id": "s"})) as answer:
        return answer.read()


def test_a_plan_survives_a_round_trip_through_a_prompt():
    """Lost: every scenario, which is written into prompts."""
    inner = plan("inner", Step(say="<< ünïcode >>"))
    outer = plan("outer", Step(tools=(Tool("Agent", {"prompt": inner.prompt()}),)))
    assert last_plan(f"before {outer.prompt()} after") == outer
    assert last_plan(outer.steps[0].tools[0].arguments["prompt"]) == inner
    assert last_plan("no plan at all") is None


def test_each_answer_is_the_next_step_of_the_plan(served: tuple[str, Record]):
    """Lost: certainty about what the model said."""
    address, record = served
    messages: list[dict[str, Any]] = [{"role": "user", "content": WORK.prompt()}]
    first = json.loads(ask(address, messages))
    tool = first["content"][1]
    assert (first["stop_reason"], tool["name"], tool["input"]) == ("tool_use", "Bash", {"command": "true"})
    result = {"type": "tool_result", "tool_use_id": tool["id"], "content": "done"}
    messages += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]
    last = json.loads(ask(address, messages))
    assert (last["stop_reason"], last["content"][0]["text"]) == ("end_turn", "last")
    assert [(one.session, one.plan, one.step, one.asked, one.results) for one in exchanges_of(record, 2)] == [
        ("s", "work", 0, (tool["id"],), ()),
        ("s", "work", 1, (), (tool["id"],)),
    ]


def test_a_streamed_answer_has_the_same_content(served: tuple[str, Record]):
    """Lost: answers in the form that Claude Code requests."""
    address, _ = served
    text = ask(address, [{"role": "user", "content": WORK.prompt()}], stream=True).decode()
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    assert [event["delta"]["text"] for event in events if "text" in event.get("delta", {})] == ["first"]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("status", [400, 429, 500, 529])
def test_an_error_is_answered_as_often_as_planned(served: tuple[str, Record], status: int):
    """Lost: scenarios with a second attempt, for which the first one must fail."""
    address, record = served
    messages = [{"role": "user", "content": plan("p", Step(error=status, times=1, first=0, rest=0)).prompt()}]
    with pytest.raises(HTTPError) as raised:
        ask(address, messages)
    raised.value.close()
    assert raised.value.code == status
    assert json.loads(ask(address, messages))["content"][0]["text"] == "done"
    assert [(one.status, one.attempt) for one in exchanges_of(record, 2)] == [(status, 1), (200, 2)]
