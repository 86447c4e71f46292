"""Operation: the handle that a program holds while its work is timed.

Belongs here: Operation and its effect on the current span. It must not fail, block or import anything slow.
Does not: creating one (tracer), decorating functions (decorate), delivering its span (writer).
"""

from __future__ import annotations

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.span import LATEST_MS
from leo_telemetry_pipeline.tracing.context import Place, here, move, uuid_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType
    from typing import Any, Protocol, TypeVar

    Decorated = TypeVar("Decorated", bound=Callable[..., Any])

    class Ids(Protocol):
        """Source of ids."""

        def __call__(self, bits: int, /) -> int:
            """Return an id of this number of bits: 128 for a trace, 64 for a span."""
            ...

    class Now(Protocol):
        """A clock."""

        def __call__(self) -> int:
            """Return nanoseconds."""
            ...

    class Recorder(Protocol):
        """Receives operations as they begin and end."""

        def begin(self, operation: Operation, /) -> object:
            """Note an operation that has begun."""

        def end(self, operation: Operation, /) -> object:
            """Take an operation that has ended and will not change."""

    class TracerInterface(Protocol):
        """The part of a tracer that its operations use."""

        ids: Ids
        monotonic_ns: Now
        project: str
        recorder: Recorder | None
        wall_ns: Now

        def span(self, span_type: str, name: str, /, **options: Any) -> Operation:
            """Return an operation that has not begun."""
            ...


_MS = 1_000_000
# A trace id is a version 4 UUID: all bits but these are random.
_UUID_BITS = ~(0xF << 76 | 0x3 << 62)
_UUID_4 = 0x4 << 76 | 0x2 << 62
_SCALARS = frozenset((str, int, float, bool, type(None)))
# Exceptions that end a block normally.
_NO_ERROR = (GeneratorExit, StopIteration, StopAsyncIteration)


class Operation(Place):
    """Timed piece of work: a context manager, also with ``async``, and a decorator; each use is a separate span.

    ``start_ns`` is in UTC epoch ns, ``duration_ns`` by the monotonic clock, None while it runs; ``status`` is OK or
    ERROR. Ids are 0 while collection is disabled.
    """

    __slots__ = (
        "_began_ns",
        "_given",
        "_origin",
        "_parent",
        "_recorder",
        "_tracer",
        "attributes",
        "duration_ns",
        "parent_id",
        "queue_wait_ms",
        "span_name",
        "span_type",
        "start_ns",
        "status",
    )

    _given: tuple[Any, ...]
    _origin: Operation | None
    _parent: Place | None
    _recorder: Recorder
    _tracer: TracerInterface
    attributes: dict[str, Any]
    duration_ns: int | None
    parent_id: int
    queue_wait_ms: int | None
    span_name: str
    span_type: str
    start_ns: int
    status: str

    def __enter__(self) -> Operation:  # noqa: C901 hot path: helper calls would slow down every span
        tracer = self._tracer
        recorder = tracer.recorder
        if recorder is None:
            return self
        if self.span_id:
            return self.again().__enter__()
        try:
            parent = here()
            ids, wall_ns, monotonic_ns = tracer.ids, tracer.wall_ns, tracer.monotonic_ns
            self.span_id = ids(64) or 1
            if parent.trace_id:
                self.trace_id = parent.trace_id
                self.parent_id = parent.span_id
                if self.sd_id is None:
                    self.sd_id = parent.sd_id
                if self.project is None:
                    self.project = parent.project
                if self.workflow_execution_id is None:
                    self.workflow_execution_id = parent.workflow_execution_id
            else:
                self.trace_id = ids(128) & _UUID_BITS | _UUID_4
            if self.project is None:
                self.project = tracer.project
            for value in self.attributes.values():
                kind = type(value)
                if kind is not str and kind is not int and kind not in _SCALARS:
                    self.attributes = _plain(self.attributes)
                    break
            self._recorder = recorder
            self._parent = parent
            move(self)
            self.start_ns = wall_ns()
            if self._given[3] is not None:
                self.queue_wait_ms = _waited_ms(self._given[3], self.start_ns)
            recorder.begin(self)
            # The clock is read last, so that the duration excludes all of the above.
            self._began_ns = monotonic_ns()
        except Exception:  # noqa: BLE001, S110 must not fail in the measured program
            pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.span_id:
            return
        place, parent = here(), self._parent
        if place is self and parent is not None:
            move(parent)
        elif isinstance(place, Operation) and place._origin is self:
            # Entered a second time, this operation stands for the one that `again` returned.
            place.__exit__(kind, error, traceback)
            return
        elif parent is not None:
            _leave_out(self, parent, place)
        self._parent = None
        if kind is not None or self.duration_ns is not None:
            self.end(kind, error)
            return
        # The same as in `end`, inlined to save the cost of a call.
        try:
            monotonic_ns = self._tracer.monotonic_ns
            duration = monotonic_ns() - self._began_ns
            self.duration_ns = duration if duration > 0 else 0
            self._recorder.end(self)
        except Exception:  # noqa: BLE001, S110 must not fail in the measured program
            pass

    async def __aenter__(self) -> Operation:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Decorated) -> Decorated:
        """Return the function, coroutine function or (asynchronous) generator function with a span per call."""
        from leo_telemetry_pipeline.tracing.decorate import decorated

        return decorated(function, lambda *_: self.again())

    def set(self, attributes: Mapping[str, object] | None = None, /, **more: object) -> Operation:
        """Add copies of attributes, until the span ends; return the span. Values that JSON cannot hold become text."""
        if self.duration_ns is None:
            try:  # noqa: SIM105 contextlib is slow to import
                self._add(more if attributes is None else {**attributes, **more})
            except Exception:  # noqa: BLE001, S110 must not fail in the measured program
                pass
        return self

    def fail(self, reason: object = None) -> Operation:
        """Mark the work as failed without an exception; the reason becomes ``error.message``."""
        if self.duration_ns is None:
            self.status = "ERROR"
        return self if reason is None else self.set({"error.message": reason})

    def again(self) -> Operation:
        """Return a new operation with the arguments of this one."""
        sd_id, project, workflow_execution_id, queued_at, attributes = self._given
        operation = self._tracer.span(
            self.span_type,
            self.span_name,
            sd_id=sd_id,
            project=project,
            workflow_execution_id=workflow_execution_id,
            queued_at=queued_at,
        )
        operation._given = self._given
        operation.attributes = attributes
        operation._origin = self
        return operation

    def take_back(self) -> None:
        """Undo ``__enter__``; called by a recorder when collection is disabled."""
        if self._parent is not None:
            move(self._parent)
        self._parent = None
        self.trace_id = self.span_id = self.parent_id = 0

    def end(self, kind: type[BaseException] | None = None, error: BaseException | None = None) -> None:
        """End the span, once, without changing which span is current."""
        if not self.span_id or self.duration_ns is not None:
            return
        try:
            monotonic_ns = self._tracer.monotonic_ns
            duration = monotonic_ns() - self._began_ns
            if kind is not None and _is_error(kind, error):
                self.status = "ERROR"
                self._add({"error.type": kind.__name__})
            self.duration_ns = duration if duration > 0 else 0
            self._recorder.end(self)
        except Exception:  # noqa: BLE001, S110 must not fail in the measured program
            pass

    def _add(self, attributes: dict[str, Any]) -> None:
        attributes = _plain(attributes)
        if self.span_id and self.attributes is self._given[-1]:
            # Attributes of this use of the operation must not reach the next one.
            self.attributes = {**self.attributes, **attributes}
        else:
            self.attributes.update(attributes)

    def __repr__(self) -> str:
        return f"Operation({self.span_type}:{self.span_name}, trace_id={uuid_text(self.trace_id)})"


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    # Copy values that the program may change later.
    for key, value in attributes.items():
        if type(value) not in _SCALARS or type(key) is not str:
            return _copied(redact.clean_attributes(attributes))
    return attributes


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value


def _is_error(kind: type[BaseException], error: BaseException | None) -> bool:
    if issubclass(kind, SystemExit):
        return getattr(error, "code", None) not in (0, None)
    return not issubclass(kind, _NO_ERROR)


def _waited_ms(queued_at: datetime | float, now_ns: int) -> int | None:
    try:
        if getattr(queued_at, "tzinfo", None) is not None:
            queued_at = queued_at.timestamp()  # type: ignore[union-attr]
        if isinstance(queued_at, bool | str):
            return None
        return min(max(round(now_ns / _MS - float(queued_at) * 1000), 0), LATEST_MS)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 another library's date may raise anything
        return None


def _leave_out(left: Operation, parent: Place, place: Place) -> None:
    # ``left`` ended before its child, whose end must not make it current again.
    while isinstance(place, Operation) and place._parent is not None:
        if place._parent is left:
            place._parent = parent
            return
        place = place._parent
