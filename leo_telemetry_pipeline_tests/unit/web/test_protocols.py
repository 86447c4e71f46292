"""Protocols: clients of an unsupported protocol are recognized by their first bytes."""

import pytest

from leo_telemetry_pipeline.web.protocols import ENOUGH, foreign

ADDRESS = "http://127.0.0.1:4318"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize("length", [ENOUGH, 10, len(PREFACE)])
def test_a_grpc_client_gets_the_address_in_its_own_protocol(length: int):
    """Lost: a Collector with the wrong exporter logs only that the service is unavailable."""
    stranger = foreign(PREFACE[:length], ADDRESS)
    assert stranger is not None
    assert ADDRESS in stranger.remedy
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in stranger.remedy
    # SETTINGS, then GOAWAY with the text; a frame has length (3 bytes), type, flags and stream (4 bytes).
    assert stranger.answer[:9] == b"\0\0\0\4\0\0\0\0\0"
    goaway = stranger.answer[9:]
    assert (goaway[3], int.from_bytes(goaway[:3], "big")) == (7, len(goaway) - 9)
    assert goaway[9:17] == b"\0\0\0\0\0\0\0\x0d"
    assert stranger.remedy in goaway[17:].decode()


@pytest.mark.parametrize("first", [b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x03\x00"])
def test_a_tls_client_is_recognized(first: bytes):
    """Lost: an https address instead of http goes unnoticed."""
    stranger = foreign(first, ADDRESS)
    assert stranger is not None
    assert (stranger.name, stranger.answer) == ("TLS", b"")
    assert ADDRESS in stranger.remedy


@pytest.mark.parametrize(
    "first", [b"POST /v1/traces", b"PUT", b"GET", b"PATCH", b"P", b"", b"\x16", b"\x16\x02\x01", b"pri *"]
)
def test_http_1_1_and_garbage_are_left_to_the_parser(first: bytes):
    """Lost: exporters with the supported protocol."""
    assert foreign(first, ADDRESS) is None
