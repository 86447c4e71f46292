"""The receiver under attack: right status, never a 5xx, bounded memory, alive and storing afterwards."""

import gzip
import http.client
import json
import os
import random
import signal
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import hypothesis
import hypothesis.strategies as st
import psycopg2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from benchmarks import accept_receiver
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.web.body import LIMIT
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import one
from leo_telemetry_pipeline_tests.processes import (
    PATIENCE_S,
    Running,
    copy_home,
    database_away,
    free_port,
    has_line,
    sees_processes,
    until,
)

pytestmark = sees_processes

JSON, PROTOBUF = "application/json", "application/x-protobuf"
MOST_GROWTH = 2 * LIMIT
_numbers = iter(range(1, 1 << 62))


def request(name: str = "work", **more) -> dict:
    """Return an OTLP/JSON request with one span that was never sent before."""
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
    """Return the body of an OTLP/protobuf request with one span that was never sent before."""
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
    """Return a protobuf field that holds bytes."""
    return field_head(number, len(content)) + content


def field_head(number: int, left: int) -> bytes:
    """Return what comes before the content of a protobuf field that holds so many bytes."""
    length = bytearray()
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes((number << 3 | 2, *length, left))


@dataclass
class Served:
    """A receiver that runs in a home of its own."""

    home: Path
    port: int
    running: Running
    idle_kb: int = 0
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def send(self, body: object, headers: dict[str, str], method: str = "POST", path: str = "/v1/traces") -> int:
        """Send a request over the one connection that is kept open, and return the status."""
        for attempt in range(2):
            try:
                self.connection.request(method, path, body, headers)  # type: ignore[arg-type]
                answer = self.connection.getresponse()
                answer.read()
            except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
                # A connection that was refused something may be closed; the next request is on another.
                self.connection.close()
                if attempt:
                    raise
            else:
                return answer.status
        raise AssertionError

    def post(self, body: object, content_type: str = JSON, **headers: str) -> int:
        """Send spans; headers are named with _ for -."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(body, {"content-type": content_type, **more})

    def kilobytes(self, name: str) -> int:
        """Return what the kernel knows of its memory: VmRSS or VmHWM, the highest VmRSS since it was forgotten."""
        status = Path(f"/proc/{self.running.process.pid}/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0])

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Expect that what is sent in the block leaves the memory in bounds, the process alive and storing."""
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
        """Return how many spans of a name are in the table; -1 while the database does not answer."""
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
    """Tell whether a receiver answers."""
    with (
        suppress(OSError, http.client.HTTPException),
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as asked,
    ):
        asked.request("GET", "/healthz")
        return asked.getresponse().status == 200
    return False


@pytest.fixture(scope="module")
def migrated(short_folder: Path) -> Path:
    """Make a home whose tables are made, and stop its server again."""
    home = short_folder / "received"
    with database.ready(Settings({PREFIX + "HOME": str(home)})):
        return home


@pytest.fixture
def used(migrated: Path, home: Path) -> Path:
    """Give a home of the test's own that was used before."""
    return copy_home(migrated, home)


@pytest.fixture(scope="module")
def served(migrated: Path) -> Iterator[Served]:
    """Give a receiver that all attacks share: none may leave it weaker for the next."""
    with serving(copy_home(migrated, migrated.with_name("attacked"))) as served:
        # What a process needs once, it has needed then: idle is what it takes after its first requests.
        for _ in range(3):
            assert served.post(as_json()) == 200
            assert served.post(as_protobuf(), PROTOBUF) == 200
            assert served.post(gzip.compress(as_json()), content_encoding="gzip") == 200
        served.idle_kb = served.kilobytes("VmRSS")
        yield served


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Return gzip data that inflates to 1 GB and is cut off: a receiver that reads all of it answers 400, not 413."""
    packer = zlib.compressobj(1, wbits=31)
    begin = packer.compress(b'{"resourceSpans":[') + packer.flush(zlib.Z_FULL_FLUSH)
    # What follows such a flush can be repeated: it refers to nothing before it.
    piece = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return begin + piece * (1 << 10)


def nested_json(depth: int) -> bytes:
    """Return a request with a value as deep as that."""
    mark = '"MARK"'
    value = '{"arrayValue":{"values":[' * depth + '{"intValue":1}' + "]}}" * depth
    body = json.dumps(request(attributes=[{"key": "leo.deep", "value": "MARK"}]))
    return body.replace(mark, value).encode()


def nested_protobuf(depth: int) -> bytes:
    """Return a request with an AnyValue as deep as that, which protobuf's own classes could not make."""
    innermost, heads, length = field_of(1, b"x"), [], 3
    for number in (1, 5) * depth:
        heads.append(field_head(number, length))
        length += len(heads[-1])
    value = b"".join(reversed(heads)) + innermost
    attribute = field_of(9, field_of(1, b"leo.deep") + field_of(2, value))
    span = field_of(1, bytes(15) + b"\1") + field_of(2, bytes(7) + b"\1") + field_of(5, b"work") + attribute
    return field_of(1, field_of(2, field_of(2, span)))


def many_json(count: int, span: bytes = b"{}") -> bytes:
    """Return a request with so many spans."""
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join([span] * count) + b"]}]}]}"


def many_protobuf(count: int) -> bytes:
    """Return a request with so many spans that are empty."""
    return field_of(1, field_of(2, b"\x12\x00" * count))


def test_a_bomb_is_refused(served: Served, bomb: bytes):
    """Lost: the machine, to a request of a few megabytes."""
    with served.bounded():
        for content_type in (JSON, PROTOBUF):
            assert served.post(bomb, content_type, content_encoding="gzip") == 413
        pieces = (bomb[at : at + 10_000] for at in range(0, len(bomb), 10_000))
        assert served.post(pieces, content_encoding="gzip") == 413


def test_stacked_and_unknown_encodings_are_refused(served: Served, bomb: bytes):
    """Lost: a bomb inside a bomb gets past the limit."""
    with served.bounded():
        for encoding in ("gzip, gzip", "gzip,identity", "identity, gzip", "deflate", "br", "zstd", "x", "gzip;q=1"):
            assert served.post(gzip.compress(bomb, 1), content_encoding=encoding) == 415
        for first, second in (("gzip", "gzip"), ("identity", "gzip")):
            with raw(served.port) as line:
                head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: 2\r\n"
                line.sendall(f"{head}Content-Encoding: {first}\r\nContent-Encoding: {second}\r\n\r\n{{}}".encode())
                assert status_of(line) == 415
        twice = gzip.compress(gzip.compress(as_json()))
        assert served.post(twice, content_encoding="gzip") == 400


@pytest.mark.parametrize("depth", [30, 1000, 100_000])
def test_deep_nesting_is_cut_or_refused(depth: int, served: Served):
    """Lost: the process, to a stack that overflows."""
    allowed = {200} if depth == 30 else {200, 400, 413}
    with served.bounded():
        assert served.post(nested_json(depth)) in allowed
        assert served.post(nested_protobuf(depth), PROTOBUF) in allowed
        if depth > 1000:
            assert served.post(b"[" * depth) in (400, 413)
            assert served.post(b'{"resourceSpans":' * depth) in (400, 413)
            assert served.post(b"\x0b" * depth, PROTOBUF) in (400, 413)


def test_a_million_spans_are_refused(served: Served):
    """Lost: memory and minutes, to a request of two megabytes."""
    with served.bounded():
        assert served.post(many_json(10**6)) == 413
        assert served.post(many_protobuf(10**6), PROTOBUF) == 413
        assert served.post(gzip.compress(many_json(10**6), 1), content_encoding="gzip") == 413


@pytest.mark.parametrize("kind", ["values", "attributes", "bytes", "resources", "one text", "wide text"])
def test_a_request_of_the_largest_size_takes_bounded_memory(kind: str, served: Served):
    """Lost: the limit in bytes says nothing about the objects that they become."""
    room = LIMIT - 2000
    filling = {
        "values": lambda: as_json(attributes=[0]).replace(b"[0]", b"[" + b"0," * (room // 2) + b"0]"),
        "attributes": lambda: as_json(attributes=[0]).replace(b"[0]", b"[" + b'{"key":"a"},' * (room // 12) + b"{}]"),
        "bytes": lambda: field_of(1, field_of(2, field_of(2, b"\x48\x01" * (room // 2)))),
        "resources": lambda: b"\x0a\x00" * (room // 2),
        "one text": lambda: as_json("x" * room),
        "wide text": lambda: as_json("MARK").replace(b"MARK", "x\U0001f600".encode() * (room // 5)),
    }
    body = filling[kind]()
    assert len(body) <= LIMIT
    with served.bounded():
        status = served.post(body, PROTOBUF if kind in ("bytes", "resources") else JSON)
        print(kind, status)
        assert status in (200, 400, 413)


def wrong_types() -> Iterator[bytes]:
    """Make requests in which each part in turn is something else."""
    wrong: list = [None, True, -1, 1e308, 2**70, "x", "\ud800", [], [[]], [None], {}, {"x": 1}, [1, "x"], "0" * 32]
    whole = request(status={"code": 1}, kind=1, events=[], links=[], parentSpanId="1" * 16)

    def places(part: object) -> Iterator[tuple]:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, value in items:
            yield (key,)
            yield from ((key, *rest) for rest in places(value))

    for path in list(places(whole)):
        for value in wrong:
            copy = json.loads(json.dumps(whole))
            holder = copy
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
            yield json.dumps(copy).encode()
    yield from (json.dumps(value).encode() for value in wrong)


def test_wrong_types_are_told(served: Served):
    """Lost: one exporter with a bug of its own, and the receiver has one too."""
    with served.bounded():
        seen = {served.post(body) for body in wrong_types()}
        assert seen <= {200, 400}
        for wire in range(8):
            for number in range(1, 20):
                span = bytes((number << 3 & 0x7F | wire,)) + b"\1\1\1\1\1\1\1\1\1"
                for body in (
                    span,
                    field_of(1, span),
                    field_of(1, field_of(2, span)),
                    field_of(1, field_of(2, field_of(2, span))),
                ):
                    assert served.post(body, PROTOBUF) in (200, 400)


def test_truncated_bodies_are_refused(served: Served):
    """Lost: half a request is stored as if it were whole."""
    with served.bounded():
        for body, content_type in ((as_json("cut"), JSON), (as_protobuf("cut"), PROTOBUF)):
            # Its first message spans all of a protobuf request, so no cut leaves a whole one.
            assert {served.post(body[:size], content_type) for size in range(1, len(body))} == {400}
            zipped = gzip.compress(body)
            assert {
                served.post(zipped[:size], content_type, content_encoding="gzip") for size in range(len(zipped))
            } == {400}
            for size in range(0, len(body), 16):
                with raw(served.port) as line:
                    line.sendall(head(content_type, len(body)) + body[:size])
        assert served.stored("cut") == 0


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
    """Open a connection without any HTTP."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as line:
        yield line


def status_of(line: socket.socket) -> int:
    """Return the status of the answer, 0 when the connection ended without one."""
    said = b""
    with suppress(ConnectionError):
        while b"\r\n" not in said and (piece := line.recv(1000)):
            said += piece
    return int(said.split()[1]) if said else 0


def test_bodies_that_come_together_are_bounded_together(served: Served):
    """Lost: the limit of one request, thirty times."""
    body = b'{"resourceSpans":[' + b" " * (LIMIT - 100) + b"]}"
    seen = []

    def send() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)) as line:
            line.request("POST", "/v1/traces", body, {"content-type": JSON})
            seen.append(line.getresponse().status)

    with served.bounded():
        in_threads([send] * 30)
        assert len(seen) == 30
        assert set(seen) <= {200, 503}
        assert 503 in seen


def in_threads(jobs: list[Callable[[], None]]) -> None:
    """Do several things at once, to the end."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_slow_clients_are_sent_away_and_hold_nobody_up(served: Served):
    """Lost: fifty connections that never say anything, and no exporter gets through."""
    ends: list[int] = []

    def dribble(number: int) -> None:
        starts = (
            b"",
            b"POST /v1/tra",
            head(JSON, 1000)[:-2],
            head(JSON, 1000),
            head(JSON, 1000).replace(b"Length", b"X"),
        )
        with raw(served.port) as line:
            line.sendall(starts[number % len(starts)])
            line.settimeout(1.5)
            for _ in range(60):
                try:
                    if number % 2:  # every other one says nothing more at all
                        line.sendall(b"x")
                    said = line.recv(100)
                except TimeoutError:
                    continue
                except ConnectionError:
                    said = b""
                ends.append(int(said.split()[1]) if said else 0)
                return

    with served.bounded():
        slow = threading.Thread(
            target=in_threads, args=([lambda number=number: dribble(number) for number in range(50)],)
        )
        slow.start()
        while slow.is_alive():
            assert served.post(as_json("in between")) == 200
            time.sleep(0.5)
        slow.join()
        assert len(ends) == 50
        assert set(ends) <= {0, 400, 408}
        assert 408 in ends


def test_hundreds_of_silent_connections_hold_nobody_up(served: Served):
    """Lost: every exporter, to a program that opens connections and says nothing."""
    with served.bounded():
        lines = []
        try:
            for _ in range(500):
                lines.append(socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S))
            assert healthy(served.port)
            assert served.post(as_json("beside the silent")) == 200
        finally:
            for line in lines:
                line.close()


def stored_by(line: http.client.HTTPConnection, body: bytes) -> bool:
    """Send spans over a connection, over a new one where it was closed; tell whether it had to be."""
    headers = {"content-type": JSON}
    for attempt in range(2):
        try:
            line.request("POST", "/v1/traces", body, headers)
            answer = line.getresponse()
            answer.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            line.close()
            continue
        assert answer.status == 200
        return attempt > 0
    raise AssertionError("the receiver took neither")


def test_more_clients_than_places_all_get_their_spans_in(used: Path):
    """Lost: everything that the clients send which came last, for ever, while the first ones keep their places."""
    with serving(used, **{PREFIX + "SERVE_CLIENTS": "20"}) as served:
        lines = [http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S) for _ in range(60)]
        try:
            again = [stored_by(line, as_json("crowd")) for _ in range(3) for line in lines]
        finally:
            for line in lines:
                line.close()
        assert served.stored("crowd") == 180
        assert not any(again[:20])
        assert all(again[60:])
        served.connection.request("GET", "/metrics")
        text = served.connection.getresponse().read().decode()
        assert int(text.split("clients_closed_idle_total ")[-1].split()[0]) >= 160
        assert "clients_turned_away_total 0" in text
        assert "turned away" not in served.running.said()


def noticed(home: Path) -> dict[tuple[str, str], int]:
    """Return the notices in the database, by kind and detail."""
    with closing(processes.inside(home)) as db:
        return {tuple(row[:2]): row[2] for row in db.rows("SELECT kind, detail, count FROM telemetry_intake_notices")}


def test_where_all_are_busy_a_client_is_told_to_come_again_and_the_operator_is_told_why(used: Path):
    """Lost: spans of clients in a rush, without a line that says which setting to raise."""
    body = as_json("slow")
    with serving(used, **{PREFIX + "SERVE_CLIENTS": "3"}) as served, ExitStack() as stack:
        lines = [stack.enter_context(raw(served.port)) for _ in range(3)]
        for line in lines:
            line.sendall(head(JSON, len(body)).replace(b"Host", b"Expect: 100-continue\r\nHost"))
            # From then on the request is under way.
            assert status_of(line) == 100
            line.sendall(body[:50])

        def turned_away() -> bool:
            with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)) as asked:
                asked.request("POST", "/v1/traces", as_json("in a rush"), {"content-type": JSON})
                answer = asked.getresponse()
                answer.read()
                return answer.status == 503 and int(answer.headers["Retry-After"]) > 0

        assert turned_away()
        assert turned_away()
        for line in lines:
            line.sendall(body[50:])
            assert status_of(line) == 200
        said = [line for line in served.running.said().splitlines() if "turned away" in line]
        assert len(said) == 1
        assert PREFIX + "SERVE_CLIENTS" in said[0]
        until(lambda: noticed(used).get(("too_many_clients", "more than 3 at once"), 0) >= 2, "it is counted")
        done = processes.run(used, "doctor")
        assert PREFIX + "SERVE_CLIENTS" in done.out


def said_after_export(served: Served, address: str) -> str:
    """Return what the receiver has said once a client has tried to export by gRPC."""
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
        # gRPC tries again until this is over, keeps a core busy with it and takes a gigabyte each few seconds.
        channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(as_protobuf(), timeout=2)
    return served.running.said()


def test_a_client_of_another_protocol_is_told_and_named(used: Path):
    """Lost: all spans of a Collector whose exporter speaks gRPC, with nothing in log or metrics."""
    with serving(used) as served:
        address = f"127.0.0.1:{served.port}"
        until(lambda: "using gRPC" in said_after_export(served, address), "the client is named", by=served.running)
        with raw(served.port) as line:
            for piece in (b"P", b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
                line.sendall(piece)
                time.sleep(0.2)
            told = b"".join(iter(lambda: line.recv(1000), b""))
            assert b"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in told
        with raw(served.port) as line, suppress(OSError):
            ssl.create_default_context().wrap_socket(line, server_hostname="localhost")
        said = served.running.said()
        assert said.count("using gRPC (HTTP/2)") == 1
        assert said.count("using TLS") == 1
        assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{address}" in said
        until(lambda: noticed(used).get(("wrong_protocol", "TLS")) == 1, "TLS is counted")
        assert noticed(used)["wrong_protocol", "gRPC (HTTP/2)"] >= 2
        assert served.post(as_json("after strangers")) == 200
        assert "http/protobuf" in served.running.said()


def test_what_is_rejected_and_refused_is_in_the_log_and_in_the_doctors_list(used: Path):
    """Lost: spans that no exporter sends again, and nobody ever hears of it."""
    future = str((int(time.time()) + 30 * 86_400) * 10**9)
    with serving(used) as served:
        for _ in range(3):
            assert served.post(as_json("")) == 200
            assert served.post(as_json("x" * (1 << 20))) == 200
            assert served.post(as_json("late", startTimeUnixNano=future, endTimeUnixNano=future)) == 200
            assert served.post(b'{"resourceSpans":[{"ScopeSpans":[]}]}') == 400
            assert served.post(b'{"resourceSpans":[}') == 400
            assert served.post(as_json("top")[:-1]) == 400
        assert served.stored("late") == 3
        said = served.running.said()
        assert said.count("rejected: name is missing or empty") == 1
        assert said.count("rejected: a span is larger than 1 MiB") == 1
        assert said.count("starts after tomorrow") == 1
        assert said.count("ScopeSpans where scopeSpans is expected") == 1
        until(lambda: list(noticed(used).values()) == [3] * 6, "all of it is counted")
        assert {kind for kind, _ in noticed(used)} == {"rejected", "refused", "implausible_times"}
        done = processes.run(used, "doctor")
        assert "6 span(s) rejected: otlp" in done.out
        assert "9 request(s) refused" in done.out
        assert "3 span(s) with implausible times" in done.out


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/metrics"])
def test_logs_and_metrics_are_answered_and_dropped(path: str, served: Served):
    """Lost: an exporter of all three signals logs errors for ever, and its user trusts the traces no more."""
    signal = path.removeprefix("/v1/").capitalize()
    body = json.dumps({f"resource{signal}": [{f"scope{signal}": []}]}).encode()
    # On a busy machine it has been idle for so long that the receiver has closed it.
    served.connection.close()
    with served.bounded():
        for end in ("", "/"):
            for content_type, content in ((JSON, body), (PROTOBUF, field_of(1, b"")), (PROTOBUF, b"")):
                headers = {"content-type": content_type}
                served.connection.request("POST", path + end, content, headers)
                answer = served.connection.getresponse()
                assert (answer.status, answer.read()) == (200, b"{}" if content_type == JSON else b"")
                assert answer.headers["content-type"] == content_type
        assert served.send(bytes(LIMIT + 1), {"content-type": JSON}, path=path) == 413
        assert served.send(b"{}", {"content-type": "text/plain"}, path=path) == 415
        assert served.send(None, {}, "GET", path) == 405
        assert served.send(as_json(f"beside {path}"), {"content-type": JSON}, path="/v1/traces/") == 200
        assert served.stored(f"beside {path}") == 1


def test_the_trial_of_the_receiver_holds_in_its_small_form():
    """Lost: part of every large batch, and the clients beyond a hundred: what `make accept` measures at full size."""
    figures = [figure for part in accept_receiver.parts(False) for figure in accept_receiver.run(part, 11, False)]
    assert len(figures) > 8
    assert [figure for figure in figures if not figure.held] == []


VALID = (as_json(), as_protobuf(), gzip.compress(as_json()), gzip.compress(as_protobuf()), b"{}", b"")


def edited(chance: random.Random) -> bytes:
    """Make a body in which some bytes are others."""
    body = chance.choice(VALID)
    for _ in range(chance.randint(0, 3)):
        at = chance.randint(0, len(body))
        body = body[:at] + chance.randbytes(chance.randint(0, 8)) + body[at + chance.randint(0, 8) :]
    return body


def mostly(chance: random.Random, known: list, letters: str, longest: int) -> str | None:
    """Return what the receiver knows nine times in ten, so that most bodies are looked at."""
    return chance.choice(known) if chance.randrange(10) else text(chance, letters, longest)


def text(chance: random.Random, letters: str, longest: int) -> str:
    """Return some of the letters."""
    return "".join(chance.choices(letters, k=chance.randint(0, longest)))


NAMES = ["Accept", "Cookie", "User-Agent", "Via", "Forwarded", "TE", "Range", "X-!#$%&'*+.^_`|~0"]
PRINTABLE = "".join(chr(code) for code in range(32, 256) if code != 127)


def drawn(chance: random.Random) -> tuple[bytes, str, str | None, dict[str, str]]:
    """Return body, type, encoding and further headers of a request."""
    body = edited(chance) if chance.randrange(2) else chance.randbytes(chance.randint(0, 300))
    content_type = mostly(chance, [JSON, PROTOBUF], "abc/;= -", 12) or ""
    encoding = mostly(chance, [None, None, "gzip", "identity"], "gzip,x ", 8)
    more = {name: text(chance, PRINTABLE, 20).strip() for name in chance.sample(NAMES, chance.randint(0, 2))}
    return body, content_type, encoding, more


def test_ten_thousand_random_requests(served: Served):
    """Lost: whatever nobody thought of."""
    seen: dict[int, int] = {}

    def send(body: bytes, content_type: str, encoding: str | None, more: dict[str, str]) -> None:
        headers = {"content-type": content_type, **({} if encoding is None else {"content-encoding": encoding}), **more}
        status = served.send(body, headers)
        seen[status] = seen.get(status, 0) + 1
        known = content_type.partition(";")[0].strip().lower() in (JSON, PROTOBUF)
        decodable = (encoding or "").strip().lower() in ("", "gzip", "identity")
        assert status in ((200, 400, 413) if known and decodable else (415,))

    # Ten at a time, drawn here: hypothesis would take longer to draw a request than the receiver to answer it.
    @hypothesis.settings(max_examples=1_000, deadline=None)
    @hypothesis.given(st.integers(0, 1 << 62))
    def send_all(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(10):
            send(*drawn(chance))

    with served.bounded():
        send_all()
        print(seen)
        assert seen[200] > 100
        assert sum(seen.values()) >= 10_000


def test_random_bytes_instead_of_http(served: Served):
    """Lost: a port scanner ends the receiver."""
    with served.bounded():
        for seed in range(500):
            chance = random.Random(seed)
            said = bytearray(head(JSON, 2) + b"{}") if seed % 2 else bytearray(chance.randbytes(200))
            for _ in range(3):
                said[chance.randrange(len(said))] = chance.randrange(256)
            with raw(served.port) as line, suppress(ConnectionError):
                line.sendall(bytes(said) + b"\r\n\r\n")
                line.settimeout(0.02)
                with suppress(TimeoutError):
                    assert status_of(line) < 500


def test_all_attacks_at_once(served: Served, bomb: bytes):
    """Lost: each attack is survived, and all of them together are not."""
    attacks = [
        (bomb, JSON, "gzip"),
        (nested_json(100_000), JSON, "identity"),
        (nested_protobuf(100_000), PROTOBUF, "identity"),
        (many_json(10**6), JSON, "identity"),
        (many_protobuf(10**6), PROTOBUF, "identity"),
        (gzip.compress(as_json())[:-5], JSON, "gzip"),
        (b" " * LIMIT, JSON, "identity"),
    ]
    seen = []

    def attack(body: bytes, content_type: str, encoding: str) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)) as line:
            for _ in range(5):
                line.request("POST", "/v1/traces", body, {"content-type": content_type, "content-encoding": encoding})
                answer = line.getresponse()
                answer.read()
                seen.append(answer.status)

    with served.bounded():
        in_threads([lambda attack_of=attack_of: attack(*attack_of) for attack_of in attacks * 3])
        assert len(seen) == len(attacks) * 3 * 5
        assert set(seen) <= {200, 400, 413, 503}


def test_what_is_accepted_while_the_database_is_gone_arrives_when_it_is_back(used: Path):
    """Lost: an hour of spans, for a database that was restarted."""
    with serving(used) as served:
        assert served.post(as_json("before")) == 200
        with database_away(used):
            for _ in range(20):
                assert served.post(as_json("meanwhile")) == 200
                assert served.post(as_protobuf("meanwhile"), PROTOBUF) == 200
            assert spool.usage(spool.folder_of(str(used)))[0] == 40
        # The receiver is a user of the database, so it starts it again.
        until(lambda: processes.answers(used), "the database is back", by=served.running)
        until(lambda: served.stored("meanwhile") == 40, "the spans are in the table", by=served.running)
        assert spool.usage(spool.folder_of(str(used)))[0] == 0
        assert served.post(as_json("after")) == 200
        until(lambda: served.stored("after") == 1, "spans are stored again", by=served.running)
        assert served.stored("before") == 1


def test_what_waits_on_disk_survives_the_receiver(used: Path):
    """Lost: spans that were promised, when the machine goes down before the database is back."""
    with serving(used) as served, database_away(used):
        for _ in range(5):
            assert served.post(as_json("promised")) == 200
        served.running.process.kill()
        served.running.ended()
    with serving(used) as served:
        until(lambda: served.stored("promised") == 5, "the spans are in the table", by=served.running)


def test_without_database_and_spool_nothing_is_promised(used: Path):
    """Lost: a 200 for spans that are nowhere."""
    with serving(used) as served:
        (used / "spool").touch()
        with database_away(used):
            served.connection.request("POST", "/v1/traces", as_json(), {"content-type": JSON})
            answer = served.connection.getresponse()
            answer.read()
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert served.send(None, {}, "GET", "/readyz") == 503
            assert served.send(None, {}, "GET", "/healthz") == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_answered_before_the_end(number: signal.Signals, used: Path):
    """Lost: what was being sent when the receiver was told to end; or it never ends, for one client that stopped."""
    body = as_json("last")
    half = head(JSON, len(body)) + body[:50]
    with serving(used) as served, raw(served.port) as line, raw(served.port) as stuck, raw(served.port):
        line.sendall(half)
        stuck.sendall(half)
        time.sleep(0.5)
        served.running.interrupt(number)
        time.sleep(0.5)
        line.sendall(body[50:])
        assert status_of(line) == 200
        assert served.running.process.wait(timeout=PATIENCE_S) == 0
        said = served.running.said()
        assert said.startswith("The OTLP receiver is at http://127.0.0.1:")
        assert len(said.splitlines()) == 1
        processes.all_ended(used)


def test_another_address_needs_a_token(home: Path):
    """Lost: everybody on the network writes into the table of whoever wanted to try it from a second machine."""
    done = processes.run(home, "serve", "--host", "0.0.0.0", "--port", str(free_port()))
    has_line(done, "0.0.0.0", PREFIX + "SERVE_TOKEN", "127.0.0.1")
    assert done.code == 2
    assert not home.exists()
    with serving(home, **{PREFIX + "SERVE_HOST": "0.0.0.0", PREFIX + "SERVE_TOKEN": "let me in"}) as served:
        assert served.post(as_json()) == 401
        assert served.post(as_json(), authorization="Bearer let me") == 401
        assert served.post(as_json(), authorization="Bearer let me in") == 200
        assert "let me in" not in served.running.said()


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_a_port_in_use_is_named(command: str, home: Path):
    """Lost: spans go to whatever else listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        option, more = ("--port", []) if command == "serve" else ("--otlp-port", ["--port", str(free_port())])
        done = processes.run(home, command, option, port, *more)
        has_line(done, f"Port {port} is in use", option, PREFIX + "SERVE_PORT")
    assert done.code == 2


def test_dev_runs_the_receiver_and_ends_with_it(used: Path):
    """Lost: spans are sent for days to a receiver that is not there while everything looks well."""
    ui, otlp = free_port(), free_port()
    with processes.started(used, "dev", "--port", str(ui), "--otlp-port", str(otlp)) as dev:
        until(lambda: healthy(otlp) and processes.serves(ui), "UI and receiver answer", by=dev)
        assert f"http://127.0.0.1:{ui} " in dev.said()
        assert f"http://127.0.0.1:{otlp}/v1/traces" in dev.said()
        served = Served(used, otlp, dev)
        with closing(served.connection):
            assert served.post(as_json("of dev")) == 200
            assert served.stored("of dev") == 1
        lines = processes.processes_of(used).items()
        [receiver] = [pid for pid, line in lines if " serve " in line and "lifeline" not in line]
        os.kill(receiver, signal.SIGKILL)
        assert dev.ended() == 1
        assert "the OTLP receiver ended" in dev.said()
        processes.all_ended(used)


def test_an_outside_database_that_is_away_keeps_the_receiver_from_nothing(home: Path):
    """Lost: spans of a machine that started before its database server."""
    url = f"postgresql://leo:let-me-in@127.0.0.1:{free_port()}/spans"
    with serving(home, **{PREFIX + "DATABASE_URL": url}) as served:
        assert served.post(as_json()) == 200
        assert served.send(None, {}, "GET", "/readyz") == 200
        assert spool.usage(spool.folder_of(str(home)))[0] == 1
        said = served.running.said()
        assert "does not answer" in said
        assert "wait on disk" in said
        assert "let-me-in" not in said
        served.running.interrupt(signal.SIGTERM)
        assert served.running.ended() == 0


def test_an_address_that_is_none_ends_the_receiver(home: Path):
    """Lost: spans pile up on disk for a database that can never be found."""
    done = processes.run(home, "serve", "--port", str(free_port()), **{PREFIX + "DATABASE_URL": "mysql://x/y"})
    has_line(done, PREFIX + "DATABASE_URL is not a PostgreSQL address")
    assert done.code == 3
