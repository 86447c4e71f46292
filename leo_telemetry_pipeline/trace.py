"""Measure a workflow: ``from leo_telemetry_pipeline.trace import tracer``.

Belongs here: the public face of the trace API: the process's own tracer, how it is set up, flushed and counted.
Does not: how spans are made and kept (collect), nor how they are stored (store), which is loaded in the background.
"""

from __future__ import annotations

import _thread
import os

from leo_telemetry_pipeline.collect.context import child_environment, extract, here, inject, traceparent
from leo_telemetry_pipeline.collect.operation import Operation
from leo_telemetry_pipeline.collect.tracer import Tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from leo_telemetry_pipeline.collect.instrument import Describe, Instrumented
    from leo_telemetry_pipeline.collect.recorder import FixedClock, FixedIds, InMemoryRecorder
    from leo_telemetry_pipeline.collect.writer import Writer
    from leo_telemetry_pipeline.settings import Settings

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

    value = getattr(importlib.import_module(f"leo_telemetry_pipeline.collect.{_LATER[name]}"), name)
    globals()[name] = value
    return value


class _FirstSpan:
    """Stands for the writer until the first span begins, so that importing reads no setting and starts nothing."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.writer: Writer | None = None
        # Held through a fork: a child could never import what another thread was about to.
        self.lock = _thread.RLock()

    def begin(self, operation: Operation) -> None:
        """Make the writer, or switch collecting off; then do what the writer does."""
        self.start()
        if self.writer is None:
            operation.take_back()
        else:
            # What was done meanwhile is not the program's work.
            operation.start_ns = tracer.wall_ns()
            self.writer.begin(operation)

    def end(self, operation: Operation) -> None:
        """Hand over an operation that began before there was a writer."""
        if self.writer is not None:
            self.writer.end(operation)

    def start(self) -> None:
        """Make the writer that the settings ask for, once; none where collecting is off or a setting is wrong."""
        with self.lock:
            if tracer.recorder is not self:
                return
            try:
                from leo_telemetry_pipeline.settings import Settings

                settings = Settings(os.environ | self.settings)
                self.writer = _make_writer(settings) if settings.enabled else None
            except Exception as error:  # noqa: BLE001 a wrong setting must not stop the program that is measured
                import logging

                logging.getLogger("leo_telemetry_pipeline").warning("nothing is collected: %s", error)
            tracer.recorder = self.writer


def _make_writer(settings: Settings) -> Writer:
    from leo_telemetry_pipeline import redact
    from leo_telemetry_pipeline.collect.writer import Writer

    def load_store():
        # Called in the writer's thread, where the time that it takes is nobody's.
        from leo_telemetry_pipeline.store import sink

        return sink

    return Writer(
        lambda: load_store().connect(settings),
        folder=str(settings.home / "spool"),  # as spool.folder_of has it, which the writer's thread loads
        project=settings.project,
        durable=settings.durable,
        queue_spans=settings.queue_spans,
        spool_bytes=settings.spool_bytes,
        open_after_s=settings.open_after,
        policy=redact.Policy(settings.keep_keys, settings.keep_identity),
        prepare=load_store,
    )


_first_span = _FirstSpan()
tracer: Tracer = Tracer(_first_span)
_own_tracer = tracer
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_first_span.lock.acquire,
        after_in_parent=_first_span.lock.release,
        after_in_child=_first_span.lock.release,
    )


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
    if tracer.recorder is not _first_span:
        return False
    _first_span.settings |= {f"LEO_TELEMETRY_{name}": str(value) for name, value in given.items() if value is not None}
    return True


def writer() -> Writer | None:
    """Return the writer of this process, made now if need be; None where nothing is collected."""
    _first_span.start()
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
    from leo_telemetry_pipeline.collect import instrument as wrapping

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
    """Wait until every span that ended is stored or on disk, at most ``timeout`` seconds; say whether all are."""
    return _first_span.writer is None or _first_span.writer.flush(timeout)


def counters() -> dict[str, Any]:
    """Return what became of the spans of this process that ended.

    ``created`` = ``stored`` + ``spooled`` + all of ``dropped`` (by reason) + ``queued``, at any moment.
    """
    if _first_span.writer is None:
        return {"created": 0, "stored": 0, "spooled": 0, "dropped": {}, "queued": 0}
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
            _within(_SIGTERM_S, _close)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    signal.signal(signal.SIGTERM, handle)
    return True


def _close(timeout: float) -> None:
    if _first_span.writer is not None:
        _first_span.writer.close(timeout)


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
