"""Protocol of a source with a past: what it finds on this machine, and how it is read, again and again.

Belongs here: the protocol and its values, ids of spans that have none. Does not: any source, keeping cursors (store).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.span import Span


@dataclass(frozen=True)
class Past:
    """Past that a source found at one place, such as a folder.

    ``contents``: what it holds, in words. Its work began between ``first_ms`` and ``last_ms``, if that is known.
    """

    place: str
    contents: str
    size_bytes: int
    first_ms: int | None = None
    last_ms: int | None = None


@dataclass(frozen=True)
class Unread:
    """Entry that could not be read: its file, its line from 1 (0 if unknown), and the reason, without its content."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """Entries that were read but are not spans, such as skipped steps: how many, and what they are."""

    what: str
    count: int = 1


@dataclass(frozen=True)
class Cursor:
    """How far a place was read: a JSON object that only its source interprets.

    A source yields it after everything that it covers. It saves work; correctness rests on ids that are always the
    same, so a cursor that is lost or old makes a source read again, and nothing is stored twice.
    """

    position: Mapping[str, Any]


Entry = Span | Unread | LeftOut | Cursor


class Source(Protocol):
    """Source with a past.

    ``name`` identifies it in the database; ``title`` is what people call it; ``where`` says where it looks, for those
    who find nothing.
    """

    name: str
    title: str
    where: str

    def discover(self, paths: Sequence[Path]) -> Iterator[Past | Unread]:
        """Yield what there is, readable or not, at these paths, or in the usual places if no path is given."""
        ...

    def read(self, past: Past, cursor: Cursor | None, policy: redact.Policy) -> Iterator[Entry]:
        """Yield what is new since the cursor, redacted; all of it without a cursor."""
        ...


def span_id(*words: object) -> str:
    """Return the id of a span as 16 hex digits, the same for the same words."""
    return _digest(8, words)


def trace_id(*words: object) -> str:
    """Return the id of a trace as 32 hex digits, the same for the same words."""
    return _digest(16, words)


def _digest(size: int, words: Sequence[object]) -> str:
    text = "\0".join(map(str, words)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=size).hexdigest()
