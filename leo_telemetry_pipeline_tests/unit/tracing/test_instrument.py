"""Instrumentation measures an existing executor without editing it, and can be undone."""

import asyncio
import types
from typing import Any

import pytest

from leo_telemetry_pipeline.trace import instrument
from leo_telemetry_pipeline.tracing.recorder import InMemoryRecorder
from leo_telemetry_pipeline.tracing.tracer import Tracer


class Gate:
    """Typical gate of an engine: a name and a method."""

    def __init__(self, name: str, score: int = 90) -> None:
        self.name = name
        self.score = score

    def validate(self, sd: dict) -> dict:
        return {"passed": self.score >= 80, "score": self.score, "sd": sd}


class Executor:
    """Typical executor of an engine."""

    def __init__(self) -> None:
        self.gates = [Gate("GATE_PRD_REQUIRED"), Gate("GATE_TESTS", 70)]
        self.subagents: dict[str, Any] = {"DATABASE": lambda sd: f"reviewed {sd['id']}"}

    def setup(self, sd: dict) -> None:
        sd["ready"] = True

    def execute(self, sd: dict, handoff_type: str = "LEAD-TO-PLAN", sd_id: str | None = None) -> list:
        self.setup(sd)
        return [gate.validate(sd) for gate in self.gates] + [agent(sd) for agent in self.subagents.values()]


def kinds(memory: InMemoryRecorder) -> list[tuple[str, str]]:
    return [(span.span_type, span.span_name) for span in memory.spans]


def test_an_executor_is_measured_in_place_and_works_as_before(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: measurements of a system that must not be edited."""
    plain = Executor().execute({"id": "SD-1"})
    executor = Executor()
    instrument(
        executor,
        phases={"setup": executor.setup},
        gates=executor.gates,
        subagents=executor.subagents,
        tracer=tracer,
    )
    assert executor.execute({"id": "SD-1"}, "PLAN-TO-EXEC", sd_id="SD-1") == plain
    assert kinds(memory) == [
        ("gate", "GATE_PRD_REQUIRED"),
        ("gate", "GATE_TESTS"),
        ("subagent", "DATABASE"),
        ("handoff", "PLAN-TO-EXEC"),
    ]
    handoff = memory.spans[-1]
    assert {span.sd_id for span in memory.spans} == {"SD-1"}
    assert {span.parent_span_id for span in memory.spans[:-1]} == {handoff.span_id}
    assert memory.spans[1].attributes == {"gate_score": 70, "gate_passed": False}


def test_undo_restores_everything(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: isolation between tests of the executor."""
    executor = Executor()
    before = dict(vars(executor)), list(executor.gates), dict(executor.subagents), dict(vars(Executor))
    with instrument(executor, gates=executor.gates, subagents=executor.subagents, tracer=tracer):
        executor.execute({"id": "x"})
    assert (dict(vars(executor)), list(executor.gates), dict(executor.subagents), dict(vars(Executor))) == before
    assert all(vars(gate).keys() == {"name", "score"} for gate in executor.gates)
    count = len(memory.spans)
    executor.execute({"id": "x"})
    assert len(memory.spans) == count


def test_a_class_is_measured_for_all_its_objects(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: executors and gates that are created per handoff."""
    with instrument(
        Executor,
        gates=[Gate],
        describe=lambda sd, *_: {"name": "H", "sd_id": sd["id"], "sd_type": "fix", "attempt": 1},
        tracer=tracer,
    ):
        Executor().execute({"id": "SD-9"})
    assert kinds(memory) == [("gate", "Gate")] * 2 + [("handoff", "H")]
    assert (memory.spans[-1].sd_id, memory.spans[-1].attributes) == ("SD-9", {"sd_type": "fix", "attempt": 1})


def test_functions_that_cannot_be_replaced_are_returned_wrapped(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: programs made of functions."""

    def gate_a() -> types.SimpleNamespace:
        return types.SimpleNamespace(score=3.5, passed="yes")

    async def agent_b() -> str:
        return "b"

    async def run_handoff(handoff_type: str) -> str:
        wrapped.gates["gate_a"]()
        return await wrapped.subagents["agent_b"]()

    wrapped = instrument(run_handoff, gates=(gate_a,), subagents=[agent_b], tracer=tracer)
    assert wrapped.handoff is not None
    assert asyncio.run(wrapped.handoff("EXEC-TO-PLAN")) == "b"
    assert kinds(memory) == [("gate", "gate_a"), ("subagent", "agent_b"), ("handoff", "EXEC-TO-PLAN")]
    assert memory.spans[0].attributes == {"gate_score": 3.5}


def test_a_module_of_gates_is_measured_where_it_is_called(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: engines that keep their gates as functions of a module."""
    module = types.ModuleType("gates")
    exec("def prd():\n    return 1\ndef _helper():\n    return 2\nfrom os.path import join", vars(module))
    before = dict(vars(module))
    with instrument(lambda: module.prd() + module._helper(), gates=module, tracer=tracer) as wrapped:
        assert wrapped.handoff is not None
        assert wrapped.handoff() == 3
        assert module.join is before["join"]
    assert kinds(memory) == [("gate", "prd"), ("handoff", "<lambda>")]
    assert vars(module) == before


@pytest.mark.parametrize("describe", [lambda *_: 1 / 0, lambda *_: None, lambda *_: {1: 2}, lambda *_: {"name": ""}])
def test_a_failing_describe_function_does_not_affect_the_handoff(
    tracer: Tracer, memory: InMemoryRecorder, describe
) -> None:
    """Lost: handoffs with unusual arguments."""
    executor = Executor()
    instrument(executor, describe=describe, tracer=tracer)
    assert executor.execute({"id": "x"})
    assert memory.spans[0].span_type == "handoff"


def test_parts_that_cannot_be_wrapped_are_named(tracer: Tracer) -> None:
    """Lost: a gate is silently not measured."""

    class Slotted:
        __slots__ = ()
        name = "SLOTTED"

        def validate(self) -> bool:
            return True

    made = instrument(Executor(), gates=[Slotted(), 7], tracer=tracer)
    assert made.skipped == ["SLOTTED", "int"]
    assert made.gates == {}


def test_static_and_class_methods_keep_their_kind(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: a method is called with one argument too many."""

    class Static:
        @staticmethod
        def validate(sd: str) -> str:
            return sd

        @classmethod
        def run(cls, handoff_type: str) -> object:
            return cls

    class Sub(Static):
        pass

    with instrument(Static, gates=[Sub], methods=("validate",), tracer=tracer):
        assert (Sub.validate("a"), Sub().validate("b"), Static.validate("c")) == ("a", "b", "c")
    assert "validate" not in vars(Sub)
    with instrument(Static, methods=("run",), tracer=tracer):
        assert Static.run("H1") is Static
        assert Static().run(handoff_type="H2") is Static
    assert kinds(memory)[-2:] == [("handoff", "H1"), ("handoff", "H2")]


def test_a_wrapped_part_is_not_wrapped_again(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: correct counts, if two parts of a program instrument the same gate."""
    executor = Executor()
    before = dict(vars(Executor)), dict(executor.subagents)
    with instrument(executor, gates=Gate, subagents=executor.subagents, tracer=tracer) as first:
        with instrument(executor, gates=executor.gates, subagents=executor.subagents, tracer=tracer) as second:
            assert second.skipped == ["GATE_PRD_REQUIRED", "GATE_TESTS", "DATABASE", "Executor"]
            assert second.handoff == first.handoff
        executor.execute({"id": "SD-1"})
    assert [kind for kind, _ in kinds(memory)] == ["gate", "gate", "subagent", "handoff"]
    assert (dict(vars(Executor)), dict(executor.subagents)) == before


def test_a_wrapped_static_method_is_not_wrapped_again(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: correct counts for engines with static methods."""

    class Static:
        @staticmethod
        def validate(sd: str) -> str:
            return sd

    with instrument(Executor, gates=[Static], tracer=tracer), instrument(Executor, gates=[Static], tracer=tracer):
        assert Static.validate("a") == "a"
    assert kinds(memory) == [("gate", "Static")]
