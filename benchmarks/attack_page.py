"""Server of a hostile web page that attacks servers on this machine.

Belongs here: serving the page and recording other requests. Does not: the attacks (attack_page.js), their expected
results (accept_browser).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_SCRIPT = Path(__file__).with_suffix(".js")
_PAGE = b'<!doctype html><title>Hello</title><body><script src="/attack.js"></script>'
# Scripts of this page have an opaque origin, like those of a file or a sandboxed frame.
SANDBOX = "/sandbox"


@dataclass
class Stranger:
    """The server of the page; ``asked``: requested paths other than the page and its script."""

    port: int
    asked: list[str] = field(default_factory=list)

    def at(self, host: str) -> str:
        """Return its origin under a host name."""
        return f"http://{host}:{self.port}"


@contextmanager
def serving() -> Iterator[Stranger]:
    """Serve the page on a free port of 127.0.0.1 until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.stranger = Stranger(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.stranger  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Send the page or its script; record other paths."""
        found = {
            "/": ("text/html", _PAGE),
            SANDBOX: ("text/html", _PAGE),
            "/attack.js": ("text/javascript", _SCRIPT.read_bytes()),
            "/favicon.ico": ("image/x-icon", b""),
        }.get(self.path)
        if found is None:
            self.server.stranger.asked.append(self.path)  # type: ignore[attr-defined]
            found = ("text/plain", b"")
        kind, content = found
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.path == SANDBOX:
            self.send_header("Content-Security-Policy", "sandbox allow-scripts allow-forms allow-popups")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that it has there
        """Log nothing."""
