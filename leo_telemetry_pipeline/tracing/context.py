"""Where the running code stands: the span or remote parent that the next span becomes a child of.

Belongs here: that one context variable, and W3C trace context in text, headers and environment.
Does not: timing anything (tracer). Imported by the program that is measured.
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
        """What takes ``headers[name] = text``."""

        def __setitem__(self, name: str, text: str, /) -> object:
            """Set one header."""


class Place:
    """What a child takes from its parent: ids as integers, 0 for none, and the columns that it inherits."""

    __slots__ = ("project", "sd_id", "span_id", "trace_id", "workflow_execution_id")

    def __init__(self, trace_id: int = 0, span_id: int = 0) -> None:
        self.trace_id: int = trace_id
        self.span_id: int = span_id
        self.sd_id: str | None = None
        self.project: str | None = None
        self.workflow_execution_id: str | None = None


class Remote(Place):
    """A parent in another process; as a context manager it is current for what runs inside."""

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
    """Return the trace id and the span id of a ``traceparent``; None for what W3C does not allow.

    Versions to come may have more fields, after a dash.
    """
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
    """Return a place as ``traceparent``; None where there is no trace."""
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-01" if place.trace_id else None


def traceparent() -> str | None:
    """Return the current span, or the parent from outside, as W3C ``traceparent``; None without one."""
    return written(here())


def inject(headers: SupportsSetting) -> None:
    """Add ``traceparent`` to the headers of a request to be sent; leave them as they are outside a trace.

    ``headers`` is anything that takes ``headers[name] = text``.
    """
    text = traceparent()
    if text:
        headers[_HEADER] = text


def extract(headers: object) -> Remote:
    """Return a context manager that makes the sender of a request the parent of what runs inside.

    ``headers`` is a mapping or pairs, names in any case, as text or bytes. Without exactly one valid
    ``traceparent`` nothing changes.
    """
    try:
        given: Any = headers
        pairs = given.items() if hasattr(given, "items") else given
        found = [_text(value) for name, value in pairs if _text(name).lower() == _HEADER]
    except Exception:  # noqa: BLE001 whatever a framework hands out as headers must not fail its request
        found = []
    ids = parse(found[0]) if len(found) == 1 else None
    return Remote(*ids) if ids else Remote()


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ``environ`` (default: this process's) with ``TRACEPARENT``, so that a child process joins the trace."""
    made = dict(os.environ if environ is None else environ)
    text = traceparent()
    if text:
        made[VARIABLE] = text
    return made


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


# What started this process may be part of a trace: then that is where its spans belong.
_outside = Place(*(parse(os.environ.get(VARIABLE)) or ()))
_current: ContextVar[Place] = ContextVar("leo_telemetry_place", default=_outside)
here = _current.get
move = _current.set
