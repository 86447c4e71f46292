"""The decorator works for every kind of function and does not change its behaviour."""

import asyncio
import functools
import inspect
import traceback
from collections.abc import AsyncIterator, Iterator

import pytest

from leo_telemetry_pipeline.tracing.context import here
from leo_telemetry_pipeline.tracing.operation import Operation
from leo_telemetry_pipeline.tracing.recorder import InMemoryRecorder
from leo_telemetry_pipeline.tracing.tracer import Tracer


def names(memory: InMemoryRecorder) -> list[str]:
    return [span.span_name for span in memory.spans]


def test_each_call_of_a_function_has_its_own_span(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: every call but the first."""

    @tracer.gate("g", kept=1)
    def check(a: int, *, b: int = 2) -> int:
        """Add."""
        place = here()
        assert isinstance(place, Operation)
        place.set({f"a{a}": a})
        return a + b

    assert [check(1), check(2, b=5)] == [3, 7]
    assert [span.attributes for span in memory.spans] == [{"kept": 1, "a1": 1}, {"kept": 1, "a2": 2}]
    assert len({span.span_id for span in memory.spans}) == 2
    assert (check.__name__, check.__doc__, str(inspect.signature(check))) == (
        "check",
        "Add.",
        "(a: int, *, b: int = 2) -> int",
    )


def test_recursive_calls_have_nested_spans(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the calls inside a recursion."""

    @tracer.phase("p")
    def down(depth: int) -> int:
        return down(depth - 1) if depth else 0

    down(3)
    parents = [span.parent_span_id for span in memory.spans]
    assert parents == [*[span.span_id for span in memory.spans][1:], None]


def test_a_decorated_function_raises_the_same_exception(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the exception and traceback that handlers and debuggers need."""
    error = LookupError()

    @tracer.gate("g")
    def fails() -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        fails()
    assert caught.value is error
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fails"
    assert memory.spans[0].attributes == {"error.type": "LookupError"}


def test_every_kind_of_method_can_be_decorated(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: measurements of anything but plain functions."""

    class Gate:
        @tracer.gate("method")
        def method(self) -> object:
            return self

        @tracer.gate("static")
        @staticmethod
        def static() -> str:
            return "s"

        @classmethod
        @tracer.gate("inner class")
        def inner(cls) -> object:
            return cls

        @tracer.gate("class")
        @classmethod
        def outer(cls) -> object:
            return cls

        async def __call__(self) -> str:
            return "called"

    gate = Gate()
    assert gate.method() is gate
    assert (gate.static(), gate.inner(), gate.outer()) == ("s", Gate, Gate)
    assert asyncio.run(tracer.gate("object")(gate)()) == "called"
    assert asyncio.run(tracer.gate("partial")(functools.partial(Gate.__call__, gate))()) == "called"
    assert names(memory) == ["method", "static", "inner class", "class", "object", "partial"]


def test_decorating_a_non_callable_fails_at_once(tracer: Tracer) -> None:
    """Lost: an early error; the mistake would appear only when the work runs."""
    with pytest.raises(TypeError, match="is not callable"):
        tracer.gate("g")(7)  # type: ignore[type-var]


def test_a_coroutine_functions_span_lasts_until_it_returns(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the duration of asynchronous work."""

    @tracer.gate("outer")
    async def outer() -> str:
        await asyncio.sleep(0)
        return await inner()

    @tracer.subagent("inner")
    async def inner() -> str:
        await asyncio.sleep(0.002)
        return "done"

    assert inspect.iscoroutinefunction(outer)
    assert asyncio.run(outer()) == "done"
    first, second = memory.spans
    assert first.parent_span_id == second.span_id
    assert first.duration_ms


def test_a_cancelled_coroutine_ends_its_span_and_stays_cancelled(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: a correct list of running operations, once work is cancelled."""

    @tracer.gate("g")
    async def waits() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        async with asyncio.timeout(0.01):
            await waits()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert memory.spans[0].attributes == {"error.type": "CancelledError"}


def test_a_decorated_generator_yields_receives_and_returns_as_before(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: generators that receive values."""

    @tracer.phase("p")
    def talk():
        heard = []
        try:
            heard.append((yield 1))
        except ValueError as error:
            heard.append(error)
        heard.append((yield 2))
        return heard

    assert inspect.isgeneratorfunction(talk)
    error = ValueError()
    talking = talk()
    assert memory.spans == []
    assert next(talking) == 1
    assert talking.throw(error) == 2
    with pytest.raises(StopIteration) as stopped:
        talking.send("b")
    assert stopped.value.value == [error, "b"]
    assert [(span.span_name, span.status) for span in memory.spans] == [("p", "OK")]


def test_work_between_the_steps_of_a_generator_is_outside_its_span(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the right parent of the consumer's work."""

    @tracer.phase("producer")
    def produce() -> Iterator[int]:
        for number in range(2):
            with tracer.gate(f"inside {number}"):
                yield number

    before = here()
    for number in produce():
        assert here() is before
        with tracer.gate(f"between {number}"):
            pass
    spans = {span.span_name: span for span in memory.spans}
    for number in range(2):
        assert spans[f"inside {number}"].parent_span_id == spans["producer"].span_id
        assert spans[f"between {number}"].parent_span_id is None
    assert here() is before


def test_interleaved_generators_keep_their_own_spans(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the right parent of interleaved work."""

    @tracer.phase("p")
    def produce(name: str) -> Iterator[int]:
        for number in range(3):
            with tracer.gate(f"{name}{number}"):
                yield number

    with tracer.handoff("h"):
        list(zip(produce("a"), produce("b"), strict=False))
    spans = {span.span_id: span for span in memory.spans}
    for span in spans.values():
        if span.span_type == "gate":
            assert spans[span.parent_span_id or ""].span_type == "phase"
    assert len(spans) == 3 + 3 + 2 + 1


def test_a_closed_or_collected_generator_ends_its_span_without_error(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the end of a span whose generator is not exhausted."""
    cleaned = []

    @tracer.phase("p")
    def produce() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(isinstance(here(), Operation))

    closed = produce()
    next(closed)
    closed.close()  # type: ignore[attr-defined]
    forgotten = produce()
    next(forgotten)
    del forgotten
    never_started = produce()
    del never_started
    assert cleaned == [True, True]
    assert [span.status for span in memory.spans] == ["OK", "OK"]


def test_a_generator_that_refuses_to_close_still_raises(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: an error that would show only without telemetry."""

    @tracer.phase("p")
    def stubborn():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    talking = stubborn()
    next(talking)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        talking.close()
    assert memory.spans[0].status == "ERROR"


def test_an_exception_inside_a_generator_propagates_unchanged(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the place where a pipeline broke."""
    error = ConnectionError()

    @tracer.phase("p")
    def breaks() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(ConnectionError) as caught:
        list(breaks())
    assert caught.value is error
    assert traceback.extract_tb(error.__traceback__)[-1].name == "breaks"
    assert memory.spans[0].attributes == {"error.type": "ConnectionError"}


def test_an_asynchronous_generator_yields_receives_and_fails_as_before(
    tracer: Tracer, memory: InMemoryRecorder
) -> None:
    """Lost: streams that receive values."""
    error, heard = ValueError(), []

    @tracer.subagent("s")
    async def stream():
        try:
            heard.append((yield 1))
        except ValueError as thrown:
            heard.append(thrown)
        with tracer.gate("inside"):
            await asyncio.sleep(0)
            heard.append((yield 2))

    async def main() -> None:
        before = here()
        talking = stream()
        assert await anext(talking) == 1
        assert here() is before
        assert await talking.athrow(error) == 2
        with tracer.gate("between"):
            pass
        with pytest.raises(StopAsyncIteration):
            await talking.asend("b")
        assert here() is before

    assert inspect.isasyncgenfunction(stream)
    asyncio.run(main())
    assert heard == [error, "b"]
    spans = {span.span_name: span for span in memory.spans}
    assert spans["inside"].parent_span_id == spans["s"].span_id
    assert spans["between"].parent_span_id is None
    assert spans["s"].status == "OK"


def test_a_closed_or_cancelled_asynchronous_generator_ends_its_span(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: a correct list of running operations, once a stream is abandoned."""
    cleaned = []

    @tracer.subagent("s")
    async def stream() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    async def read_all() -> None:
        async for _ in stream():
            pass

    async def main() -> None:
        closed = stream()
        await anext(closed)
        await closed.aclose()  # type: ignore[attr-defined]
        reading = asyncio.create_task(read_all())
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        forgotten = stream()
        await anext(forgotten)
        del forgotten
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert cleaned == [True] * 3
    assert [span.status for span in memory.spans] == ["OK", "ERROR", "OK"]
