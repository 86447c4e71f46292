"""Measure a workflow: ``from leo_telemetry_pipeline.trace import tracer``.

Belongs here: the public face of the trace API: the process's own tracer, how it is set up, flushed and counted.
Does not: how spans are made (tracing), delivered (writer) or stored (store), which is loaded in the background.
"""

from __future__ import annotations

import _thread
import time

from leo_telemetry_pipeline.tracing.context import child_environment, extract, here, inject, traceparent
from leo_telemetry_pipeline.tracing.operation import Operation
from leo_telemetry_pipeline.tracing.tracer import Tracer
from leo_telemetry_pipeline.writer.bootstrap import FirstSpan
from leo_telemetry_pipeline.writer.making import Making

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

    from leo_telemetry_pipeline.tracing.instrument import Describe, Instrumented
    from leo_telemetry_pipeline.tracing.recorder import FixedClock, FixedIds, InMemoryRecorder
    from leo_telemetry_pipeline.writer.writer import Writer

__all__ = [
    "FixedClock",
    "FixedIds",
    "InMemoryRecorder",
    "Instrumented",
    "Operation",
    "Tracer",
    "child_environment",
    "configure",
    "counters",
    "current",
    "extract",
    "flush",
    "flush_on_sigterm",
    "inject",
    "instrument",
    "traceparent",
    "tracer",
    "writer",
]

# What most programs never ask for is loaded when they do.
_LATER = {
    "FixedClock": "recorder",
    "FixedIds": "recorder",
    "InMemoryRecorder": "recorder",
    "Instrumented": "instrument",
}
_SIGTERM_S = 1.0


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"leo_telemetry_pipeline.tracing.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def _load_store():
    # Called in the writer's thread, where the time that it takes is nobody's.
    from leo_telemetry_pipeline.store import sink

    return sink


_making = Making(_load_store)
tracer: Tracer = Tracer(None)
_own_tracer = tracer
_first_span = FirstSpan(tracer, _making)


def configure(
    *,
    project: str | None = None,
    durable: bool | None = None,
    home: str | os.PathLike[str] | None = None,
    database_url: str | None = None,
) -> bool:
    """Set in code what ``LEO_TELEMETRY_PROJECT``, ``_DURABLE``, ``_HOME`` and ``_DATABASE_URL`` set outside.

    Return False, with nothing changed, once the first span has begun.
    """
    given = {"PROJECT": project, "DURABLE": durable, "HOME": home, "DATABASE_URL": database_url}
    if _first_span.begun or tracer.recorder is not _first_span:
        return False
    _making.chosen.update({f"LEO_TELEMETRY_{name}": str(value) for name, value in given.items() if value is not None})
    return True


def writer() -> Writer | None:
    """Return the writer of this process, made now if need be; None where nothing is collected."""
    if tracer.recorder is _first_span and not _first_span.begun:
        _first_span.start()
    if _first_span.begun:
        _first_span.prepare()
    return _first_span.writer


def instrument(
    handoff_executor: Any,
    *,
    phases: Any = (),
    gates: Any = (),
    subagents: Any = (),
    describe: Describe | None = None,
    methods: Iterable[str] | None = None,
    tracer: Tracer | None = None,
) -> Instrumented:
    """Time every call of an executor, its phases, gates and sub-agents, without editing them; return what was wrapped.

    Each of the first four is a callable, or an object or class with one of ``methods`` (default: execute, validate,
    run, check, evaluate, invoke); the last three are also a dict or list of such, or a module whose public functions
    count. Objects, classes, modules, dicts and lists are changed in place, until ``undo``. Names are dict keys, else
    ``.name``, else ``__name__``, else the class's.
    ``describe`` gets the executor's arguments and returns ``name``, ``sd_id``, ``sd_type`` and further attributes;
    without it they are taken from arguments named ``handoff_type``, ``sd_id``, ``sd_type`` and so on.
    A gate's ``score`` and ``passed``, attributes or keys of its result, become ``gate_score`` and ``gate_passed``.
    """
    from leo_telemetry_pipeline.tracing import instrument as wrapping

    return wrapping.instrument(
        _own_tracer if tracer is None else tracer,
        handoff_executor,
        phases=phases,
        gates=gates,
        subagents=subagents,
        describe=describe,
        methods=methods,
    )


def current() -> Operation | None:
    """Return the span that is running here; None outside of any."""
    place = here()
    return place if isinstance(place, Operation) else None


def flush(timeout: float = 10.0) -> bool:
    """Wait until every span that ended is stored or on disk, at most ``timeout`` seconds; say whether all are.

    Return False where a span that ended before was dropped or refused, also long ago: ``counters`` says how many and
    why; or where a wrong setting keeps all from being collected. A slow database is waited for, and what it has not
    taken within half a second lies on disk meanwhile.
    """
    give_up = time.monotonic() + timeout
    if not _first_span.begun:
        return True
    if not _first_span.prepare(timeout):
        return False
    if _first_span.writer is None:
        return _making.is_set("ENABLED", False)
    return _first_span.writer.flush(max(0.0, give_up - time.monotonic()))


def counters() -> dict[str, Any]:
    """Return what became of the spans of this process that ended.

    ``created`` = ``stored`` + ``spooled`` + all of ``dropped`` (by reason) + ``queued``, at any moment.
    """
    if _first_span.begun:
        _first_span.prepare()
    if _first_span.writer is None:
        waiting = len(_first_span.ended)
        return {"created": waiting, "stored": 0, "spooled": 0, "dropped": {}, "queued": waiting}
    return _first_span.writer.counters()


def flush_on_sigterm() -> bool:
    """Let SIGTERM wait, for at most a second, until spans are stored or on disk; then do what it did before.

    Call it from the main thread. Return False, with nothing changed, where SIGTERM is ignored or handled by
    other than Python code.
    """
    import signal

    before = signal.getsignal(signal.SIGTERM)
    if before in (signal.SIG_IGN, None) or _thread.get_ident() != _main_thread():
        return False

    def handle(number, frame) -> None:
        if callable(before):
            _within(_SIGTERM_S, flush)
            before(number, frame)
        else:
            _within(_SIGTERM_S, _first_span.close)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    signal.signal(signal.SIGTERM, handle)
    return True


def _main_thread() -> int | None:
    import threading

    return threading.main_thread().ident


def _within(seconds: float, work) -> None:
    # The signal may have come while this thread held a lock of the writer: so another one works, and this one
    # waits for a limited time. `threading` has locks of its own that may be held just as well.
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            work(seconds)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire(timeout=seconds + 0.2)
