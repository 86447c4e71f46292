"""What becomes of a text so that it can be stored, and anybody who reads it may see it.

Belongs here: what text columns cannot hold, the length of texts, and what was found harmless before.
Does not: what a secret looks like (scrub), or what a text belongs to (values).
"""

import reprlib

from leo_telemetry_pipeline.scrub import LONG, MARK, is_suspicious, scrub

MAX_TEXT = 10_000
_MAX_FLAT = 500
# So much of a text beyond its limit is looked at, so that no secret is cut in two and missed.
REACH = 4_000
CUT = "…"
# So many hex digits tell apart the names that begin alike.
HASH = 16

# What a text column does not hold, and what steers a terminal: controls but tab and newline, and changes of direction.
_UNSHOWN = dict.fromkeys(
    (*range(9), *range(11, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
)

# Names, types and keys come again and again: what was found harmless is remembered, up to so many texts.
MOST_KNOWN = 4_096
MAX_KNOWN = 100
_known_texts: set[str] = set()


def text(value: str, limit: int = MAX_TEXT, *, keep_emails: bool = False) -> str:
    """Return text of at most ``limit`` characters as it may be stored or shown, without secrets.

    It is the same object where nothing was in the way.
    """
    if value in _known_texts and len(value) <= limit:
        return value
    # What is beyond the reach is not looked at, so what is within it may end with half a secret.
    is_longer = len(value) > limit + REACH
    told = scrub(_storable(value[: limit + REACH] if is_longer else value), keep_emails=keep_emails)
    if not is_longer and len(told) <= limit:
        if told is value and len(told) <= MAX_KNOWN and not keep_emails:
            remember(_known_texts, (told,))
        return told
    size = min(limit - 1, len(told) - REACH) if is_longer else limit - 1
    for _ in range(4):  # What is cut off may leave something that looks like a secret.
        told = scrub(_cut(told, size), keep_emails=keep_emails)
        if len(told) <= limit:
            return told
        size = limit - 1
    return _cut(told, limit - 1)


def name(value: str, limit: int) -> str:
    """Return a name of at most ``limit`` characters as ``text`` does, with a hash of the whole where it is cut.

    Without it, names that differ only beyond the limit would be one. Where PostgreSQL cuts names, it does the same.
    """
    told = text(value, limit)
    if len(value) <= limit or not told.endswith(CUT):
        return told
    # Loaded by then, or not needed: hardly any name is so long.
    import hashlib

    # The hash is of the text without its secrets, as far as it is looked at.
    whole = scrub(_storable(value[: limit + REACH])) + value[limit + REACH :]
    digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:HASH]
    return text(text(value, limit - HASH) + digest, limit)


def shown(value: object, limit: int = 60) -> str:
    """Return a value as a message may quote it: in quotes, short, without secrets."""
    return repr(text(value if isinstance(value, str) else as_text(value), limit))


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Return text of at most ``limit`` characters with U+FFFD for lone surrogates and what steers a terminal."""
    return _storable(text if len(text) <= limit else text[: limit - 1] + CUT)


def flat(value: object) -> str:
    """Return a short text for what lies too deep: bounded in every direction, as it may be endless."""
    short = reprlib.Repr()
    short.maxlevel = 3
    # Texts are not cut here, as half a secret is not known for one.
    short.maxstring = short.maxother = short.maxlong = REACH
    try:
        return text(short.repr(value), _MAX_FLAT)
    except ValueError:  # an integer too long for Python to write
        return f"<{type(value).__name__}>"


def as_text(value: object) -> str:
    """Return what ``str`` says of a value, or its type's name."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 a program's own __str__ may do anything, and telemetry must not fail
        return f"<{type(value).__name__}>"


def are_plain(texts: set[str] | tuple[str, ...] | list[str]) -> bool:
    """Say whether one look at short texts shows that each may be stored as it is; nearly always it does."""
    unknown = set(texts) - _known_texts
    if not unknown:
        return True
    # What is between them is part of no mark, and printable.
    together = "|".join(unknown)
    if not together.isascii() or not _is_printable(together) or is_suspicious(together):
        return False
    if len(together) >= LONG and not all(map(_is_harmless, unknown)):
        return False
    remember(_known_texts, unknown)
    return True


def remember(known: set[str], texts: set[str] | tuple[str, ...] | list[str]) -> None:
    """Add texts to a set of bounded size, which forgets everything when it is full."""
    if len(known) >= MOST_KNOWN:
        known.clear()
    known.update(texts)


def _cut(text: str, size: int) -> str:
    text = text[: max(0, size)]
    # Half a mark would be taken for a value by whoever cleans this text again.
    half = next((size for size in range(len(MARK) - 1, 0, -1) if text.endswith(MARK[:size])), 0)
    return text[: len(text) - half] + CUT


def _is_harmless(word: str) -> bool:
    # A UUID is longer than what may hide a secret, and is none.
    is_uuid = len(word) == 36 and word[8] == word[13] == word[18] == word[23] == "-"
    return len(word) < LONG or is_uuid or (len(word) <= MAX_KNOWN and text(word) is word)


def _storable(text: str) -> str:
    if _is_printable(text):
        return text
    # Much that is not printable is harmless: joiners of letters, spaces that do not break.
    shown = text.replace("\r\n", "\n").translate(_UNSHOWN)
    try:
        shown.encode()
    except UnicodeEncodeError:
        shown = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in shown)
    return text if shown == text else shown


def _is_printable(text: str) -> bool:
    return text.isprintable() or text.replace("\n", " ").replace("\t", " ").isprintable()
