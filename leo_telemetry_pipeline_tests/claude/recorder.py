"""A proxy between Claude Code and our receiver that records every OTLP request as JSON and passes it on.

Belongs here: recording. Does not: reading the requests (`reports`).
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_REQUESTS: dict[str, type[Message]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}


@dataclass
class Recording:
    """Requests in order of arrival, and the answers that were not 200."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[tuple[str, int, str]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    recording: Recording
    onward: str

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # what the base class calls it
        """Log nothing: tests read the recording."""

    def do_POST(self) -> None:
        """Record a request and pass it on."""
        body = self._chunks() if self.headers.get("transfer-encoding") == "chunked" else self._whole()
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = {"at": time.time(), "path": self.path, "headers": headers, "body": _parsed(self.path, headers, body)}
        self.recording.requests.append(line)
        status, kind, answer = self._pass_on(headers, body) if self.onward else (200, "application/json", b"{}")
        if status != 200:
            self.recording.refusals.append((self.path, status, answer.decode(errors="replace")))
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _pass_on(self, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        kept = {name: value for name, value in headers.items() if name in ("content-type", "authorization")}
        try:
            with urlopen(Request(self.onward + self.path, body, kept), timeout=60) as answer:
                return answer.status, answer.headers.get("content-type", ""), answer.read()
        except HTTPError as error:
            return error.code, error.headers.get("content-type", ""), error.read()

    def _whole(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


def _parsed(path: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    if "json" in headers.get("content-type", ""):
        return json.loads(body)
    message = _REQUESTS[path]()
    message.ParseFromString(body)
    return MessageToDict(message)


@contextmanager
def recording(onward: str = "") -> Iterator[tuple[str, Recording]]:
    """Run the recorder in front of another address; yield its own address and the recording."""
    kept = Recording()
    handler = type("_Passing", (_Handler,), {"recording": kept, "onward": onward})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", kept
    finally:
        server.shutdown()
        server.server_close()
