"""Bodies that contradict their headers, and responses that an OpenTelemetry exporter must understand."""

import asyncio
import gzip
import itertools
import json
import tracemalloc
import zlib

import hypothesis
import hypothesis.strategies as st
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from leo_telemetry_pipeline.web.receiver import answers, body
from leo_telemetry_pipeline.web.receiver.body import LIMIT, Body, Inflow, Refusal
from leo_telemetry_pipeline.web.receiver.metrics import Metrics


def whole(pieces: list[bytes], *, zipped: bool) -> bytes:
    """Return the received body of sent pieces; assert that its memory is released."""
    inflow = Inflow()
    arriving = Body(inflow, gzip=zipped)
    try:
        for piece in pieces:
            arriving.feed(piece)
        return arriving.finish()
    finally:
        arriving.close()
        assert inflow.held == 0


def refusal(pieces: list[bytes], *, zipped: bool) -> int:
    """Return the status with which pieces are refused."""
    with pytest.raises(Refusal) as refused:
        whole(pieces, zipped=zipped)
    return refused.value.status


def bomb(size: int) -> bytes:
    """Return the gzip data of ``size`` zeros."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


@hypothesis.given(content=st.binary(max_size=3000), size=st.integers(1, 500), zipped=st.booleans())
def test_a_body_does_not_depend_on_its_chunks(content: bytes, size: int, zipped: bool):
    """Lost: requests whose chunks end at an unlucky position."""
    sent = gzip.compress(content, mtime=0) if zipped else content
    assert whole([sent[at : at + size] for at in range(0, len(sent), size)], zipped=zipped) == content


def test_a_body_may_be_as_large_as_the_limit_but_no_larger():
    """Lost: the largest documented request."""
    assert len(whole([bytes(LIMIT)], zipped=False)) == LIMIT
    assert len(whole([bomb(LIMIT)], zipped=True)) == LIMIT
    assert refusal([bytes(LIMIT), b"x"], zipped=False) == 413
    assert refusal([bomb(LIMIT + (1 << 20))], zipped=True) == 413


def test_a_gzip_bomb_is_not_inflated():
    """Lost: the machine's memory, because of one small request."""
    sent = bomb(256 << 20)
    tracemalloc.start()
    try:
        assert refusal([sent], zipped=True) == 413
        assert tracemalloc.get_traced_memory()[1] < 1.5 * LIMIT
    finally:
        tracemalloc.stop()


def test_empty_gzip_blocks_are_limited():
    """Lost: a connection that sends empty blocks all day is never refused."""
    packer = zlib.compressobj(0, wbits=31)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    empty = packer.flush(zlib.Z_FULL_FLUSH) or b"\x00\x00\x00\xff\xff"
    assert refusal([head, *[empty * 200_000] * (LIMIT // (len(empty) * 200_000) + 1)], zipped=True) == 413


SPANS = gzip.compress(b"spans", mtime=0)


@pytest.mark.parametrize("sent", [b"", b"\x1f\x8b", b"no gzip", SPANS[:-1], SPANS[:12]])
def test_damaged_or_truncated_gzip_is_a_bad_request(sent: bytes):
    """Lost: half a request is stored as if it were complete."""
    assert refusal([sent], zipped=True) == 400


@pytest.mark.parametrize("after", [b"\0", b"garbage", gzip.compress(b"another member", mtime=0)])
def test_data_after_the_gzip_stream_is_refused(after: bytes):
    """Lost: such data is silently dropped."""
    assert refusal([SPANS + after], zipped=True) == 400
    assert refusal([SPANS, after], zipped=True) == 400


def test_all_bodies_together_share_the_limit_of_one():
    """Lost: twenty requests take the memory that one may not take."""
    inflow = Inflow()
    first, second = Body(inflow, gzip=False), Body(inflow, gzip=False)
    first.feed(bytes(LIMIT - 10))
    with pytest.raises(Refusal) as refused:
        second.feed(bytes(body.SMALL + 1))
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    first.close()
    second.feed(bytes(LIMIT // 2))


def test_a_large_body_leaves_room_for_small_ones():
    """Lost: spans of two thousand clients, while one of them sends a large batch."""
    inflow = Inflow()
    Body(inflow, gzip=False).feed(bytes(LIMIT))
    for _ in range(1000):
        Body(inflow, gzip=False).feed(bytes(2000))
    with pytest.raises(Refusal):
        Body(inflow, gzip=False).feed(bytes(body.SMALL + 1))
    endless = (Body(inflow, gzip=False).feed(bytes(2000)) for _ in itertools.count())
    with pytest.raises(Refusal):
        list(endless)
    assert inflow.held < 1.25 * LIMIT


@pytest.mark.parametrize("length", [None, "0", str(LIMIT), "junk"])
def test_a_declared_length_within_the_limit_is_read(length: str | None):
    body.declared(length)


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 5000])
def test_a_declared_length_beyond_the_limit_is_refused_before_reading(length: str):
    """Lost: time to receive a body that is refused anyway."""
    with pytest.raises(Refusal) as refused:
        body.declared(length)
    assert refused.value.status == 413


@pytest.mark.parametrize("pause", ["IDLE_S", "TOTAL_S"])
def test_a_stalled_body_ends_the_request(pause: str, monkeypatch: pytest.MonkeyPatch):
    """Lost: one connection per client that sends half a request and waits."""
    monkeypatch.setattr(body, pause, 0.02)

    async def dribble() -> dict:
        await asyncio.sleep(0.005 if pause == "TOTAL_S" else 3600)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(Refusal) as refused:
        asyncio.run(body.read(dribble, Body(Inflow(), gzip=False)))
    assert refused.value.status == 408


def test_a_disconnected_client_is_detected():
    """Lost: a truncated body is taken for a complete one."""

    async def leave() -> dict:
        return {"type": "http.disconnect"}

    with pytest.raises(body.Gone):
        asyncio.run(body.read(leave, Body(Inflow(), gzip=False)))


@pytest.mark.parametrize(
    ("rejected", "message"), [(0, ""), (0, "a warning"), (7, ""), (300, "no name: ü"), (10**6, "x" * 500)]
)
def test_exporters_can_parse_partial_success(rejected: int, message: str):
    """Lost: a program never learns that its spans were rejected."""
    response = ExportTraceServiceResponse.FromString(bytes(answers.accepted(answers.PROTOBUF, rejected, message).body))
    assert response.partial_success.rejected_spans == rejected
    assert response.partial_success.error_message == message
    said = json.loads(bytes(answers.accepted(answers.JSON, rejected, message).body))
    partial = said.get("partialSuccess", {"rejectedSpans": "0", "errorMessage": ""})
    assert partial == {"rejectedSpans": str(rejected), "errorMessage": message}


def test_full_success_is_an_empty_message():
    """Lost: exporters log a partial success although all spans were stored."""
    assert answers.accepted(answers.PROTOBUF, 0, "").body == b""
    assert answers.accepted(answers.JSON, 0, "").body == b"{}"


def test_a_refusal_has_the_encoding_of_its_request():
    """Lost: an exporter cannot show why its request was refused."""
    response = answers.refused(answers.PROTOBUF, 429, "later", 5)
    assert (response.status_code, response.headers["retry-after"]) == (429, "5")
    assert response.headers["content-type"] == answers.PROTOBUF
    assert response.body == b"\x12\x05later"
    assert json.loads(bytes(answers.refused("text/plain", 415, "no").body)) == {"message": "no"}


def test_prometheus_can_parse_the_metrics():
    """Lost: one malformed line makes Prometheus drop the whole scrape."""
    metrics = Metrics()
    metrics.statuses[200] += 2
    metrics.totals["spans_new"] += 3
    lines = metrics.text(bytes_in_flight=0, database_up=True).splitlines()
    values = [line for line in lines if not line.startswith("#")]
    assert 'leo_telemetry_receiver_requests_total{status="200"} 2' in values
    assert "leo_telemetry_receiver_spans_new_total 3" in values
    assert all(float(line.rpartition(" ")[2]) >= 0 for line in values)
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert len(named) == sum(line.startswith("# HELP") for line in lines)
