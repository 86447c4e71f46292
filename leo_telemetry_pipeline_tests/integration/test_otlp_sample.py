"""What Claude Code really sends, from the bytes of a request to rows and medians in PostgreSQL."""

import itertools
import json
import random
from typing import Any

import pytest

from leo_telemetry_pipeline.redact import Policy
from leo_telemetry_pipeline.settings import bundled
from leo_telemetry_pipeline.sources.otlp import otlp
from leo_telemetry_pipeline.store import exact_percentiles, spans
from leo_telemetry_pipeline.store.days import milliseconds
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import midnight, week

SAMPLE = bundled("examples") / "data" / "claude_code_otlp_sample.jsonl"
ROWS = "SELECT trace_id, span_id, parent_span_id, span_type, span_name, duration_ms, attributes FROM workflow_trace_log"
HOUR_MS = 3_600_000
_ids = itertools.count(1)


def sample() -> dict[str, Any]:
    """Return the one request of the sample that has spans."""
    lines = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    [body] = [line["body"] for line in lines if line["path"] == "/v1/traces"]
    return body


def one_by_one(request: dict[str, Any]) -> list[bytes]:
    """Return a request for each span of a request."""
    [part] = request["resourceSpans"]
    [scope] = part["scopeSpans"]
    alone = [part | {"scopeSpans": [scope | {"spans": [span]}]} for span in scope["spans"]]
    return [json.dumps({"resourceSpans": [each]}).encode() for each in alone]


def deliver(db: Database, *bodies: bytes) -> int:
    """Store what requests hold, one after the other, as the receiver does; return how many spans were new."""
    new = 0
    for body in bodies:
        read = otlp.read_json(body, policy=Policy())
        assert read.rejected == 0, read.reasons
        new += spans.store(db, read.spans, read.removed).new
    return new


def test_the_sample_is_six_spans_of_one_trace_with_their_parents(db: Database) -> None:
    """Lost: an agent's work falls apart into spans that belong to nothing."""
    assert deliver(db, json.dumps(sample()).encode()) == 6
    rows = {row[1]: row for row in db.rows(ROWS)}
    assert len({row[0] for row in rows.values()}) == 1
    kinds = {row[1]: f"{row[3]}:{row[4]}" for row in rows.values()}
    below = sorted((kinds[row[1]], kinds[row[2]] if row[2] else "") for row in rows.values())
    assert below == [
        ("execution:claude_code.tool.execution", "tool:Bash"),
        ("handoff:claude_code.interaction", ""),
        ("llm:claude-opus-4-8[1m]", "handoff:claude_code.interaction"),
        ("llm:claude-opus-4-8[1m]", "handoff:claude_code.interaction"),
        ("tool:Bash", "handoff:claude_code.interaction"),
        ("wait:claude_code.tool.blocked_on_user", "tool:Bash"),
    ]


def test_who_worked_and_what_was_asked_is_not_in_the_table(db: Database) -> None:
    """Lost: the privacy of everyone whose agent is measured."""
    deliver(db, json.dumps(sample()).replace("<REDACTED>", "how do I fire Anna").encode())
    stored = str(db.rows(ROWS))
    assert "9ad2f661" not in stored
    assert "Anna" not in stored
    assert {key for [key] in db.rows("SELECT key FROM telemetry_removed_keys")} >= {"user.id", "user_prompt"}


@pytest.mark.parametrize("seed", range(3))
def test_delivering_every_request_three_times_in_any_order_is_like_once(db: Database, seed: int) -> None:
    """Lost: exporters that send again after a lost answer count twice, or late parents are lost."""
    bodies = one_by_one(sample())
    deliver(db, *bodies)
    once = sorted(map(str, db.rows(ROWS)))
    with db.transaction() as cursor:
        cursor.execute("TRUNCATE workflow_trace_log")
    again = bodies * 3
    random.Random(seed).shuffle(again)
    assert deliver(db, *again) == 6
    assert sorted(map(str, db.rows(ROWS))) == once


def tool(name: str, work_ms: int, waited_ms: int) -> list[bytes]:
    """Return the requests of a tool that works for a while after it waited for a person."""
    trace, span = f"{next(_ids):032x}", f"{next(_ids):016x}"
    start = milliseconds(midnight(2)) * 1_000_000

    def request(kind: str, span_id: str, parent: str, duration_ms: int, **attributes: str) -> bytes:
        made = {
            "traceId": trace,
            "spanId": span_id,
            "parentSpanId": parent,
            "name": kind,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + duration_ms * 1_000_000),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
        }
        return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [made]}]}]}).encode()

    return [
        request("claude_code.tool.blocked_on_user", f"{next(_ids):016x}", span, waited_ms),
        request("claude_code.tool", span, "", waited_ms + work_ms, tool_name=name),
    ]


@pytest.mark.parametrize("wait_first", [True, False])
def test_a_tool_that_waited_an_hour_for_a_person_is_no_slower_than_one_that_did_not(
    db: Database, wait_first: bool
) -> None:
    """Lost: every tool that asks for permission becomes an improvement item."""
    for name, waited_ms in (("Bash", HOUR_MS), ("Read", 0)):
        for work_ms in (80, 100, 120):
            bodies = tool(name, work_ms, waited_ms)
            deliver(db, *(bodies if wait_first else reversed(bodies)))
    measured = exact_percentiles.of_window(db, week(), ["tool"], ["tool", "wait"])
    assert [row[:4] for row in measured] == [("tool", "Bash", 3, 100.0), ("tool", "Read", 3, 100.0)]
