"""Rows of a query as COPY sends them in binary: as text, bytes and arrays take twice the room and longer still.

Belongs here: taking such rows apart while they arrive. Does not: any query, what is in a field.
"""

import io
import struct
from collections.abc import Callable
from typing import Any

import psycopg2.extensions

Take = Callable[[tuple, list[memoryview | None]], object]

# A signature of eleven bytes, flags, and the length of an extension that no server has.
_HEAD = 19
_LENGTH = struct.Struct(">i")


def rows(cursor: psycopg2.extensions.cursor, sql: str, parameters: Any, fixed: str, varying: int, take: Take) -> None:
    """Call ``take`` with each row of a query, as it arrives.

    First come the columns of a fixed size, none of them null, whose formats (those of ``struct``) ``fixed`` has; they
    are handed over unpacked. The others, ``varying`` in number, are bytes as the type's send function makes them, or
    None.
    """
    query = cursor.mogrify(sql, parameters)
    cursor.copy_expert(b"COPY (%b) TO STDOUT (FORMAT binary)" % query, _Arriving(fixed_columns(fixed), varying, take))


def fixed_columns(formats: str) -> struct.Struct:
    """Return what reads the head of a row: how many columns it has, and before each of these its length."""
    return struct.Struct(">2x" + "".join(f"4x{one}" for one in formats))


class _Arriving(io.RawIOBase):
    """What is written to it are rows, in pieces of any length."""

    def __init__(self, fixed: struct.Struct, varying: int, take: Take) -> None:
        self._fixed = fixed
        self._varying = varying
        self._take = take
        self._begun = b""
        self._is_headed = False

    def write(self, piece: Any) -> int:
        """Take apart what is complete, and keep the rest until more of it comes."""
        data = memoryview(self._begun + piece)
        at = 0
        if not self._is_headed and len(data) >= _HEAD:
            self._is_headed, at = True, _HEAD
        while self._is_headed and (end := self._row(data, at)) is not None:
            at = end
        # What is left at last are the two bytes that say that nothing follows.
        self._begun = bytes(data[at:])
        return len(piece)

    def _row(self, data: memoryview, at: int) -> int | None:
        """Hand over the row that begins there, and return where it ends; None if it is not all there."""
        field = at + self._fixed.size
        fields: list[memoryview | None] = []
        for _ in range(self._varying):
            if field + _LENGTH.size > len(data):
                return None
            (length,) = _LENGTH.unpack_from(data, field)
            field += _LENGTH.size
            fields.append(None if length < 0 else data[field : field + length])
            field += max(length, 0)
        if field > len(data):
            return None
        self._take(self._fixed.unpack_from(data, at), fields)
        return field
