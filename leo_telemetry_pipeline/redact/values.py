"""Redaction of a span and its attributes: storable, without secrets.

Belongs here: values that columns and jsonb cannot hold, and every place in a span where a secret can be.
Does not: one text (texts), what a secret looks like (scrub), or which keys may be kept (policy).
"""

import operator

from leo_telemetry_pipeline.redact.texts import (
    CUT,
    MAX_KNOWN,
    MOST_KNOWN,
    are_plain,
    as_text,
    clean_text,
    flat,
    name,
    remember,
    text,
)
from leo_telemetry_pipeline.scrub import MARK, names_secret
from leo_telemetry_pipeline.span import COLUMNS, Span

MAX_DEPTH = 20
MAX_KEY = 200
# Bounds objects that contain themselves.
MAX_VALUES = 2_000

# Several columns share an index, whose entries PostgreSQL limits to 2,704 bytes.
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
_NAMED = ("key", "name")
# In an object such as {"name": "DB_PASSWORD", "data": ...}, keys whose values are never the named secret.
_NEVER_VALUES = (*_NAMED, "type", "kind", "in", "id")
_MOST_KEYS_OF_SMALL = 4

# Caches, since keys recur.
_plain_keys: set[str] = set()
_judged_keys: dict[str, tuple[str, bool, bool]] = {}

# Identities do not help to find slow work, but OpenTelemetry exporters add them by default.
_PERSONS = ("user", "enduser", "organization")
_IDENTITY_PREFIXES = tuple(f"{person}." for person in _PERSONS)
# Letters only, so that user_id, userId and user-id are the same.
_IDENTITY_KEYS = frozenset(
    (
        *_PERSONS,
        *("email", "emailaddress", "useremail", "username", "userid", "useruuid", "accountid", "accountuuid"),
        *("accountemail", "useraccountid", "useraccountuuid", "enduserid"),
        *("organizationid", "organizationuuid", "organizationname"),
    )
)


def is_identity(key: str) -> bool:
    """Return whether a key identifies a person, an account or an organization, in any spelling."""
    lowered = key.lower()
    return lowered.startswith(_IDENTITY_PREFIXES) or "".join(filter(str.isalnum, lowered)) in _IDENTITY_KEYS


def clean(span: Span) -> Span:
    """Return a span that is safe to store: the same object if nothing has to change, else a changed copy.

    Scrubs every text: names, status, ids except UUIDs, attributes and their keys at any depth.
    The value of a key that names a secret is replaced as a whole. Idempotent.
    """
    attributes, texts = span.attributes, _all_texts(span)
    values = _texts_of(attributes)
    if values is not None and are_plain((*filter(None, texts), *values)):
        return span
    pairs = zip(_TEXT_COLUMNS, texts, strict=True)
    changes: dict = {column: safe for column, value in pairs if value and (safe := name(value, MAX_NAME)) is not value}
    if (cleaned := clean_attributes(attributes)) is not attributes:
        changes["attributes"] = cleaned
    if not changes:
        return span
    return Span(**{**{column: getattr(span, column) for column in COLUMNS}, **changes})


def clean_attributes(attributes: dict) -> dict:
    """Return attributes that jsonb can hold, that every JSON parser reads alike, and that are safe to show.

    Keys become text. So do NaN, infinities, integers beyond 64 bits, types that JSON lacks (dates, UUIDs, paths) and
    values nested deeper than 20 levels. Idempotent.
    """
    values = _texts_of(attributes)
    if values is not None and are_plain(values):
        return attributes
    return _object(attributes, 1, [MAX_VALUES])


def _texts_of(attributes: dict) -> list[str] | None:
    # Fast path: the texts to check, if all keys are plain and no value needs other work.
    if not attributes.keys() <= _plain_keys and not all(map(_is_plain_key, attributes)):
        return None
    texts = []
    for value in attributes.values():
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif kind is int:
            if not -_LONGEST_INT <= value < _LONGEST_INT:
                return None
        elif kind is float:
            if value - value != 0:  # NaN for NaN and infinities
                return None
        elif kind is not bool and value is not None:
            return None
    return texts


def _is_plain_key(key: object) -> bool:
    if type(key) is not str or _judged(key) != (key, False, False):
        return False
    remember(_plain_keys, (key,))
    return True


def _judged(key: str) -> tuple[str, bool, bool]:
    # The stored key, whether it names a secret, whether it identifies a person.
    judged = _judged_keys.get(key)
    if judged is None:
        safe = name(key, MAX_KEY)
        judged = safe, names_secret(safe), is_identity(safe)
        if len(key) <= MAX_KNOWN:
            if len(_judged_keys) >= MOST_KNOWN:
                _judged_keys.clear()
            _judged_keys[key] = judged
    return judged


def _object(items: dict, depth: int, left: list[int], keep_emails: bool = False) -> dict:
    cleaned = {}
    for key, value in items.items():
        if left[0] <= 0:
            cleaned[CUT] = f"{MAX_VALUES} values are kept"
            break
        left[0] -= 1
        safe, is_secret, names_person = _judged(key if isinstance(key, str) else as_text(key))
        if value is not None and is_secret:
            cleaned[safe] = MARK
        else:
            # Below the first level, the policy has removed all identities.
            cleaned[safe] = _value(value, depth, left, keep_emails or (depth == 1 and names_person))
    # Judged by what is stored: bytes, paths and long integers have become text.
    cleaned.update(dict.fromkeys(_keys_to_hide(cleaned, depth), MARK))
    return cleaned if _differ(cleaned, items) else items


def _keys_to_hide(cleaned: dict, depth: int) -> list[str]:
    # In {"Name": "DB_PASSWORD", "Value": ...}, one key names the secret and another holds it: a key with "value" in it,
    # or in a small object any other key without a number.
    words = {key: key.lower() for key, value in cleaned.items() if value is not None}
    if not any(
        word in _NAMED and isinstance(cleaned[key], str) and _judged(cleaned[key])[1] for key, word in words.items()
    ):
        return []
    is_small = depth > 1 and len(cleaned) <= _MOST_KEYS_OF_SMALL
    return [
        key
        for key, word in words.items()
        if "value" in word or (is_small and word not in _NEVER_VALUES and not isinstance(cleaned[key], int | float))
    ]


def _differ(cleaned: dict, items: dict) -> bool:
    return (
        type(items) is not dict
        or len(cleaned) != len(items)
        or not all(map(operator.is_, cleaned, items))
        or not all(map(operator.is_, cleaned.values(), items.values()))
    )


def _array(items, depth: int, left: list[int], keep_emails: bool) -> list:
    cleaned, hides_next = [], False
    is_pair = len(items) == 2 and isinstance(items, list | tuple)
    for value in items:
        if left[0] <= 0:
            cleaned.append(CUT)
            break
        left[0] -= 1
        safe = _value(value, depth, left, keep_emails)
        if hides_next and not (safe is None or isinstance(safe, bool) or _is_option(safe)):
            safe = MARK
        cleaned.append(safe)
        # ("x-api-key", ...) and ["--password", ...] name the secret that follows.
        hides_next = (is_pair or _is_option(safe)) and _names_next(safe)
    return cleaned


def _is_option(value: object) -> bool:
    return isinstance(value, str) and value.startswith("-")


def _names_next(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_KNOWN and names_secret(value)


def _value(value, depth: int, left: list[int], keep_emails: bool = False):
    kind = type(value)
    if kind is str:
        return text(value, keep_emails=keep_emails)
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if -_LONGEST_INT <= value < _LONGEST_INT else _long_int(value)
    if kind is float:
        return _float(value)
    if isinstance(value, dict | list | tuple | set | frozenset):
        if depth >= MAX_DEPTH:
            return flat(value)
        if isinstance(value, dict):
            return _object(value, depth + 1, left, keep_emails)
        return _array(value, depth + 1, left, keep_emails)
    return _unusual(value)


def _unusual(value):
    # Subclasses first: enums, and number types of numerical libraries.
    if isinstance(value, str):
        return text(str.__str__(value))
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, int):
        return _value(int(value), MAX_DEPTH, [])
    return text(as_text(value))


def _float(value: float) -> float | str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _long_int(value: int) -> str:
    # Python refuses to write very long integers in decimal, but not in hex.
    return clean_text(str(value) if value.bit_length() < 10_000 else hex(value))
