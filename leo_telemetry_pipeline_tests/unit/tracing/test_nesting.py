"""Spans nest by context: in threads, executors and tasks."""

import asyncio
import contextvars
import random
import threading
from concurrent.futures import ThreadPoolExecutor

from leo_telemetry_pipeline.tracing.context import Remote, here
from leo_telemetry_pipeline.tracing.recorder import InMemoryRecorder
from leo_telemetry_pipeline.tracing.to_span import to_span
from leo_telemetry_pipeline.tracing.tracer import Tracer


def test_a_thread_with_a_copied_context_runs_inside_the_span(tracer: Tracer, memory: InMemoryRecorder) -> None:
    """Lost: the parallel half of a handoff."""
    with tracer.phase("p"):
        inside = contextvars.copy_context()
        threads = [
            threading.Thread(target=inside.run, args=(tracer.gate("in")(lambda: None),)),
            threading.Thread(target=tracer.gate("out")(lambda: None)),
        ]
        for thread in threads:
            thread.start()
            thread.join()
    spans = {span.span_name: span for span in memory.spans}
    assert spans["in"].parent_span_id == spans["p"].span_id
    assert spans["out"].parent_span_id is None


def test_pool_tasks_nest_under_the_span_of_their_context(memory: InMemoryRecorder) -> None:
    """Lost: the handoff of gates that run in a pool."""
    tracer = Tracer(memory)

    def one(number: int) -> None:
        with tracer.gate(f"g{number}"), tracer.subagent(f"s{number}"):
            pass

    with ThreadPoolExecutor(8) as pool, tracer.handoff("h") as handoff:
        for done in [pool.submit(contextvars.copy_context().run, one, number) for number in range(200)]:
            done.result()
        trace_id = to_span(handoff).trace_id
    spans = {span.span_name: span for span in memory.spans}
    assert len(spans) == 401
    assert {span.trace_id for span in memory.spans} == {trace_id}
    for number in range(200):
        assert spans[f"g{number}"].parent_span_id == spans["h"].span_id
        assert spans[f"s{number}"].parent_span_id == spans[f"g{number}"].span_id


def test_each_of_hundreds_of_tasks_has_its_own_current_span(memory: InMemoryRecorder) -> None:
    """Lost: the right parent of concurrent work."""
    tracer = Tracer(memory)
    shared = tracer.span("shared", "used by all tasks at once")

    async def one(number: int) -> None:
        async with tracer.gate(f"g{number}") as gate:
            await asyncio.sleep(random.random() / 100)
            async with shared as inner:
                await asyncio.sleep(random.random() / 100)
                assert here() is inner
                inner.set(of=number)
                with tracer.subagent(f"s{number}"):
                    await asyncio.sleep(0)
            assert here() is gate
            await asyncio.to_thread(tracer.span("thread", f"t{number}")(lambda: None))

    async def everything() -> None:
        async with tracer.handoff("h"), asyncio.TaskGroup() as tasks:
            for number in range(300):
                tasks.create_task(one(number))

    asyncio.run(everything())
    spans = {span.span_name: span for span in memory.spans}
    ids = {span.span_id: span for span in memory.spans}
    assert len(ids) == 300 * 4 + 1
    for number in range(300):
        assert spans[f"g{number}"].parent_span_id == spans["h"].span_id
        assert spans[f"t{number}"].parent_span_id == spans[f"g{number}"].span_id
        inner = ids[spans[f"s{number}"].parent_span_id or ""]
        assert inner.attributes == {"of": number}
        assert inner.parent_span_id == spans[f"g{number}"].span_id


def test_a_background_task_stays_in_the_trace_that_started_it(memory: InMemoryRecorder) -> None:
    """Lost: the second piece of work of a task that outlives its parent."""
    tracer = Tracer(memory)

    async def background() -> None:
        for name in ("first", "second"):
            await asyncio.sleep(0.001)
            with tracer.gate(name):
                pass

    async def everything() -> None:
        async with tracer.handoff("h"):
            task = asyncio.create_task(background())
        await task

    asyncio.run(everything())
    spans = {span.span_name: span for span in memory.spans}
    assert spans["first"].parent_span_id == spans["second"].parent_span_id == spans["h"].span_id


def test_a_chain_of_tasks_does_not_keep_earlier_spans_alive(memory: InMemoryRecorder) -> None:
    """Lost: memory, in a service whose tasks start tasks."""
    tracer = Tracer(memory)
    with tracer.gate("first") as first:
        inside = contextvars.copy_context()
    second = inside.run(tracer.gate("second").__enter__)
    inside.run(second.__exit__, None, None, None)
    assert first._parent is None
    assert second._parent is None


def test_a_remote_parent_is_current_only_inside_its_block() -> None:
    """Lost: the right trace of the next request."""
    before = here()
    with Remote(5, 6) as remote:
        assert here() is remote
    assert here() is before
