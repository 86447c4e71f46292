"""A receiver that keeps every OTLP request in JSON, and may pass it on.

Belongs here: recording. Does not: any reading of what came.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Recording:
    """Requests in the order in which they came."""

    requests: list[dict[str, Any]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    recording: Recording


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the recording is what tests read."""

    def do_POST(self) -> None:
        """Keep a request."""
        body = self._chunks() if self.headers.get("transfer-encoding") == "chunked" else self._whole()
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = {"at": time.time(), "path": self.path, "headers": headers, "body": json.loads(body)}
        self.server.recording.requests.append(line)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def _whole(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


@contextmanager
def recording() -> Iterator[tuple[str, Recording]]:
    """Run the recorder; give its address and what it keeps."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.recording = Recording()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.recording
    finally:
        server.shutdown()
        server.server_close()
