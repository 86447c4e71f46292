"""JSON cursor: locates values in JSON bytes without parsing them into objects.

Belongs here: scanning untrusted bytes with bounded time, memory and depth.
Does not: what the values mean (otlp_json), validating the values that it skips.
"""

import json
import re
from collections.abc import Iterator

MAX_NESTING = 400
_SPACE = re.compile(rb"[ \t\r\n]*")
_WORD = re.compile(rb"[-+.0-9A-Za-z]+")
# One match skips anything balanced: strings without escapes, and OTLP attributes with their values.
# Of a string with escapes, the expression matches only the opening quote; the end of the string is then searched for.
_TEXT = rb'"[^"\\]*+"'
_FLAT = rb"\{" + _TEXT + rb": ?(?:" + _TEXT + rb"|[-+.0-9A-Za-z]++)\}"
_PAIR = rb"\{" + _TEXT + rb": ?" + _TEXT + rb", ?" + _TEXT + rb": ?" + _FLAT + rb"\}"
_TOKEN = re.compile(
    _PAIR
    + rb"(?:, ?"
    + _PAIR
    + rb")*+|"
    + _FLAT
    + rb"|"
    + _TEXT
    + rb"(?:[:,] ?"
    + _TEXT
    + rb'){0,3}|([\[{])|([\]}]+)|"()'
)
_OPEN, _CLOSE = 1, 2
_BACKSLASH = 0x5C


class NotJson(ValueError):
    """Bytes that are not JSON; the message names the place."""


class Cursor:
    """A position in JSON bytes. Between calls it is before a value, which the caller must consume."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def finish(self) -> None:
        """Raise NotJson if anything but white space follows."""
        if self._next():
            raise self._wrong()

    def is_null(self) -> bool:
        """Return whether the value is null; if so, consume it."""
        self._next()
        if not self._body.startswith(b"null", self._position):
            return False
        self._position += 4
        return True

    def is_object(self) -> bool:
        """Return whether the value is an object."""
        return self._next() == b"{"

    def members(self) -> Iterator[str]:
        """Yield each key of an object, before its value."""
        self._expect(b"{")
        if self._takes(b"}"):
            return
        while True:
            if self._next() != b'"':
                raise self._wrong()
            key = bytes(self.value())
            self._expect(b":")
            yield _text(key)
            if not self._takes(b","):
                self._expect(b"}")
                return

    def elements(self) -> Iterator[None]:
        """Yield before each element of an array."""
        self._expect(b"[")
        if self._takes(b"]"):
            return
        while True:
            yield
            if not self._takes(b","):
                self._expect(b"]")
                return

    def value(self) -> memoryview:
        """Consume a value of any kind and return its bytes."""
        mark, start = self._next(), self._position
        if mark in (b"{", b"["):
            self._position = self._closed()
        elif mark == b'"':
            self._position = self._quoted(start)
        else:
            word = _WORD.match(self._body, start)
            if word is None:
                raise self._wrong()
            self._position = word.end()
        return memoryview(self._body)[start : self._position]

    def _closed(self) -> int:
        body, position, depth = self._body, self._position + 1, 1
        while True:
            for token in _TOKEN.finditer(body, position):
                group = token.lastindex
                if group is None:
                    continue
                if group == _OPEN:
                    depth += 1
                    if depth > MAX_NESTING:
                        raise NotJson(f"nested deeper than {MAX_NESTING} levels")
                elif group == _CLOSE:
                    closed = token.end() - token.start()
                    if closed >= depth:
                        return token.start() + depth
                    depth -= closed
                else:
                    position = self._quoted(token.start())
                    break
            else:
                raise NotJson("it is truncated")

    def _quoted(self, start: int) -> int:
        body, end = self._body, start
        while True:
            end = body.find(b'"', end + 1)
            if end < 0:
                raise NotJson("it is truncated")
            before = end
            while body[before - 1] == _BACKSLASH:
                piece = body[max(start, before - 64) : before]
                before -= len(piece) - len(piece.rstrip(b"\\"))
            # A quote is escaped by an odd number of backslashes.
            if (end - before) % 2 == 0:
                return end + 1

    def _next(self) -> bytes:
        self._position = _SPACE.match(self._body, self._position).end()  # type: ignore[union-attr]
        return self._body[self._position : self._position + 1]

    def _takes(self, mark: bytes) -> bool:
        if self._next() != mark:
            return False
        self._position += 1
        return True

    def _expect(self, mark: bytes) -> None:
        if not self._takes(mark):
            raise self._wrong()

    def _wrong(self) -> NotJson:
        return NotJson("it is truncated" if self._position >= len(self._body) else f"unexpected byte {self._position}")


def _text(raw: bytes) -> str:
    try:
        return json.loads(raw.decode())
    except ValueError:
        raise NotJson("a key is not text") from None
