"""Tracer: creates operations.

Belongs here: Tracer, and the default source of ids; it imports nothing slow into the measured program.
Does not: running operations (operation), their spans (to_span), delivery (writer, recorder).
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
        """Wall clock and monotonic clock."""

        def wall_ns(self) -> int:
            """Return nanoseconds since the epoch."""
            ...

        def monotonic_ns(self) -> int:
            """Return nanoseconds of a clock that never steps."""
            ...

    class Kind(Protocol):
        """Creates operations of one span type; options as for ``Tracer.span``."""

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
            """Return an operation that has not begun."""
            ...


# This way of creating an operation takes half the time of calling its class.
_new = object.__new__
# Module `random` is not used, because the program may seed it. A forked child reseeds this source.
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
        created = _new(Operation)
        created._tracer = self
        created._given = (sd_id, project, workflow_execution_id, queued_at, attributes)
        created._origin = created._parent = created.queue_wait_ms = created.duration_ns = None
        created.span_type = span_type
        created.span_name = name
        created.sd_id = sd_id
        created.project = project
        created.workflow_execution_id = workflow_execution_id
        created.attributes = attributes
        created.trace_id = created.span_id = created.parent_id = created.start_ns = 0
        created.status = "OK"
        return created

    operation.__name__ = span_type
    operation.__qualname__ = f"Tracer.{span_type}"
    operation.__doc__ = f"Return an operation of span type {span_type} that has not begun; options as for ``span``."
    return operation


class Tracer:
    """Creates operations for ``recorder``, replaceable at any time (open spans keep theirs); None: no spans."""

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
        """Return an operation, not yet begun, of any span type; invalid arguments never make the program fail.

        Children inherit ``sd_id``, ``project`` and ``workflow_execution_id``. ``queued_at`` is the start of the queue
        wait: an aware datetime or seconds since the epoch. ``sd_type`` and all other keywords are attributes.
        """
        operation = self.gate(
            name,
            sd_id=sd_id,
            sd_type=sd_type,
            project=project,
            workflow_execution_id=workflow_execution_id,
            queued_at=queued_at,
            **attributes,
        )
        operation.span_type = span_type
        return operation
