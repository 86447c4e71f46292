"""Clients of another protocol at the receiver's port: how their first bytes look, and what they can be told.

Belongs here: OTLP over gRPC (HTTP/2) and TLS. Does not: speaking either of them, connections (server).
"""

import struct
from typing import NamedTuple

# So many bytes tell them from a request of HTTP/1.1, none of whose methods begins so.
ENOUGH = 3
_HTTP2, _TLS = b"PRI", b"\x16\x03"
_SETTINGS, _GOAWAY = 4, 7
_HTTP_1_1_REQUIRED = 0xD


class Foreign(NamedTuple):
    """A protocol that is not spoken here, and the bytes that end a connection in it; none where it has no words."""

    name: str
    remedy: str
    answer: bytes


def foreign(first: bytes, address: str) -> Foreign | None:
    """Return what the first bytes of a connection are, or None for HTTP/1.1."""
    if first.startswith(_HTTP2):
        remedy = f"set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and OTEL_EXPORTER_OTLP_ENDPOINT={address}"
        return Foreign("gRPC (HTTP/2)", remedy, _go_away(f"OTLP over gRPC is not spoken here: {remedy}"))
    if first.startswith(_TLS):
        return Foreign("TLS", f"use {address}, or put a proxy with a certificate before it", b"")
    return None


def _go_away(text: str) -> bytes:
    debug = text.encode()
    return _frame(_SETTINGS, b"") + _frame(_GOAWAY, struct.pack(">LL", 0, _HTTP_1_1_REQUIRED) + debug)


def _frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + bytes(4) + payload
