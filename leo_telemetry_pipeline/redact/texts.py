"""Redaction of one text: storable, bounded in length, without secrets.

Belongs here: characters that text columns cannot hold, length limits, and the cache of harmless texts.
Does not: what a secret looks like (scrub), or where in a span the text is (values).
"""

import reprlib

from leo_telemetry_pipeline.scrub import LONG, MARK, is_suspicious, scrub

MAX_TEXT = 10_000
_MAX_FLAT = 500
# How far beyond the limit a text is scrubbed, so that no secret is missed because it was cut in two.
REACH = 4_000
CUT = "…"
# Hex digits of the hash that distinguishes names with the same beginning.
HASH = 16

# NUL and terminal controls: control characters except tab and newline, and changes of text direction.
_UNSHOWN = dict.fromkeys(
    (*range(9), *range(11, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
)

# Cache of harmless texts, since names, types and keys recur: at most this many, each at most this long.
MOST_KNOWN = 4_096
MAX_KNOWN = 100
_known_texts: set[str] = set()


def text(value: str, limit: int = MAX_TEXT, *, keep_emails: bool = False) -> str:
    """Return text that is safe to store and show, at most ``limit`` characters; the same object if nothing changed."""
    if value in _known_texts and len(value) <= limit:
        return value
    # The text is scrubbed up to REACH beyond the limit, so its scrubbed part may end with half a secret.
    is_longer = len(value) > limit + REACH
    safe = scrub(_storable(value[: limit + REACH] if is_longer else value), keep_emails=keep_emails)
    if not is_longer and len(safe) <= limit:
        if safe is value and len(safe) <= MAX_KNOWN and not keep_emails:
            remember(_known_texts, (safe,))
        return safe
    size = min(limit - 1, len(safe) - REACH) if is_longer else limit - 1
    for _ in range(4):  # Cutting may leave something that looks like a secret.
        safe = scrub(_cut(safe, size), keep_emails=keep_emails)
        if len(safe) <= limit:
            return safe
        size = limit - 1
    return _cut(safe, limit - 1)


def name(value: str, limit: int) -> str:
    """Return a name as ``text`` does; a shortened name ends with a hash of the full name.

    The hash distinguishes names that differ only beyond the limit.
    """
    safe = text(value, limit)
    if len(value) <= limit or not safe.endswith(CUT):
        return safe
    # Imported only here, because hardly any name is this long.
    import hashlib

    # Hash the scrubbed text; the text beyond REACH is hashed without scrubbing.
    whole = scrub(_storable(value[: limit + REACH])) + value[limit + REACH :]
    digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:HASH]
    return text(text(value, limit - HASH) + digest, limit)


def shown(value: object, limit: int = 60) -> str:
    """Return a value for quoting in a message: in quotes, short, without secrets."""
    return repr(text(value if isinstance(value, str) else as_text(value), limit))


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Return text of at most ``limit`` characters; lone surrogates and terminal controls become U+FFFD."""
    return _storable(text if len(text) <= limit else text[: limit - 1] + CUT)


def flat(value: object) -> str:
    """Return a short text for a value nested too deeply, bounded in depth and breadth, as it may be infinite."""
    short = reprlib.Repr()
    short.maxlevel = 3
    # Texts are not cut here: half a secret would not be recognized.
    short.maxstring = short.maxother = short.maxlong = REACH
    try:
        return text(short.repr(value), _MAX_FLAT)
    except ValueError:  # an integer too long for Python to write
        return f"<{type(value).__name__}>"


def as_text(value: object) -> str:
    """Return ``str(value)``, or its type's name if that fails; bytes are read as UTF-8."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    try:
        return str(value)
    except Exception:  # noqa: BLE001 a program's own __str__ may do anything, and telemetry must not fail
        return f"<{type(value).__name__}>"


def are_plain(texts: set[str] | tuple[str, ...] | list[str]) -> bool:
    """Return whether all texts are safe as they are, by one check of the joined texts; False means unknown."""
    unknown = set(texts) - _known_texts
    if not unknown:
        return True
    # The separator is printable and occurs in no pattern of a secret.
    together = "|".join(unknown)
    if not together.isascii() or not _is_printable(together) or is_suspicious(together):
        return False
    if len(together) >= LONG and not all(map(_is_harmless, unknown)):
        return False
    remember(_known_texts, unknown)
    return True


def remember(known: set[str], texts: set[str] | tuple[str, ...] | list[str]) -> None:
    """Add texts to a bounded set, which is emptied when full."""
    if len(known) >= MOST_KNOWN:
        known.clear()
    known.update(texts)


def _cut(text: str, size: int) -> str:
    text = text[: max(0, size)]
    # If this text is cleaned again, half a redaction mark would look like a value.
    half = next((size for size in range(len(MARK) - 1, 0, -1) if text.endswith(MARK[:size])), 0)
    return text[: len(text) - half] + CUT


def _is_harmless(word: str) -> bool:
    # A UUID is longer than LONG, but not a secret.
    is_uuid = len(word) == 36 and word[8] == word[13] == word[18] == word[23] == "-"
    return len(word) < LONG or is_uuid or (len(word) <= MAX_KNOWN and text(word) is word)


def _storable(text: str) -> str:
    if _is_printable(text):
        return text
    # Many characters that Python does not call printable are harmless, such as joiners and no-break spaces.
    storable = text.replace("\r\n", "\n").translate(_UNSHOWN)
    try:
        storable.encode()
    except UnicodeEncodeError:
        storable = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in storable)
    return text if storable == text else storable


def _is_printable(text: str) -> bool:
    return text.isprintable() or text.replace("\n", " ").replace("\t", " ").isprintable()
