"""Parser of JSON files whose values span several lines.

Belongs here: arrays and pretty-printed JSON. Does not: one value per line (reader), what a value means (rows, otlp).
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.files.lines import NOT_UTF8

# Limit of a file with values over several lines, which is read whole; JSON lines have no limit.
MAX_DOCUMENT = 200_000_000
_BETWEEN = re.compile(r"[\s\ufeff,\[\]]*")
_OBJECT_LINE = re.compile(r"^([ \t,\[]*)\{", re.MULTILINE)
_TIMES = ("start_time_ms", "end_time_ms", "duration_ms", "queue_wait_ms")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class Broken(str):
    """The reason why the text at this place of a file is not a JSON value."""

    __slots__ = ()


def is_document(first: bytes, second: bytes) -> bool:
    """Return whether a file with these first two lines has values that span several lines."""
    opened = first.endswith((b"{", b"[", b","))
    if first.startswith(b"["):
        return opened or _value(first) is not None or not isinstance(_value(second), dict)
    return first.startswith(b"{") and opened and _value(second) is None


def values(data: bytes, complete: bool = True) -> Iterator[tuple[int, object, str]]:
    """Yield line number, value and text of each value in an array or a sequence.

    An invalid value is yielded as Broken; parsing resumes at the next line that starts an object at the same depth or
    less. With ``complete`` false, a truncated value at the end is left out.
    """
    text = data.decode("utf-8", "surrogateescape")
    scan = json.JSONDecoder().raw_decode
    line, counted, position = 1, 0, 0
    while True:
        position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
        if position >= len(text):
            return
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = scan(text, position)
            raw = text[position:end]
            yield line, (Broken(NOT_UTF8) if _NOT_UTF8.search(raw) else value), raw
            position = end
        except (ValueError, RecursionError) as error:
            following = _next_object(text, position)
            if following is None and not complete:
                return
            yield line, Broken(reason(error)), text[position : position + 2_000 + redact.REACH]
            if following is None:
                return
            position = following


def exact(value: Any, raw: bytes | str) -> Any:
    """Return a JSON value with its times as exact as in its text, where a float would lose digits."""
    if isinstance(value, list):
        if not any(map(has_float_times, value)):
            return value
        again = json.loads(raw, parse_float=_decimal)
        return [_with_times(item, other) for item, other in zip(value, again, strict=True)]
    return _with_times(value, json.loads(raw, parse_float=_decimal)) if has_float_times(value) else value


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # the exponent is too large
        return Decimal("Infinity")


def has_float_times(value: object) -> bool:
    """Return whether a row has a time that ``exact`` would change."""
    if type(value) is not dict:
        return False
    # Unrolled because it runs for every row, in a third of the time of a loop.
    get = value.get
    return (
        type(get("start_time_ms")) is float
        or type(get("end_time_ms")) is float
        or type(get("duration_ms")) is float
        or type(get("queue_wait_ms")) is float
    )


def _with_times(value: object, again: object) -> object:
    if not isinstance(value, dict) or not isinstance(again, dict):
        return value
    return value | {name: again[name] for name in _TIMES if type(value.get(name)) is float}


def reason(error: Exception) -> str:
    """Return a short reason why JSON could not be parsed."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg.lower()} at character {error.colno}"
    return "not JSON: nested too deep" if isinstance(error, RecursionError) else "not JSON: a number is too long"


def _next_object(text: str, position: int) -> int | None:
    depth = position - text.rfind("\n", 0, position) - 1
    for match in _OBJECT_LINE.finditer(text, position + 1):
        if len(match[1]) <= depth:
            return match.end() - 1
    return None


def _value(line: bytes) -> object:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
