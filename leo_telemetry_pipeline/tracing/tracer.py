"""Tracer: what operations are asked of.

Belongs here: Tracer, and the source of ids.
Does not: what an operation does while it runs (operation), its span (to_span), what happens to that (writer, recorder).
Imported by the program that is measured, so it uses nothing that costs time to import.
"""

from __future__ import annotations

import _random
import os
import time

from leo_telemetry_pipeline.tracing.operation import Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any, Protocol

    from leo_telemetry_pipeline.tracing.operation import Ids, Now, Recorder

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
        self.wall_ns: Now = time.time_ns if clock is None else clock.wall_ns
        self.monotonic_ns: Now = time.monotonic_ns if clock is None else clock.monotonic_ns
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
