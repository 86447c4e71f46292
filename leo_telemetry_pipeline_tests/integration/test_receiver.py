"""The receiver in this process, with a real database: each status, and the table afterwards."""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Database, outside
from leo_telemetry_pipeline.web.receiver.app import build_app
from leo_telemetry_pipeline_tests.builders import execute, one
from leo_telemetry_pipeline_tests.receiver_client import (
    COUNT,
    JSON,
    PROTOBUF,
    Client,
    Talk,
    as_json,
    as_protobuf,
    notices,
    request,
    serving,
    until,
)
from leo_telemetry_pipeline_tests.servers import as_role


def test_spans_are_in_the_table_when_the_answer_comes(talk: Talk, db: Database):
    """Lost: an exporter discards its spans after a 200, and we do not have them."""

    async def say(client: Client) -> None:
        answer = await client.post(as_json(1, 3))
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"{}", JSON)
        assert one(db, COUNT) == 3
        answer = await client.post(as_protobuf(10, 2), PROTOBUF)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", PROTOBUF)
        assert one(db, COUNT) == 5
        assert (await client.post(gzip.compress(as_protobuf(20)), PROTOBUF, content_encoding="gzip")).status == 200
        assert (
            await client.post(as_json(30), "Application/JSON; charset=utf-8", content_encoding="identity")
        ).status == 200
        body = as_json(40, 5)
        pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
        assert (await client.ask("POST", "/v1/traces", pieces, content_type=JSON)).status == 200
        assert one(db, COUNT) == 12
        assert await client.number("spans_new_total") == 12

    talk(say)


def test_a_repeated_request_is_stored_once(talk: Talk, db: Database):
    """Lost: every retry of an exporter makes work look twice as frequent."""

    async def say(client: Client) -> None:
        body = as_json(1, 4)
        assert [(await client.post(body)).status for _ in range(3)] == [200] * 3
        assert one(db, COUNT) == 4

    talk(say)


def test_a_request_without_spans_succeeds(talk: Talk):
    """Lost: exporters that send empty requests log an error each time."""

    async def say(client: Client) -> None:
        assert (await client.post(b"{}")).status == 200
        assert (await client.post(b"", PROTOBUF)).status == 200

    talk(say)


def test_invalid_spans_are_reported_and_the_rest_is_stored(talk: Talk, db: Database):
    """Lost: five hundred good spans, because of one bad span in their batch."""

    async def say(client: Client) -> None:
        made = request(1, 3)
        made["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["name"] = ""
        answer = await client.post(json.dumps(made).encode())
        partial = json.loads(answer.body)["partialSuccess"]
        assert (answer.status, partial["rejectedSpans"]) == (200, "1")
        assert "name" in partial["errorMessage"]
        made = ExportTraceServiceRequest.FromString(as_protobuf(10, 2))
        made.resource_spans[0].scope_spans[0].spans[0].trace_id = b""
        answer = await client.post(made.SerializeToString(), PROTOBUF)
        assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 1
        assert one(db, COUNT) == 3
        assert await client.number("spans_rejected_total") == 2

    talk(say)


@pytest.mark.parametrize(
    ("status", "method", "path", "headers", "body"),
    [
        (404, "POST", "/", {"content_type": JSON}, b"{}"),
        (404, "POST", "/v1/traces//", {"content_type": JSON}, b"{}"),
        (404, "POST", "/v1/profiles", {"content_type": JSON}, b"{}"),
        (405, "GET", "/v1/logs", {}, b""),
        (405, "GET", "/v1/metrics/", {}, b""),
        (403, "POST", "/v1/logs", {"content_type": JSON, "origin": "http://127.0.0.1:4318"}, b"{}"),
        (415, "POST", "/v1/metrics", {"content_type": "text/plain"}, b"{}"),
        (415, "POST", "/v1/logs", {"content_type": JSON, "content_encoding": "br"}, b"{}"),
        (413, "POST", "/v1/logs", {"content_type": JSON, "content_length": str(30 << 20)}, b"{}"),
        (400, "POST", "/v1/logs", {"content_type": JSON, "content_encoding": "gzip"}, b"{}"),
        (400, "POST", "/v1/traces", {"content_type": JSON}, b'{"resourceSpans":[{"ScopeSpans":[]}]}'),
        (400, "POST", "/v1/traces/", {"content_type": JSON}, b'{"ResourceSpans":[]}'),
        (405, "GET", "/v1/traces", {}, b""),
        (405, "OPTIONS", "/v1/traces", {"access_control_request_method": "POST"}, b""),
        (405, "POST", "/healthz", {"content_type": JSON}, b""),
        (403, "POST", "/v1/traces", {"content_type": JSON, "origin": "http://127.0.0.1:4318"}, b"{}"),
        (403, "POST", "/v1/traces", {"content_type": PROTOBUF, "origin": "null"}, as_protobuf()),
        (403, "POST", "/v1/traces", {"content_type": JSON, "host": "evil.test:4318"}, as_json()),
        (403, "POST", "/v1/traces", {"content_type": JSON, "sec_fetch_site": "same-site"}, as_json()),
        (403, "OPTIONS", "/v1/traces", {"origin": "http://evil.test", "access_control_request_method": "POST"}, b""),
        (403, "GET", "/metrics", {"host": "evil.test:4318"}, b""),
        (403, "GET", "/readyz", {"sec_fetch_site": "cross-site"}, b""),
        (403, "GET", "/nothing", {"origin": "http://127.0.0.1:4318"}, b""),
        (415, "POST", "/v1/traces", {}, b"{}"),
        (415, "POST", "/v1/traces", {"content_type": "text/plain"}, b"{}"),
        (415, "POST", "/v1/traces", {"content_type": "application/json, application/x-protobuf"}, b"{}"),
        (415, "POST", "/v1/traces", {"content_type": JSON, "content_encoding": "br"}, b"{}"),
        (415, "POST", "/v1/traces", {"content_type": JSON, "content_encoding": "gzip, gzip"}, b"{}"),
        (413, "POST", "/v1/traces", {"content_type": JSON, "content_length": str(30 << 20)}, b"{}"),
        (400, "POST", "/v1/traces", {"content_type": JSON}, b""),
        (400, "POST", "/v1/traces", {"content_type": JSON}, b"[]"),
        (400, "POST", "/v1/traces", {"content_type": JSON}, b"\xff"),
        (400, "POST", "/v1/traces", {"content_type": JSON}, as_json()[:-1]),
        (400, "POST", "/v1/traces", {"content_type": JSON}, as_json() + b"garbage"),
        (400, "POST", "/v1/traces", {"content_type": JSON, "content_encoding": "gzip"}, b"{}"),
        (400, "POST", "/v1/traces", {"content_type": PROTOBUF}, as_protobuf()[:-1]),
        (400, "POST", "/v1/traces", {"content_type": PROTOBUF}, as_json()),
    ],
    # Test ids must not contain bodies, which contain the time: all test processes must use the same ids.
    ids=lambda value: "body" if isinstance(value, bytes) else None,
)
def test_each_invalid_request_has_its_status(
    status: int, method: str, path: str, headers: dict[str, str], body: bytes, talk: Talk, db: Database
):
    """Lost: exporters retry forever what can never succeed, or give up on what would."""

    async def say(client: Client) -> None:
        answer = await client.ask(method, path, [body], **headers)
        assert answer.status == status
        assert not [name for name in answer.headers if name.startswith("access-control")]
        if headers.get("content_type") == PROTOBUF:
            assert answer.headers["content-type"] == PROTOBUF
            assert answer.body[:1] == b"\x12"
        else:
            assert answer.message
        assert one(db, COUNT) == 0

    talk(say)


def test_a_token_is_required_once_it_is_set(talk: Talk, settings: Settings, db: Database):
    """Lost: everyone who reaches the port can write into the table."""
    settings.serve_token = "the token"

    async def say(client: Client) -> None:
        wrongs: tuple[dict[str, Any], ...] = (
            {},
            {"authorization": "Bearer the"},
            {"authorization": "the token"},
            {"authorization": "Bearer ü"},
        )
        for wrong in wrongs:
            answer = await client.post(as_json(), **wrong)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert (await client.ask("GET", "/metrics", **wrong)).status == 401
        assert one(db, COUNT) == 0
        assert (await client.post(as_json(), authorization="bearer the token")).status == 200
        assert (await client.post(as_json(2), authorization="Bearer the token", host="proxy.example")).status == 200
        assert (await client.ask("GET", "/metrics", authorization="Bearer the token")).status == 200
        assert (await client.ask("GET", "/healthz")).status == 200
        assert (await client.ask("GET", "/readyz")).status == 200

    talk(say)


def test_identities_and_unknown_attributes_stay_out_and_are_counted(talk: Talk, db: Database):
    """Lost: a prompt that a library attaches to its spans stays in our table forever."""

    async def say(client: Client) -> None:
        attributes = [
            {"key": name, "value": {"stringValue": "the whole prompt"}}
            for name in ("gen_ai.prompt", "user.email", "leo.note")
        ]
        assert (await client.post(as_json(1, 1, attributes=attributes))).status == 200
        assert one(db, "SELECT attributes FROM workflow_trace_log") == {"note": "the whole prompt"}
        assert await client.number("keys_removed_total") == 2

    talk(say)


def test_a_span_that_the_table_refuses_does_not_stop_the_others(talk: Talk, db: Database):
    """Lost: a whole batch, forever, because of one value that the database refuses."""
    execute(db, "ALTER TABLE workflow_trace_log ADD CONSTRAINT no_poison CHECK (span_name <> 'poison')")

    async def say(client: Client) -> None:
        made = request(1, 5)
        made["resourceSpans"][0]["scopeSpans"][0]["spans"][2]["name"] = "poison"
        answer = await client.post(json.dumps(made).encode())
        assert answer.status == 200
        assert json.loads(answer.body)["partialSuccess"] == {
            "rejectedSpans": "1",
            "errorMessage": "refused by the table, kept in telemetry_quarantine",
        }
        assert one(db, COUNT) == 4
        assert await client.number("spans_quarantined_total") == 1
        assert await client.number("spans_accepted_total") == 4
        assert await client.number("spans_rejected_total") == 1

    talk(say)


def test_the_receivers_role_needs_only_insert(settings: Settings, database_url: str, db: Database):
    """Lost: a receiver with minimal rights spools forever."""
    execute(db, "CREATE ROLE receives_only LOGIN PASSWORD 'pw'; GRANT INSERT ON workflow_trace_log TO receives_only")
    execute(db, "GRANT EXECUTE ON FUNCTION ensure_trace_partitions TO receives_only")
    settings.home.mkdir(mode=0o700)
    narrow = outside(as_role(database_url, "receives_only"), "dagster")

    async def say() -> None:
        async with serving(build_app(settings, narrow, away=True)) as client:
            assert (await client.post(as_json(1))).status == 200
            await until(lambda: one(db, COUNT) == 1)
            assert json.loads((await client.ask("GET", "/readyz")).body)["database"] == "up"
            assert (await client.post(as_json(2))).status == 200
            assert one(db, COUNT) == 2

    try:
        asyncio.run(say())
    finally:
        execute(db, "DROP OWNED BY receives_only; DROP ROLE receives_only")


@pytest.mark.parametrize(
    ("start_s", "detail"),
    [
        (10 * 86_400, "starts after tomorrow"),
        (-20 * 365 * 86_400, "starts more than a year before the retention limit"),
        (-50 * 365 * 86_400, "starts more than a year before the retention limit"),
        (60, None),
        (-80 * 86_400, None),
    ],
)
def test_implausible_times_are_stored_and_counted(
    start_s: float, detail: str | None, talk: Talk, db: Database, caplog: pytest.LogCaptureFixture
):
    """Lost: a year of spans is filed under January 1970, and the doctor reports no problem."""
    start = int((time.time() + start_s) * 10**9)

    async def say(client: Client) -> None:
        for first in (1, 10):
            body = as_json(first, 2, startTimeUnixNano=str(start), endTimeUnixNano=str(start + 10**6))
            assert (await client.post(body)).body == b"{}"
        assert one(db, COUNT) == 4
        if detail:
            await until(lambda: notices(db) == {detail: 4})
        assert await client.number("spans_implausible_total") == (4 if detail else 0)
        assert caplog.text.count(str(detail)) == (1 if detail else 0)

    talk(say)


def test_the_receiver_stores_spans_in_all_spellings(talk: Talk, db: Database):
    """Lost: spans of old exporters, although the answer is 200."""
    plain = request(1)
    old = json.loads(json.dumps(request(2)).replace("scopeSpans", "instrumentationLibrarySpans"))
    tempo = {"batches": request(3)["resourceSpans"]}
    bare = request(4)["resourceSpans"][0]
    snake = json.loads(json.dumps(request(5)).replace("resourceSpans", "resource_spans").replace("traceId", "trace_id"))

    async def say(client: Client) -> None:
        for body in (plain, old, tempo, bare, snake):
            assert (await client.post(json.dumps(body).encode())).body == b"{}"
        assert one(db, COUNT) == 5
        answer = await client.post(json.dumps(request(6)).replace("scopeSpans", "scopespans").encode())
        assert (answer.status, one(db, COUNT)) == (400, 5)
        assert "scopespans where scopeSpans is expected" in answer.message

    talk(say)
