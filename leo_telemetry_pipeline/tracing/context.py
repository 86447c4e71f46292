"""Current span: the context variable that gives the next span its parent, and W3C trace context.

Belongs here: that variable, and ``traceparent`` in headers and environment. Does not: timing (operation).
"""

from __future__ import annotations

import os
from contextvars import ContextVar

VARIABLE = "TRACEPARENT"
_HEADER = "traceparent"
_HEX = "0123456789abcdef"
_LENGTH = 55  # 00-<32>-<16>-<2>

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    class SupportsSetting(Protocol):
        """Headers that accept ``headers[name] = text``."""

        def __setitem__(self, name: str, text: str, /) -> object:
            """Set one header."""


class Place:
    """What a child inherits from its parent. Ids are integers, 0 for none."""

    __slots__ = ("project", "sd_id", "span_id", "trace_id", "workflow_execution_id")

    def __init__(self, trace_id: int = 0, span_id: int = 0) -> None:
        self.trace_id: int = trace_id
        self.span_id: int = span_id
        self.sd_id: str | None = None
        self.project: str | None = None
        self.workflow_execution_id: str | None = None


class Remote(Place):
    """Parent in another process; a context manager that makes it current."""

    __slots__ = ("_before",)

    def __enter__(self) -> Remote:
        self._before = here()
        if self.trace_id:
            move(self)
        return self

    def __exit__(self, *exc: object) -> None:
        if here() is self:
            move(self._before)


def uuid_text(number: int) -> str:
    """Return an id as canonical UUID text; a span id fills the low 64 bits."""
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse(text: object) -> tuple[int, int] | None:
    """Return trace id and span id of a ``traceparent``, None if it is invalid; later versions may have more fields."""
    if not isinstance(text, str):
        return None
    text = text.strip(" \t")
    version, trace, span, flags = text[:2], text[3:35], text[36:52], text[53:_LENGTH]
    if len(text) < _LENGTH or text[2] != "-" or text[35] != "-" or text[52] != "-":
        return None
    if (version + trace + span + flags).strip(_HEX) or version == "ff":
        return None
    if len(text) > _LENGTH and (version == "00" or text[_LENGTH] != "-"):
        return None
    ids = int(trace, 16), int(span, 16)
    return ids if all(ids) else None


def written(place: Place) -> str | None:
    """Return a place as ``traceparent``, None outside a trace."""
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-01" if place.trace_id else None


def traceparent() -> str | None:
    """Return the current span or remote parent as W3C ``traceparent``, None outside a trace."""
    return written(here())


def inject(headers: SupportsSetting) -> None:
    """Add ``traceparent`` to the headers of an outgoing request; outside a trace, do nothing."""
    text = traceparent()
    if text:
        headers[_HEADER] = text


def extract(headers: object) -> Remote:
    """Return a context manager that makes the sender of a request the parent of the spans inside.

    ``headers``: a mapping or pairs, of text or bytes. Without exactly one valid ``traceparent``, nothing changes.
    """
    try:
        given: Any = headers
        pairs = given.items() if hasattr(given, "items") else given
        values = [_text(value) for name, value in pairs if _text(name).lower() == _HEADER]
    except Exception:  # noqa: BLE001 unusual headers of a framework must not fail its request
        values = []
    ids = parse(values[0]) if len(values) == 1 else None
    return Remote(*ids) if ids else Remote()


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ``environ`` (default: this process's) with ``TRACEPARENT``, so that a child process joins the trace."""
    variables = dict(os.environ if environ is None else environ)
    text = traceparent()
    if text:
        variables[VARIABLE] = text
    return variables


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


# Join the trace of the parent process, if any.
_outside = Place(*(parse(os.environ.get(VARIABLE)) or ()))
_current: ContextVar[Place] = ContextVar("leo_telemetry_place", default=_outside)
here = _current.get
move = _current.set
