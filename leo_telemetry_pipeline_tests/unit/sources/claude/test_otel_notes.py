"""Notes of Claude Code's records: which are kept, which are stored like any other span, which are dropped."""

import pytest

from leo_telemetry_pipeline.sources.claude import otel_notes

SESSION = "8e8f5d50-0000-4000-8000-000000000001"
START = 1_795_955_340_000_000_000
WITH_ID = {"prompt.id": "p1", "tool_use_id": "toolu_1", "agent_id": "a1", "duration_ms": 5, "total_duration_ms": 5}


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("tool_result", "tool_use_id"),
        ("tool_decision", "tool_use_id"),
        ("subagent_completed", "agent_id"),
        ("subagent_completed", "duration_ms"),
        ("user_prompt", "prompt.id"),
    ],
)
def test_a_log_event_without_its_required_id_is_not_kept(name: str, needs: str):
    """Lost: useless notes stay until the session is forgotten."""
    attributes = {"session.id": SESSION, **WITH_ID}

    def noted(given: dict) -> dict | None:
        record = otel_notes.Record(f"claude_code.{name}", "7" * 32, "8" * 16, "", START, START, given)
        return otel_notes.of_log(record, otel_notes.sender({}, {}), START)

    assert noted(attributes) is not None
    assert noted({key: value for key, value in attributes.items() if key != needs}) is None
    assert noted(attributes | {needs: " "}) is None


TIMES = {
    "an end after the year 9999": (START, 10**21),
    "both after the year 9999": (10**21, 10**21),
    "400 digits": (10**400, 10**400 + 5),
    "an end before the start": (START, START - 1),
}


WRONG = {name: {"start_ns": start, "end_ns": end} for name, (start, end) in TIMES.items()} | {
    "a trace of zeros": {"trace_id": "0" * 32},
    "a span of zeros": {"span_id": "0" * 16},
    "a short trace": {"trace_id": "7"},
    "a long parent": {"parent_id": "7" * 40},
}


@pytest.mark.parametrize("what", WRONG)
def test_an_invalid_span_is_not_kept_as_a_note(what: str):
    """Lost: all spans of its session, which the note blocks forever."""
    good = otel_notes.Record("claude_code.llm_request", "7" * 32, "8" * 16, "", START, START + 5, {"session.id": "s"})
    sender = otel_notes.sender({}, {})
    assert otel_notes.of_span(good, sender, START) is not None
    assert otel_notes.of_span(good._replace(**WRONG[what]), sender, START) is None


@pytest.mark.parametrize("moment", [0, -5, 10**21, 10**400])
@pytest.mark.parametrize("name", ["compaction", "user_prompt", "hook_execution_complete"])
def test_a_log_event_without_a_time_is_not_kept(name: str, moment: int):
    """Lost: all spans of its session, which the note blocks forever."""
    attributes = {"session.id": SESSION, **WITH_ID}
    good = otel_notes.Record(f"claude_code.{name}", "7" * 32, "8" * 16, "", START, START, attributes)
    sender = otel_notes.sender({}, {})
    assert otel_notes.of_log(good, sender, START) is not None
    assert otel_notes.of_log(good._replace(end_ns=moment), sender, START) is None
    if name != "hook_execution_complete":
        assert otel_notes.of_log(good._replace(trace_id="0" * 32), sender, START) is None


@pytest.mark.parametrize(
    ("version", "untested"),
    [("2.1.332", False), ("2.1.333", True), ("2.2", True), ("3", True), ("2.1.400-beta.1", True), ("1.99.99", False)],
)
def test_versions_newer_than_the_tested_one_are_recognized(version: str, untested: bool):
    """Lost: the hint that spans may be incomplete; or a false one."""
    assert otel_notes.is_untested(version) == untested
