"""Trace API for measuring a workflow: ``from leo_telemetry_pipeline.trace import tracer``.

Belongs here: the process's tracer, its configuration, flush and counters.
Does not: creating spans (tracing), delivering them (writer), storing them (store, loaded in the background).
"""

from __future__ import annotations

import _thread
import time

from leo_telemetry_pipeline.tracing.context import child_environment, extract, here, inject, traceparent
from leo_telemetry_pipeline.tracing.operation import Operation
from leo_telemetry_pipeline.tracing.tracer import Tracer
from leo_telemetry_pipeline.writer import patience
from leo_telemetry_pipeline.writer.bootstrap import FirstSpan
from leo_telemetry_pipeline.writer.making import WriterFactory

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

# Loaded on demand, since most programs never use these.
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
    # Called in the writer's thread, so that the import does not delay the program.
    from leo_telemetry_pipeline.store import sink

    return sink


_factory = WriterFactory(_load_store)
tracer: Tracer = Tracer(None)
_own_tracer = tracer
_first_span = FirstSpan(tracer, _factory)


def configure(
    *,
    project: str | None = None,
    durable: bool | None = None,
    home: str | os.PathLike[str] | None = None,
    database_url: str | None = None,
) -> bool:
    """Set ``LEO_TELEMETRY_PROJECT``, ``_DURABLE``, ``_HOME`` and ``_DATABASE_URL`` in code instead of the environment.

    Return False, with nothing changed, once the first span has begun.
    """
    given = {"PROJECT": project, "DURABLE": durable, "HOME": home, "DATABASE_URL": database_url}
    if _first_span.begun or tracer.recorder is not _first_span:
        return False
    _factory.chosen.update({f"LEO_TELEMETRY_{name}": str(value) for name, value in given.items() if value is not None})
    return True


def writer() -> Writer | None:
    """Return the writer of this process, created if necessary; None if collection is disabled."""
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

    The first four arguments are each a callable, or an object or class with one of ``methods`` (default: execute,
    validate, run, check, evaluate, invoke); the last three may also be a dict or list of these, or a module, which
    stands for its public functions. All but plain callables are changed in place until ``undo``. A span is named by
    the dict key, else ``.name``, ``__name__`` or the class.
    ``describe`` gets the executor's arguments and returns ``name``, ``sd_id``, ``sd_type`` and further attributes;
    by default, they come from arguments named ``handoff_type``, ``sd_id``, ``sd_type`` and so on.
    ``score`` and ``passed`` of a gate's result, as attributes or keys, become ``gate_score`` and ``gate_passed``.
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
    """Return the current span, None outside any span."""
    place = here()
    return place if isinstance(place, Operation) else None


def flush(timeout: float = 10.0) -> bool:
    """Wait up to ``timeout`` seconds until all ended spans are stored or on disk; return whether they are.

    Return False also if a span was ever dropped or refused (see ``counters``) or an invalid setting prevents
    collection. Spans that a slow database has not taken within half a second are written to disk meanwhile.
    """
    give_up = time.monotonic() + timeout
    if not _first_span.begun:
        return True
    if not _first_span.prepare(timeout):
        return False
    if _first_span.writer is None:
        return _factory.is_set("ENABLED", False)
    return _first_span.writer.flush(max(0.0, give_up - time.monotonic()))


def counters() -> dict[str, Any]:
    """Return what became of this process's ended spans.

    At any moment, ``created`` = ``stored`` + ``spooled`` + the sum of ``dropped`` (by reason) + ``queued``.
    """
    if _first_span.begun:
        _first_span.prepare()
    if _first_span.writer is None:
        waiting = len(_first_span.ended)
        return {"created": waiting, "stored": 0, "spooled": 0, "dropped": {}, "queued": waiting}
    return _first_span.writer.counters()


def flush_on_sigterm() -> bool:
    """Delay SIGTERM, by at most a second, until spans are stored or on disk; then handle it as before.

    Return False, with nothing changed, outside the main thread or if SIGTERM is ignored or not handled in Python.
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
    # The interrupted thread may hold a lock of the writer or of module `threading`. So work in another thread, wait
    # for a limited time, and take neither lock here.
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            work(seconds)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    patience.acquired(done, seconds + 0.2)
