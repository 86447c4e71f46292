"""Operations record what a program does, and never affect it."""

import asyncio
import os
import random
import traceback
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.tracing.context import here
from leo_telemetry_pipeline.tracing.operation import Operation
from leo_telemetry_pipeline.tracing.recorder import FixedClock, FixedIds, InMemoryRecorder
from leo_telemetry_pipeline.tracing.to_span import to_span
from leo_telemetry_pipeline.tracing.tracer import Tracer

NOW_S = 1_767_225_600


class Awkward:
    """Value that cannot be converted to text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW_S)


@pytest.fixture
def tracer(memory: InMemoryRecorder, clock: FixedClock) -> Tracer:
    return Tracer(memory, clock=clock, ids=FixedIds())


def only(memory: InMemoryRecorder) -> Span:
    (span,) = memory.spans
    return span


def test_a_block_becomes_a_span_with_all_given_values(
    tracer: Tracer, memory: InMemoryRecorder, clock: FixedClock
) -> None:
    """Lost: the numbers that everything else is based on."""
    with tracer.handoff(
        "LEAD-TO-PLAN", sd_id="SD-1", sd_type="feature", project="shop", workflow_execution_id="w1", attempt=2
    ) as span:
        clock.advance(1.2344)
        span.set(score=87).set({"gate.score": 88})
    assert only(memory) == Span(
        trace_id="00000000-0000-4000-8000-000000000001",
        span_id="00000000-0000-0000-0000-000000000001",
        span_type="handoff",
        span_name="LEAD-TO-PLAN",
        start_time_ms=NOW_S * 1000,
        end_time_ms=NOW_S * 1000 + 1234,
        duration_ms=1234,
        duration_rest_us=400,
        sd_id="SD-1",
        project="shop",
        workflow_execution_id="w1",
        status="OK",
        attributes={"attempt": 2, "sd_type": "feature", "score": 87, "gate.score": 88},
    )


@pytest.mark.parametrize("kind", ["handoff", "phase", "gate", "subagent"])
def test_each_kind_has_a_method_and_any_other_type_has_span(
    tracer: Tracer, memory: InMemoryRecorder, kind: str
) -> None:
    """Lost: the type of a span."""
    with getattr(tracer, kind)("a"), tracer.span("deploy", "b"):
        pass
    assert [(span.span_type, span.span_name) for span in memory.spans] == [("deploy", "b"), (kind, "a")]


def test_an_attribute_may_have_the_name_of_a_parameter(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: a program fails because of an attribute's name."""
    with tracer.gate("G", name="x", self="y", span_type="z"):
        pass
    assert only(memory).attributes == {"name": "x", "self": "y", "span_type": "z"}


def test_children_inherit_directive_project_and_execution_only(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: gates belong to no directive."""
    with (
        tracer.handoff("H", sd_id="SD-1", project="shop", workflow_execution_id="w", sd_type="fix"),
        tracer.phase("P"),
        tracer.gate("G", sd_id="SD-2"),
    ):
        pass
    gate, phase, handoff = memory.spans
    assert phase.parent_span_id == handoff.span_id
    assert gate.parent_span_id == phase.span_id
    assert {span.trace_id for span in memory.spans} == {handoff.trace_id}
    assert (phase.sd_id, phase.project, phase.workflow_execution_id) == ("SD-1", "shop", "w")
    assert (gate.sd_id, gate.project, gate.workflow_execution_id) == ("SD-2", "shop", "w")
    assert phase.attributes == {}


def test_ids_are_random_uuids_even_in_a_seeded_program() -> None:
    """Lost: spans of a seeded program's second run are taken for duplicates of the first's."""
    seen = set()
    for _ in range(500):
        random.seed(1)
        with Tracer(InMemoryRecorder()).gate("g") as span:
            seen |= {span.trace_id, span.span_id}
            assert uuid.UUID(int=span.trace_id).version == 4
            assert uuid.UUID(int=span.trace_id).variant == uuid.RFC_4122
            assert 0 < span.span_id < 2**64
    assert len(seen) == 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_draws_different_ids() -> None:
    """Lost: spans of a forked child are taken for duplicates of its parent's."""
    tracer = Tracer(InMemoryRecorder())
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, str(tracer.ids(64)).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    theirs = os.read(read, 100)
    os.close(read)
    assert int(theirs) != tracer.ids(64)


@pytest.mark.parametrize("step_s", [-86_400, -3, 3600])
def test_a_step_of_the_wall_clock_does_not_change_durations(
    tracer: Tracer, memory: InMemoryRecorder, clock: FixedClock, step_s: float
) -> None:
    """Lost: correct durations on the day the clocks change."""
    with tracer.gate("g"):
        clock.advance(2)
        clock.step_wall(step_s)
        clock.advance(1)
    span = only(memory)
    assert (span.duration_ms, span.start_time_ms, span.end_time_ms) == (3000, NOW_S * 1000, NOW_S * 1000 + 3000)


@pytest.mark.parametrize(
    ("queued_at", "waited_ms"),
    [
        (NOW_S - 1.5, 1500),
        (NOW_S - 2, 2000),
        (datetime.fromtimestamp(NOW_S - 60, UTC), 60_000),
        (datetime.fromtimestamp(NOW_S, timezone(timedelta(hours=5))) - timedelta(seconds=1), 1000),
        (NOW_S + 100, 0),
        (None, None),
        (datetime.fromtimestamp(NOW_S, UTC).replace(tzinfo=None), None),
        ("yesterday", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        ([], None),
    ],
)
def test_queue_wait_is_never_negative(
    tracer: Tracer, memory: InMemoryRecorder, queued_at, waited_ms: int | None
) -> None:
    """Lost: the difference between waiting and slow work; or a program, because of an invalid date."""
    with tracer.gate("g", queued_at=queued_at):
        pass
    assert only(memory).queue_wait_ms == waited_ms


def test_an_exception_passes_through_unchanged_and_is_noted(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the traceback of an error ends in telemetry."""
    error = KeyError("k")
    with pytest.raises(KeyError) as caught, tracer.gate("g"):
        raise error
    assert caught.value is error
    assert error.__context__ is None
    frames = traceback.extract_tb(error.__traceback__)
    assert [frame.filename for frame in frames] == [__file__]
    assert only(memory).status == "ERROR"
    assert only(memory).attributes == {"error.type": "KeyError"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(), "OK"),
        (SystemExit(0), "OK"),
        (SystemExit(3), "ERROR"),
        (SystemExit("reason"), "ERROR"),
        (KeyboardInterrupt(), "ERROR"),
        (asyncio.CancelledError(), "ERROR"),
        (GeneratorExit(), "OK"),
        (StopIteration(), "OK"),
    ],
)
def test_exceptions_that_end_a_block_normally_are_not_errors(
    tracer: Tracer, memory: InMemoryRecorder, error: BaseException, status: str
) -> None:
    """Lost: real failures among false ones."""
    with pytest.raises(type(error)), tracer.gate("g"):
        raise error
    assert only(memory).status == status


def test_work_can_fail_without_an_exception(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the difference between a gate that refuses and one that passes."""
    with tracer.gate("g") as span:
        span.fail("score too low")
    assert (only(memory).status, only(memory).attributes) == ("ERROR", {"error.message": "score too low"})


@pytest.mark.parametrize("bad", ["", "  ", None, 7, b"x", object(), Awkward(), "a\0b", "\ud800", "x" * 100_000])
def test_no_name_and_no_value_makes_the_program_fail(tracer: Tracer, memory: InMemoryRecorder, bad) -> None:
    """Lost: a workflow, because of a value that telemetry cannot store."""
    with tracer.span(bad, bad, sd_id=bad, sd_type=bad, project=bad, workflow_execution_id=bad, a=bad) as span:
        span.set({bad: bad}, b=[bad, {bad: bad}]).fail(bad)
        span.set(5)  # type: ignore[arg-type]
    stored = only(memory)
    assert stored.span_name.strip()
    assert stored.span_type.strip()


@pytest.mark.parametrize(("given", "kept"), [("a+b", "a_b"), ("sd_type", "sd_type_span"), ("Gate ", "gate")])
def test_a_reserved_type_is_changed_to_a_valid_one(
    tracer: Tracer, memory: InMemoryRecorder, given: str, kept: str
) -> None:
    """Lost: spans whose type the dimension grammar reserves."""
    with tracer.span(given, "n"):
        pass
    assert only(memory).span_type == kept


def test_values_are_copied_when_they_are_set(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the reported value, once the program changes it."""
    given, later = {"score": 1}, [1]
    with tracer.gate("g", result=given) as span:
        given["score"] = 2
        span.set(seen=later)
        later.append(2)
    span.set(late=1)
    assert only(memory).attributes == {"result": {"score": 1}, "seen": [1]}


def test_each_use_of_an_operation_is_a_separate_span(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the first use, overwritten by the second."""
    gate = tracer.gate("g", kept=1).set(always=True)
    with gate as first:
        first.set(only_first=1)
        with gate as inner:
            assert here() is inner
        assert here() is first
    with gate:
        pass
    inner, first, second = memory.spans
    assert len({inner.span_id, first.span_id, second.span_id}) == 3
    assert inner.parent_span_id == first.span_id
    assert second.parent_span_id is None
    assert second.attributes == {"kept": 1, "always": True}


def test_spans_that_end_out_of_order_restore_the_first_parent(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the traces of all later work, which would join one that has ended."""
    before = here()
    outer, inner = tracer.phase("outer"), tracer.gate("inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert here() is inner
    inner.__exit__(None, None, None)
    assert here() is before
    assert [span.span_name for span in memory.spans] == ["outer", "inner"]


def test_a_second_end_is_ignored(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: correct counters."""
    with tracer.gate("g") as span:
        pass
    span.__exit__(None, None, None)
    span.end()
    assert len(memory.spans) == 1


def test_a_failing_recorder_does_not_affect_the_program() -> None:
    """Lost: a workflow, because of a broken queue."""

    class Broken:
        def begin(self, operation: Operation) -> None:
            raise RuntimeError("begin")

        def end(self, operation: Operation) -> None:
            raise RuntimeError("end")

    before = here()
    with Tracer(Broken()).gate("g") as span:
        span.set(a=1)
    assert here() is before


def test_the_time_of_the_recorder_is_not_part_of_the_span(clock: FixedClock) -> None:
    """Lost: a correct duration of the first span of every short program."""
    ended = []

    class Slow:
        def begin(self, operation: Operation) -> None:
            clock.advance(5)

        def end(self, operation: Operation) -> None:
            ended.append(operation.duration_ns)

    with Tracer(Slow(), clock=clock).gate("g"):
        clock.advance(1)
    assert ended == [1_000_000_000]


def test_without_a_recorder_everything_works_and_nothing_is_recorded() -> None:
    """Lost: code works only while it is measured."""
    tracer = Tracer(None)
    before = here()

    @tracer.gate("decorated")
    def work() -> int:
        return 7

    with tracer.handoff("h", queued_at=1.0, a=[1]) as span:
        span.set(a=1).fail("x")
        assert here() is before
        assert (span.trace_id, span.span_id, span.parent_id) == (0, 0, 0)
        assert work() == 7
        repr(span)
    with span:
        pass


def test_an_open_operation_is_a_span_without_an_end(tracer: Tracer) -> None:
    """Lost: the list of running operations."""
    with tracer.gate("g") as operation:
        span = to_span(operation)
    assert (span.end_time_ms, span.duration_ms, span.status) == (None, None, None)


@given(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70))
def test_any_clock_yields_a_valid_span(start_ns: int, duration_ns: int) -> None:
    """Lost: the spans of a machine whose clock is wrong."""
    clock = FixedClock()
    memory = InMemoryRecorder()
    clock.step_wall(start_ns / 1e9)
    with Tracer(memory, clock=clock).gate("g"):
        clock.advance(duration_ns / 1e9)
    span = only(memory)
    assert span.duration_ms is not None
    assert span.duration_ms >= 0
