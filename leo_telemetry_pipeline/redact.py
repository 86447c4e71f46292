"""What may be stored of a span, in one place, the same for every source.

Belongs here: turning whatever a program put into a span into what text and jsonb columns can hold.
Does not: whether a set of values is a span at all (span), or how it is stored (store).
Imported by the program that is measured, so it uses nothing that costs time to import.
"""

import operator
import reprlib

from leo_telemetry_pipeline.span import COLUMNS, Span

MAX_DEPTH = 20
MAX_KEY = 200
MAX_TEXT = 10_000
_MAX_FLAT = 500
# Objects that share or contain themselves would otherwise never end.
MAX_VALUES = 2_000
_CUT = "…"

# Columns stand together in indexes, whose entries PostgreSQL limits to 2,704 bytes.
MAX_NAME = 200
_TEXT_COLUMNS = (
    "workflow_execution_id",
    "sd_id",
    "project",
    "phase",
    "gate_name",
    "subagent_name",
    "span_type",
    "span_name",
    "status",
)
_all_texts = operator.attrgetter(*_TEXT_COLUMNS)
_LONGEST_INT = 2**63

# What nobody needs for finding slow work: who did it. OpenTelemetry exporters add these by themselves.
_IDENTITY_PREFIXES = ("user.", "enduser.", "organization.")
_IDENTITY_KEYS = frozenset(("user_id", "user_email", "user_name", "account_uuid", "organization_id"))


def clean(span: Span) -> Span:
    """Return the span as it may be stored: itself where nothing is in the way, else a changed copy."""
    attributes = clean_attributes(span.attributes)
    changes: dict = {} if attributes is span.attributes else {"attributes": attributes}
    texts = _all_texts(span)
    # One look at all of them together; nearly every span passes it.
    together = "".join(filter(None, texts))
    if len(together) > MAX_NAME or not together.isascii() or "\0" in together:
        pairs = zip(_TEXT_COLUMNS, texts, strict=True)
        changes |= {name: clean_text(text, MAX_NAME) for name, text in pairs if text}
    if not changes:
        return span
    return Span(**{**{name: getattr(span, name) for name in COLUMNS}, **changes})


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Return text of at most ``limit`` characters without NUL and lone surrogates, U+FFFD in their place."""
    if len(text) > limit:
        text = text[: limit - 1] + _CUT
    if text.isascii():
        return text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text.replace("\0", "\ufffd")


def clean_attributes(attributes: dict) -> dict:
    """Return attributes that jsonb holds, and every reader of JSON reads, as they are.

    Keys become text. NaN, infinities and integers beyond 64 bits become text, as does what JSON has no
    word for (dates, UUIDs, paths) and what lies deeper than 20 levels. Cleaning twice changes nothing.
    """
    if all(map(_is_clean, attributes, attributes.values())):
        return attributes
    return _object(attributes, 1, [MAX_VALUES])


def without_identity(attributes: dict) -> dict:
    """Return the attributes without those that name a person, an account or an organization."""
    return {
        key: value
        for key, value in attributes.items()
        if not key.startswith(_IDENTITY_PREFIXES) and key not in _IDENTITY_KEYS
    }


def flat(value: object) -> str:
    """Return a short text for what lies too deep: bounded in every direction, as it may be endless."""
    short = reprlib.Repr()
    short.maxlevel = 3
    short.maxstring = short.maxother = short.maxlong = 100
    try:
        return short.repr(value)
    except ValueError:  # an integer too long for Python to write
        return f"<{type(value).__name__}>"


def _is_clean(key: object, value: object) -> bool:
    if type(key) is not str or len(key) > MAX_KEY or not key.isascii() or "\0" in key:
        return False
    kind = type(value)
    if kind is str:
        return len(value) <= MAX_TEXT and value.isascii() and "\0" not in value  # type: ignore[arg-type,attr-defined,operator]
    if kind is int:
        return -_LONGEST_INT <= value < _LONGEST_INT  # type: ignore[operator]
    if kind is float:
        return value - value == 0  # type: ignore[operator]  # NaN and infinities make NaN of it
    return kind is bool or value is None


def _object(items: dict, depth: int, left: list[int]) -> dict:
    cleaned = {}
    for key, value in items.items():
        if left[0] <= 0:
            cleaned[_CUT] = f"{MAX_VALUES} values are kept"
            break
        left[0] -= 1
        name = clean_text(key if isinstance(key, str) else _as_text(key), MAX_KEY)
        cleaned[name] = _value(value, depth, left)
    return cleaned


def _array(items, depth: int, left: list[int]) -> list:
    cleaned = []
    for value in items:
        if left[0] <= 0:
            cleaned.append(_CUT)
            break
        left[0] -= 1
        cleaned.append(_value(value, depth, left))
    return cleaned


def _value(value, depth: int, left: list[int]):
    kind = type(value)
    if kind is str:
        return clean_text(value)
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if -_LONGEST_INT <= value < _LONGEST_INT else _long_int(value)
    if kind is float:
        return _float(value)
    if isinstance(value, dict | list | tuple | set | frozenset):
        if depth >= MAX_DEPTH:
            return clean_text(flat(value), _MAX_FLAT)
        if isinstance(value, dict):
            return _object(value, depth + 1, left)
        return _array(value, depth + 1, left)
    return _unusual(value)


def _unusual(value):
    # Subclasses first: enums, and the numbers of numerical libraries.
    if isinstance(value, str):
        return clean_text(str.__str__(value))
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, int):
        return _value(int(value), MAX_DEPTH, [])
    return clean_text(_as_text(value))


def _float(value: float) -> float | str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _long_int(value: int) -> str:
    # Python refuses to write very long integers in decimal, and only those.
    return clean_text(str(value) if value.bit_length() < 10_000 else hex(value))


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 a program's own __str__ may do anything, and telemetry must not fail
        return f"<{type(value).__name__}>"
