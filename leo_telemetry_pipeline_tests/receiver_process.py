"""A receiver in its own process and home, and requests to send to it."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.web.receiver.body import LIMIT
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import one
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, Running, free_port, until

JSON, PROTOBUF = "application/json", "application/x-protobuf"
MOST_GROWTH = 2 * LIMIT
_numbers = iter(range(1, 1 << 62))


def request(name: str = "work", **more) -> dict:
    """Return an OTLP/JSON request with one new span."""
    number, start = next(_numbers), time.time_ns()
    span = {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": name,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 10**6),
        "attributes": [{"key": "leo.step", "value": {"intValue": "7"}}],
        **more,
    }
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}


def as_json(name: str = "work", **more) -> bytes:
    """Return the body of an OTLP/JSON request."""
    return json.dumps(request(name, **more)).encode()


def as_protobuf(name: str = "work", attribute: AnyValue | None = None) -> bytes:
    """Return the body of an OTLP/protobuf request with one new span."""
    number, start = next(_numbers), time.time_ns()
    made = ExportTraceServiceRequest()
    span = (
        made.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=number.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            name=name,
            start_time_unix_nano=start,
            end_time_unix_nano=start + 10**6,
        )
    )
    if attribute is not None:
        span.attributes.add(key="leo.step", value=attribute)
    return made.SerializeToString()


def field_of(number: int, content: bytes) -> bytes:
    """Return a length-delimited protobuf field."""
    return field_head(number, len(content)) + content


def field_head(number: int, left: int) -> bytes:
    """Return tag and length of a length-delimited protobuf field."""
    length = bytearray()
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes((number << 3 | 2, *length, left))


@dataclass
class Served:
    """A receiver that runs in its own home."""

    home: Path
    port: int
    running: Running
    idle_kb: int = 0
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def send(self, body: object, headers: dict[str, str], method: str = "POST", path: str = "/v1/traces") -> int:
        """Send a request over the persistent connection, and return the status."""
        for attempt in range(2):
            try:
                self.connection.request(method, path, body, headers)  # type: ignore[arg-type]
                answer = self.connection.getresponse()
                answer.read()
            except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
                # The receiver may close a connection after a refusal; the next request opens another.
                self.connection.close()
                if attempt:
                    raise
            else:
                return answer.status
        raise AssertionError

    def post(self, body: object, content_type: str = JSON, **headers: str) -> int:
        """Send spans; ``_`` in header names stands for ``-``."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(body, {"content-type": content_type, **more})

    def kilobytes(self, name: str) -> int:
        """Return its memory from /proc: VmRSS, or VmHWM, the peak of VmRSS since the last reset."""
        status = Path(f"/proc/{self.running.process.pid}/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0])

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Assert that after the block the memory was bounded and the process is alive and stores spans."""
        Path(f"/proc/{self.running.process.pid}/clear_refs").write_text("5")
        yield
        growth = (self.kilobytes("VmHWM") - self.idle_kb) << 10
        print(f"peak {growth / (1 << 20):.1f} MiB over idle")
        assert growth < MOST_GROWTH
        assert self.running.process.poll() is None, self.running.tail()
        name = f"after attack {next(_numbers)}"
        assert self.post(as_json(name)) == 200
        assert self.stored(name) == 1
        assert "bug" not in self.running.said()
        assert "Traceback" not in self.running.said()

    def stored(self, name: str) -> int:
        """Return the number of stored spans of a name; -1 while the database does not answer."""
        with suppress(psycopg2.Error, UserError), closing(processes.inside(self.home)) as db:
            return one(db, "SELECT count(*) FROM workflow_trace_log WHERE span_name = %s", (name,))
        return -1


@contextmanager
def serving(home: Path, **variables: str) -> Iterator[Served]:
    """Start a receiver, and end it and its database when the block ends."""
    port = free_port()
    with processes.started(home, "serve", "--port", str(port), variables=variables) as running:
        until(lambda: running.process.poll() is not None or healthy(port), "the receiver answers", by=running)
        assert running.process.poll() is None, running.tail()
        served = Served(home, port, running)
        try:
            yield served
        finally:
            served.connection.close()


def healthy(port: int) -> bool:
    """Return whether a receiver answers."""
    with (
        suppress(OSError, http.client.HTTPException),
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as asked,
    ):
        asked.request("GET", "/healthz")
        return asked.getresponse().status == 200
    return False


def head(content_type: str, length: int) -> bytes:
    """Return the head of a request."""
    lines = (
        "POST /v1/traces HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {length}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


@contextmanager
def raw(port: int) -> Iterator[socket.socket]:
    """Open a TCP connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as line:
        yield line


def status_of(line: socket.socket) -> int:
    """Return the status of the answer, 0 if the connection ended without one."""
    said = b""
    with suppress(ConnectionError):
        while b"\r\n" not in said and (piece := line.recv(1000)):
            said += piece
    return int(said.split()[1]) if said else 0


def in_threads(jobs: list[Callable[[], None]]) -> None:
    """Run jobs in concurrent threads and wait for all of them."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
