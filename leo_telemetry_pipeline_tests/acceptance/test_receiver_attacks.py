"""The receiver under attack: right status, never a 5xx, bounded memory, alive and storing afterwards."""

import gzip
import http.client
import json
import random
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from leo_telemetry_pipeline.web.receiver.body import LIMIT
from leo_telemetry_pipeline_tests.hostile_bodies import (
    drawn,
    many_json,
    many_protobuf,
    nested_json,
    nested_protobuf,
    wrong_types,
)
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, sees_processes
from leo_telemetry_pipeline_tests.receiver_process import (
    JSON,
    PROTOBUF,
    Served,
    as_json,
    as_protobuf,
    field_of,
    head,
    healthy,
    in_threads,
    raw,
    serving,
    status_of,
)

pytestmark = sees_processes


@pytest.fixture(scope="module")
def served(make_home: Callable[[Path], Path], short_folder: Path) -> Iterator[Served]:
    """Run a receiver that all attacks share: none may weaken it for the next."""
    with serving(make_home(short_folder / "attacked")) as served:
        # Idle memory is measured after the first requests, which include one-time allocations.
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
    # Data after such a flush can be repeated, because it does not refer to earlier data.
    piece = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return begin + piece * (1 << 10)


def test_a_bomb_is_refused(served: Served, bomb: bytes):
    """Lost: the machine, because of a request of a few megabytes."""
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
    """Lost: the process, because its stack overflows."""
    allowed = {200} if depth == 30 else {200, 400, 413}
    with served.bounded():
        assert served.post(nested_json(depth)) in allowed
        assert served.post(nested_protobuf(depth), PROTOBUF) in allowed
        if depth > 1000:
            assert served.post(b"[" * depth) in (400, 413)
            assert served.post(b'{"resourceSpans":' * depth) in (400, 413)
            assert served.post(b"\x0b" * depth, PROTOBUF) in (400, 413)


def test_a_million_spans_are_refused(served: Served):
    """Lost: memory and minutes, because of a request of two megabytes."""
    with served.bounded():
        assert served.post(many_json(10**6)) == 413
        assert served.post(many_protobuf(10**6), PROTOBUF) == 413
        assert served.post(gzip.compress(many_json(10**6), 1), content_encoding="gzip") == 413


@pytest.mark.parametrize("kind", ["values", "attributes", "bytes", "resources", "one text", "wide text"])
def test_a_request_of_the_largest_size_takes_bounded_memory(kind: str, served: Served):
    """Lost: a body within the limit becomes objects that fill the memory."""
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


def test_wrong_types_are_rejected(served: Served):
    """Lost: a bug of one exporter triggers one of the receiver."""
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
            # The first message spans all of a protobuf request, so no cut leaves a complete one.
            assert {served.post(body[:size], content_type) for size in range(1, len(body))} == {400}
            zipped = gzip.compress(body)
            assert {
                served.post(zipped[:size], content_type, content_encoding="gzip") for size in range(len(zipped))
            } == {400}
            for size in range(0, len(body), 16):
                with raw(served.port) as line:
                    line.sendall(head(content_type, len(body)) + body[:size])
        assert served.stored("cut") == 0


def test_concurrent_bodies_share_one_limit(served: Served):
    """Lost: memory, because of thirty requests that each keep within the limit of one."""
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


def test_slow_clients_are_disconnected_and_do_not_delay_others(served: Served):
    """Lost: with fifty stalled connections, no exporter gets through."""
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
                    if number % 2:  # every other connection sends nothing more
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


def test_hundreds_of_silent_connections_do_not_delay_others(served: Served):
    """Lost: spans of every exporter, because of a program that opens connections and sends nothing."""
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


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/metrics"])
def test_logs_and_metrics_are_answered_and_dropped(path: str, served: Served):
    """Lost: an exporter of all three signals logs errors forever, so its user no longer trusts the traces."""
    signal = path.removeprefix("/v1/").capitalize()
    body = json.dumps({f"resource{signal}": [{f"scope{signal}": []}]}).encode()
    # On a busy machine, the connection was idle for so long that the receiver has closed it.
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


def test_ten_thousand_random_requests(served: Served):
    """Lost: an attack that nobody thought of succeeds."""
    seen: dict[int, int] = {}

    def send(body: bytes, content_type: str, encoding: str | None, more: dict[str, str]) -> None:
        headers = {"content-type": content_type, **({} if encoding is None else {"content-encoding": encoding}), **more}
        status = served.send(body, headers)
        seen[status] = seen.get(status, 0) + 1
        known = content_type.partition(";")[0].strip().lower() in (JSON, PROTOBUF)
        decodable = (encoding or "").strip().lower() in ("", "gzip", "identity")
        assert status in ((200, 400, 413) if known and decodable else (415,))

    # Ten requests per example: hypothesis takes longer to draw a request than the receiver to answer it.
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
    """Lost: the receiver survives each attack, but not all of them together."""
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
