"""W3C ``traceparent``: a trace crosses processes by a valid one only."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.tracing import context
from leo_telemetry_pipeline.tracing.recorder import InMemoryRecorder
from leo_telemetry_pipeline.tracing.tracer import Tracer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def tracer() -> Tracer:
    return Tracer(InMemoryRecorder())


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
def test_every_pair_of_ids_survives_a_round_trip(trace_id: int, span_id: int) -> None:
    """Lost: the parent of a child process's spans."""
    assert context.parse(context.written(context.Place(trace_id, span_id))) == (trace_id, span_id)


@given(st.text() | st.text("0123456789abcdef-", min_size=50, max_size=60) | st.binary() | st.none() | st.integers())
def test_no_input_makes_the_parser_fail(value: object) -> None:
    """Lost: a service, because of one malformed header."""
    ids = context.parse(value)
    assert ids is None or all(ids)


@pytest.mark.parametrize(
    "text",
    [VALID, f" {VALID}\t", VALID[:-2] + "00", f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes-later"],
)
def test_a_valid_traceparent_is_accepted_even_from_a_later_version(text: str) -> None:
    """Lost: the trace ends where a newer program calls an older one."""
    assert context.parse(text) == (int(TRACE, 16), int(SPAN, 16))


@pytest.mark.parametrize(
    "text",
    [
        "",
        VALID[:-1],
        VALID + "-00",
        VALID + "0",
        f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.later",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        VALID.upper(),
        f"00-{TRACE}-{SPAN.upper()}-01",
        VALID.replace("-", "_"),
        f"0x-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0\n",
        f"00-{TRACE[:-2]}٣٣-{SPAN}-01",
    ],
)
def test_an_invalid_traceparent_is_refused(text: str) -> None:
    """Lost: separate traces, merged under one invalid id."""
    assert context.parse(text) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": VALID},
        {"TraceParent": VALID, "accept": "*/*"},
        [("host", "a"), ("traceparent", VALID)],
        [(b"host", b"a"), (b"traceparent", VALID.encode())],
    ],
)
def test_the_sender_of_a_request_is_the_parent_of_its_handling(tracer: Tracer, headers) -> None:
    """Lost: the part of a handoff that a service does."""
    with context.extract(headers), tracer.gate("inside") as span:
        assert (f"{span.trace_id:032x}", f"{span.parent_id:016x}") == (TRACE, SPAN)
    with tracer.gate("outside") as span:
        assert span.parent_id == 0
        assert f"{span.trace_id:032x}" != TRACE


@pytest.mark.parametrize(
    "headers",
    [{}, {"traceparent": "nonsense"}, [("traceparent", VALID), ("traceparent", VALID)], None, 7, [1], [("a",)]],
)
def test_headers_without_one_valid_parent_change_nothing(tracer: Tracer, headers) -> None:
    """Lost: a request, because of unusual headers."""
    with tracer.handoff("running") as running, context.extract(headers), tracer.gate("inside") as span:
        assert span.parent_id == running.span_id


def test_a_request_carries_the_span_that_sends_it(tracer: Tracer) -> None:
    """Lost: the trace ends where this process calls another."""
    headers = {"accept": "*/*"}
    context.inject(headers)
    assert headers == {"accept": "*/*"}
    with tracer.handoff("LEAD-TO-PLAN") as span:
        context.inject(headers)
        assert context.parse(headers["traceparent"]) == (span.trace_id, span.span_id)


def test_a_child_process_joins_the_trace_by_its_environment(tracer: Tracer) -> None:
    """Lost: the part of a handoff that its scripts do."""
    code = "from leo_telemetry_pipeline.trace import traceparent; print(traceparent())"
    with tracer.handoff("LEAD-TO-PLAN"):
        environ = context.child_environment(os.environ | {"TRACEPARENT": VALID})
        expected = context.traceparent()
    assert context.child_environment({"A": "b"}) == {"A": "b"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_a_process_ignores_an_invalid_parent_in_its_environment() -> None:
    """Lost: a program does not start because of a variable of its caller."""
    code = "from leo_telemetry_pipeline.trace import traceparent; print(traceparent())"
    environ = os.environ | {"TRACEPARENT": "ff-what-is-this"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
