"""Local receivers of alerts for tests: a web server with answers of choice, and a mail server.

Belongs here: the servers, and the bytes that they received. Does not: expectations.
"""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# Given the request, writes the answer.
Answer = Callable[[bytes, socket.socket], None]


@dataclass
class Received:
    """Port of a server, and the requests or mails that it received, in order."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def bodies(self) -> list[bytes]:
        """Return the bodies of the requests."""
        return [request.partition(b"\r\n\r\n")[2] for request in self.requests]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False
    request_queue_size = 128


@contextmanager
def web_server(answer: Answer = lambda request, client: client.sendall(OK)) -> Iterator[Received]:
    """Run a web server on a free port; ``answer`` writes each answer."""
    received = Received()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                request = _request(self.request)
                if request:
                    received.requests.append(request)
                    answer(request, self.request)

    with _running(Handler) as received.port:
        yield received


@contextmanager
def mail_server() -> Iterator[Received]:
    """Run an SMTP server on a free port, which accepts every mail."""
    received = Received()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                _smtp(self, received.requests)

    with _running(Handler) as received.port:
        yield received


@contextmanager
def _running(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _request(client: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        more = client.recv(65536)
        if not more:
            return b""
        request += more
    head, _, body = request.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        more = client.recv(65536)
        if not more:
            return b""
        body += more
    return head + b"\r\n\r\n" + body


def _smtp(session: socketserver.StreamRequestHandler, mails: list[bytes]) -> None:
    def say(line: bytes) -> None:
        session.wfile.write(line + b"\r\n")

    say(b"220 test")
    for line in session.rfile:
        verb = line[:4].upper().strip()
        if verb == b"DATA":
            say(b"354 go on")
            mail = b""
            for part in session.rfile:
                if part == b".\r\n":
                    break
                mail += part
            mails.append(mail)
        if verb == b"QUIT":
            say(b"221 bye")
            return
        say(b"250 ok")
