"""Bodies that lie about themselves, and answers that an OpenTelemetry exporter must understand."""

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

from leo_telemetry_pipeline.web import answers, body
from leo_telemetry_pipeline.web.body import LIMIT, Body, Inflow, Refusal
from leo_telemetry_pipeline.web.metrics import Metrics


def whole(pieces: list[bytes], *, zipped: bool) -> bytes:
    """Return what arrives when pieces are sent; nothing of it stays in memory."""
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
    """Return the status that pieces are refused with."""
    with pytest.raises(Refusal) as refused:
        whole(pieces, zipped=zipped)
    return refused.value.status


def bomb(size: int) -> bytes:
    """Return the gzip data of so many zeros."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


@hypothesis.given(content=st.binary(max_size=3000), size=st.integers(1, 500), zipped=st.booleans())
def test_a_body_is_the_same_however_it_is_cut(content: bytes, size: int, zipped: bool):
    """Lost: requests whose chunks end in an unlucky place."""
    sent = gzip.compress(content, mtime=0) if zipped else content
    assert whole([sent[at : at + size] for at in range(0, len(sent), size)], zipped=zipped) == content


def test_a_body_may_be_as_large_as_the_limit_and_no_byte_larger():
    """Lost: the largest request that the documents allow."""
    assert len(whole([bytes(LIMIT)], zipped=False)) == LIMIT
    assert len(whole([bomb(LIMIT)], zipped=True)) == LIMIT
    assert refusal([bytes(LIMIT), b"x"], zipped=False) == 413
    assert refusal([bomb(LIMIT + (1 << 20))], zipped=True) == 413


def test_a_bomb_is_never_inflated():
    """Lost: the machine's memory, to one small request."""
    sent = bomb(256 << 20)
    tracemalloc.start()
    try:
        assert refusal([sent], zipped=True) == 413
        assert tracemalloc.get_traced_memory()[1] < 1.5 * LIMIT
    finally:
        tracemalloc.stop()


def test_gzip_without_content_does_not_go_on_for_ever():
    """Lost: a connection that sends empty blocks all day and is never refused."""
    packer = zlib.compressobj(0, wbits=31)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    empty = packer.flush(zlib.Z_FULL_FLUSH) or b"\x00\x00\x00\xff\xff"
    assert refusal([head, *[empty * 200_000] * (LIMIT // (len(empty) * 200_000) + 1)], zipped=True) == 413


SPANS = gzip.compress(b"spans", mtime=0)


@pytest.mark.parametrize("sent", [b"", b"\x1f\x8b", b"no gzip", SPANS[:-1], SPANS[:12]])
def test_gzip_that_is_broken_or_cut_off_is_a_bad_request(sent: bytes):
    """Lost: half a request, stored as if it were whole."""
    assert refusal([sent], zipped=True) == 400


@pytest.mark.parametrize("after", [b"\0", b"garbage", gzip.compress(b"another member", mtime=0)])
def test_nothing_may_follow_the_gzip_data(after: bytes):
    """Lost: what follows would be dropped without a word."""
    assert refusal([SPANS + after], zipped=True) == 400
    assert refusal([SPANS, after], zipped=True) == 400


def test_all_bodies_together_have_the_room_of_one():
    """Lost: the memory that a single request cannot take is taken by twenty."""
    inflow = Inflow()
    first, second = Body(inflow, gzip=False), Body(inflow, gzip=False)
    first.feed(bytes(LIMIT - 10))
    with pytest.raises(Refusal) as refused:
        second.feed(bytes(body.SMALL + 1))
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    first.close()
    second.feed(bytes(LIMIT // 2))


def test_a_large_body_leaves_room_for_small_ones():
    """Lost: the spans of two thousand clients for as long as one of them sends a large batch."""
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
def test_a_declared_length_beyond_the_limit_is_refused_unread(length: str):
    """Lost: the time in which a body that cannot be taken is received."""
    with pytest.raises(Refusal) as refused:
        body.declared(length)
    assert refused.value.status == 413


@pytest.mark.parametrize("pause", ["IDLE_S", "TOTAL_S"])
def test_a_body_that_does_not_come_ends_the_request(pause: str, monkeypatch: pytest.MonkeyPatch):
    """Lost: one connection for each client that sends half a request and waits."""
    monkeypatch.setattr(body, pause, 0.02)

    async def dribble() -> dict:
        await asyncio.sleep(0.005 if pause == "TOTAL_S" else 3600)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(Refusal) as refused:
        asyncio.run(body.read(dribble, Body(Inflow(), gzip=False)))
    assert refused.value.status == 408


def test_a_client_that_leaves_is_noticed():
    """Lost: a cut-off body is taken for a whole one."""

    async def leave() -> dict:
        return {"type": "http.disconnect"}

    with pytest.raises(body.Gone):
        asyncio.run(body.read(leave, Body(Inflow(), gzip=False)))


@pytest.mark.parametrize(
    ("rejected", "message"), [(0, ""), (0, "a warning"), (7, ""), (300, "no name: ü"), (10**6, "x" * 500)]
)
def test_exporters_understand_what_was_rejected(rejected: int, message: str):
    """Lost: a program never hears that its spans were not taken."""
    response = ExportTraceServiceResponse.FromString(bytes(answers.accepted(answers.PROTOBUF, rejected, message).body))
    assert response.partial_success.rejected_spans == rejected
    assert response.partial_success.error_message == message
    said = json.loads(bytes(answers.accepted(answers.JSON, rejected, message).body))
    partial = said.get("partialSuccess", {"rejectedSpans": "0", "errorMessage": ""})
    assert partial == {"rejectedSpans": str(rejected), "errorMessage": message}


def test_full_success_is_an_empty_message():
    """Lost: exporters log a partial success that is none."""
    assert answers.accepted(answers.PROTOBUF, 0, "").body == b""
    assert answers.accepted(answers.JSON, 0, "").body == b"{}"


def test_a_refusal_comes_in_the_form_of_the_request():
    """Lost: an exporter cannot show why its request was refused."""
    response = answers.refused(answers.PROTOBUF, 429, "later", 5)
    assert (response.status_code, response.headers["retry-after"]) == (429, "5")
    assert response.headers["content-type"] == answers.PROTOBUF
    assert response.body == b"\x12\x05later"
    assert json.loads(bytes(answers.refused("text/plain", 415, "no").body)) == {"message": "no"}


def test_prometheus_can_read_the_numbers():
    """Lost: one malformed line, and the whole scrape is dropped."""
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
