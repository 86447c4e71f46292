"""Log requests in both encodings: what is read, and what is refused before it takes memory."""

import json
import tracemalloc

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from leo_telemetry_pipeline.sources.claude import otlp_logs
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.sources.otlp.otlp_span import MAX_PARTS, MAX_SPAN_BYTES, MAX_SPANS

NAME = "claude_code.tool_result"
RECORD = {"body": {"stringValue": NAME}, "timeUnixNano": "1795955340000000000", "traceId": "7" * 32}


def field(number: int, content: bytes) -> bytes:
    """Return a length-delimited protobuf field."""
    size, encoded = len(content), b""
    while size > 0x7F:
        encoded += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([size]) + content


def in_json(records: bytes) -> bytes:
    """Return a request with these records, given as the content of an array."""
    return b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + records + b"]}]}]}"


def in_protobuf(*records: bytes) -> bytes:
    """Return a request with these records."""
    return field(1, field(2, b"".join(field(2, record) for record in records)))


def names_in(body: bytes) -> list[str]:
    """Return the names of Claude Code's records in a request."""
    read = otlp_logs.read_json if body.startswith(b"{") else otlp_logs.read_protobuf
    return [record.name for _, record in read(body)]


MANY = {
    "numbers": in_json(b"1," * 500_000 + b"1"),
    "objects": in_json(b"{}," * 300_000 + b"{}"),
    "one more than may be": in_json(b"{}," * MAX_SPANS + b"{}"),
    "scopes": b'{"resourceLogs":[{"scopeLogs":[' + b"{}," * MAX_PARTS + b"{}]}]}",
    "resources": b'{"resourceLogs":[' + b"{}," * MAX_PARTS + b"{}]}",
    "records on the wire": field(1, field(2, field(2, b"") * 500_000)),
    "scopes on the wire": field(1, field(2, b"") * 500_000),
    "resources on the wire": field(1, b"") * 500_000,
}


@pytest.mark.parametrize("what", MANY)
def test_too_many_records_are_refused_before_they_take_memory(what: str):
    """Lost: the receiver, because of a body of 1 MB that becomes 165 MB of objects."""
    tracemalloc.start()
    try:
        with pytest.raises(otlp.TooLarge, match="more than 10000"):
            names_in(MANY[what])
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_resource_counts_once_per_record():
    """Lost: the disk, because of a resource of 1 MB that ten thousand notes repeat."""
    resource = json.dumps({"attributes": [{"key": "service.name", "value": {"stringValue": "x" * 100_000}}]}).encode()
    body = b'{"resourceLogs":[{"resource":' + resource + b',"scopeLogs":[{"logRecords":[' + b"{}," * 5_000 + b"{}]}]}]}"
    with pytest.raises(otlp.TooLarge, match="MiB of resources"):
        names_in(body)


@pytest.mark.parametrize("text", ["x" * MAX_SPAN_BYTES, "[" + "1," * 60_000 + "1]"], ids=["long", "many values"])
def test_a_large_record_of_another_program_does_not_affect_the_rest(text: str):
    """Lost: Claude Code's records in the same request, or memory for the large one."""
    value = {"stringValue": text} if text.startswith("x") else {"arrayValue": json.loads(text)}
    large = {"body": value, "attributes": []}
    assert names_in(in_json(b",".join(json.dumps(each).encode() for each in (large, RECORD)))) == [NAME]


def test_the_maximum_number_of_records_is_read_in_both_encodings():
    """Lost: failed tools in the largest requests."""
    assert len(names_in(in_json(b",".join([json.dumps(RECORD).encode()] * MAX_SPANS)))) == MAX_SPANS
    data = LogsData()
    record = data.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1, trace_id=b"7" * 16)
    record.body.string_value = NAME
    assert names_in(data.SerializeToString()) == [NAME]
    assert names_in(in_protobuf(*[record.SerializeToString()] * MAX_SPANS)) == [NAME] * MAX_SPANS


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"resourceSpans":[]}', "resourceSpans are not logs"),
        (b'{"resourceLogs":[],"resourceSpans":[]}', "resourceSpans are not logs"),
        (b'{"resource_metrics":[]}', "resource_metrics are not logs"),
        (b'{"ResourceLogs":[]}', "ResourceLogs where resourceLogs is expected"),
        (b'{"resourceLogs":[{"instrumentationLibraryLogs":[]}]}', "where scopeLogs is expected"),
        (b'{"resourceLogs":[{"scopeLogs":[{"LogRecords":[]}]}]}', "where logRecords is expected"),
        (field(3, b"x"), "resource_logs = 1 is expected"),
        (field(1, field(9, b"x")), "scope_logs = 2 is expected"),
        (field(1, field(2, field(9, b"x"))), "log_records = 2 is expected"),
    ],
)
def test_a_request_without_logs_is_refused_with_the_expected_field(body: bytes, said: str):
    """Lost: traces sent to the address of logs are answered with 200 and dropped."""
    with pytest.raises(otlp.BadRequest, match=said):
        names_in(body)


def test_traces_in_protobuf_are_not_taken_for_logs():
    """Lost: traces sent to the address of logs are dropped, because both requests look alike in protobuf."""
    data = TracesData()
    data.resource_spans.add().scope_spans.add().spans.add(name="work", trace_id=b"1" * 16, span_id=b"2" * 8)
    with pytest.raises(otlp.BadRequest, match="spans are not logs"):
        names_in(data.SerializeToString())


@pytest.mark.parametrize("body", [b"{}", b"", b'{"resourceLogs":null}', b'{"resourceLogs":[{}]}'])
def test_an_empty_log_request_is_valid(body: bytes):
    """Lost: exporters that probe the receiver with an empty request report an error."""
    assert names_in(body) == []


def test_snake_case_is_read_as_in_traces():
    """Lost: log events of exporters that use protobuf's field names in JSON."""
    record = {"body": {"string_value": NAME}, "time_unix_nano": "5", "trace_id": "7" * 32, "span_id": "8" * 16}
    record |= {"attributes": [{"key": "session.id", "value": {"string_value": "s"}}]}
    request = {"resource_logs": [{"scope_logs": [{"log_records": [record]}]}]}
    [(_, found)] = otlp_logs.read_json(json.dumps(request).encode())
    assert found == otlp_logs.Record(NAME, "7" * 32, "8" * 16, "", 5, 5, {"session.id": "s"})
    assert [found for _, found in otlp_logs.records_of(request)] == [found]


def test_invalid_json_has_one_reason_regardless_of_its_position():
    """Lost: three hundred positions fill the list of the doctor."""
    reasons = set()
    for spaces in range(50):
        with pytest.raises(otlp.BadRequest) as refused:
            names_in(in_json(b'{"a":' + b" " * spaces + b"x}"))
        reasons.add(str(refused.value))
    assert reasons == {"not OTLP/JSON: expecting value"}
