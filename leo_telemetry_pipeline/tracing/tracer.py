"""The trace API: where operations are asked for, and how they become spans.

Belongs here: Tracer, the source of ids, and the way from an operation to a Span.
Does not: what an operation does while it runs (operation), nor what happens to it afterwards (writer, recorder).
Imported by the program that is measured, so it uses nothing that costs time to import.
"""

from __future__ import annotations

import _random
import os
import time

from leo_telemetry_pipeline.span import LATEST_MS, RESERVED_TYPES, Span
from leo_telemetry_pipeline.tracing.context import uuid_text
from leo_telemetry_pipeline.tracing.operation import Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any, Protocol

    class Recorder(Protocol):
        """What takes operations as they begin and end."""

        def begin(self, operation: Operation, /) -> object:
            """Take notice of an operation that runs from now on."""

        def end(self, operation: Operation, /) -> object:
            """Take an operation that ended and changes no more."""

    class Clock(Protocol):
        """Two clocks: one tells the time, one measures it."""

        def wall_ns(self) -> int:
            """Return nanoseconds since the epoch."""
            ...

        def monotonic_ns(self) -> int:
            """Return nanoseconds of a clock that never steps."""
            ...

    class Kind(Protocol):
        """Makes operations of one span type; the options are those of ``Tracer.span``."""

        def __call__(
            self,
            name: str,
            /,
            *,
            sd_id: str | None = None,
            sd_type: str | None = None,
            project: str | None = None,
            workflow_execution_id: str | None = None,
            queued_at: datetime | float | None = None,
            **attributes: object,
        ) -> Operation:
            """Return an operation, not begun yet."""
            ...

    # So many random bits: 128 for a trace id, 64 for a span id.
    Ids = Callable[[int], int]

_MS = 1_000_000
# A call of the class would take twice as long.
_new = object.__new__
# A source of its own: what the program does to `random` must change no id. Seeded anew in a forked child.
_source = _random.Random(int.from_bytes(os.urandom(32), "big"))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _source.seed(int.from_bytes(os.urandom(32), "big")))


def _kind(span_type: str) -> Any:
    def operation(
        self: Tracer,
        name: str,
        /,
        *,
        sd_id: str | None = None,
        sd_type: str | None = None,
        project: str | None = None,
        workflow_execution_id: str | None = None,
        queued_at: datetime | float | None = None,
        **attributes: object,
    ) -> Operation:
        if sd_type is not None:
            attributes["sd_type"] = sd_type
        made = _new(Operation)
        made._tracer = self
        made._given = (sd_id, project, workflow_execution_id, queued_at, attributes)
        made._origin = made._parent = made.queue_wait_ms = made.duration_ns = None
        made.span_type = span_type
        made.span_name = name
        made.sd_id = sd_id
        made.project = project
        made.workflow_execution_id = workflow_execution_id
        made.attributes = attributes
        made.trace_id = made.span_id = made.parent_id = made.start_ns = 0
        made.status = "OK"
        return made

    operation.__name__ = span_type
    operation.__qualname__ = f"Tracer.{span_type}"
    operation.__doc__ = f"Return an operation of span type {span_type}, not begun yet; options as of ``span``."
    return operation


class Tracer:
    """Makes operations and hands them to a recorder; None for no recorder switches it off.

    ``recorder`` can be changed at any time; spans that are open end where they began.
    """

    __slots__ = ("ids", "monotonic_ns", "project", "recorder", "wall_ns")

    if TYPE_CHECKING:
        handoff: Kind
        phase: Kind
        gate: Kind
        subagent: Kind
    else:
        handoff = _kind("handoff")
        phase = _kind("phase")
        gate = _kind("gate")
        subagent = _kind("subagent")

    def __init__(
        self, recorder: Recorder | None, *, clock: Clock | None = None, ids: Ids | None = None, project: str = ""
    ) -> None:
        self.recorder: Recorder | None = recorder
        self.project: str = project
        self.wall_ns: Callable[[], int] = time.time_ns if clock is None else clock.wall_ns
        self.monotonic_ns: Callable[[], int] = time.monotonic_ns if clock is None else clock.monotonic_ns
        self.ids: Ids = _source.getrandbits if ids is None else ids

    def span(
        self,
        span_type: str,
        name: str,
        /,
        *,
        sd_id: str | None = None,
        sd_type: str | None = None,
        project: str | None = None,
        workflow_execution_id: str | None = None,
        queued_at: datetime | float | None = None,
        **attributes: object,
    ) -> Operation:
        """Return an operation of any span type, not begun yet.

        Children inherit ``sd_id``, ``project`` and ``workflow_execution_id``. ``queued_at``, aware or in seconds
        since the epoch, says since when the work waited; that wait is no part of its duration. ``sd_type`` and
        every further keyword are attributes. Nothing that is passed here makes the program fail.
        """
        made = self.gate(
            name,
            sd_id=sd_id,
            sd_type=sd_type,
            project=project,
            workflow_execution_id=workflow_execution_id,
            queued_at=queued_at,
            **attributes,
        )
        made.span_type = span_type
        return made


def to_span(operation: Operation) -> Span:
    """Return the span of an operation, with no end while it runs; never raise.

    Times and durations are whole milliseconds, the duration rounded to the nearest. What cannot be a name or a
    time becomes the nearest that can.
    """
    start_ms = min(max(operation.start_ns // _MS, 0), LATEST_MS)
    duration_ms = None
    if operation.duration_ns is not None:
        duration_ms = min((operation.duration_ns + _MS // 2) // _MS, LATEST_MS - start_ms)
    return Span(
        trace_id=uuid_text(operation.trace_id),
        span_id=uuid_text(operation.span_id),
        parent_span_id=uuid_text(operation.parent_id) if operation.parent_id else None,
        workflow_execution_id=_text(operation.workflow_execution_id),
        sd_id=_text(operation.sd_id),
        project=_text(operation.project) or "",
        span_type=_type(operation.span_type),
        span_name=_text(operation.span_name) or "unnamed",
        start_time_ms=start_ms,
        end_time_ms=None if duration_ms is None else start_ms + duration_ms,
        duration_ms=duration_ms,
        queue_wait_ms=operation.queue_wait_ms,
        status=None if duration_ms is None else operation.status,
        attributes=operation.attributes.copy(),
    )


def _text(value: object) -> str | None:
    if value is None:
        return None
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 a program's own __str__ may do anything
        text = f"<{type(value).__name__}>"
    return text if text and not text.isspace() else None


def _type(value: object) -> str:
    word = (_text(value) or "span").strip().lower().replace("+", "_")
    return f"{word}_span" if word in RESERVED_TYPES else word
