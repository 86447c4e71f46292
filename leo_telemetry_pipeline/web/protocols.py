"""Detection of clients that use another protocol, and the response that each can understand.

Belongs here: OTLP over gRPC (HTTP/2) and TLS. Does not: supporting either of them, connections (server).
"""

import struct
from typing import NamedTuple

# Bytes needed to distinguish these from HTTP/1.1, which has no method that starts like either.
ENOUGH = 3
_HTTP2, _TLS = b"PRI", b"\x16\x03"
_SETTINGS, _GOAWAY = 4, 7
_HTTP_1_1_REQUIRED = 0xD


class Foreign(NamedTuple):
    """An unsupported protocol, its remedy, and the bytes that end a connection in it, empty for none."""

    name: str
    remedy: str
    answer: bytes


def foreign(first: bytes, address: str) -> Foreign | None:
    """Return the unsupported protocol of a connection by its first bytes, None for HTTP/1.1."""
    if first.startswith(_HTTP2):
        remedy = f"set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and OTEL_EXPORTER_OTLP_ENDPOINT={address}"
        return Foreign("gRPC (HTTP/2)", remedy, _go_away(f"OTLP over gRPC is not supported: {remedy}"))
    if first.startswith(_TLS):
        return Foreign("TLS", f"use {address}, or put a proxy with a certificate in front of it", b"")
    return None


def _go_away(text: str) -> bytes:
    debug = text.encode()
    return _frame(_SETTINGS, b"") + _frame(_GOAWAY, struct.pack(">LL", 0, _HTTP_1_1_REQUIRED) + debug)


def _frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + bytes(4) + payload
