"""Responses of the receiver in the encoding of the request, as specified by OTLP.

Belongs here: ExportTraceServiceResponse and google.rpc.Status, in JSON and as hand-written protobuf. Does not:
choosing the status (app).
"""

import json

from starlette.requests import HTTPConnection
from starlette.responses import Response

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


def content_type(request: HTTPConnection) -> str:
    """Return the media type of a request in lower case, without parameters; empty if missing."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def accepted(form: str, rejected: int, message: str) -> Response:
    """Return a response with status 200 that reports a partial success if there is a message or any rejected span."""
    if form == JSON:
        content = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}}
        return Response(json.dumps(content if rejected or message else {}), media_type=JSON)
    partial = (b"\x08" + _varint(rejected) if rejected else b"") + _text(2, message)
    return Response(b"\x0a" + _varint(len(partial)) + partial if partial else b"", media_type=PROTOBUF)


def refused(
    form: str, status: int, message: str, retry_after: int | None = None, headers: dict[str, str] | None = None
) -> Response:
    """Return a response with an error status and a google.rpc.Status; ``retry_after`` in seconds."""
    headers = dict(headers or {})
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if form == PROTOBUF:
        return Response(_text(2, message), status, headers, media_type=PROTOBUF)
    return Response(json.dumps({"message": message}), status, headers, media_type=JSON)


def _text(field: int, value: str) -> bytes:
    encoded = value.encode("utf-8", "replace")
    return bytes((field << 3 | 2,)) + _varint(len(encoded)) + encoded if encoded else b""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
