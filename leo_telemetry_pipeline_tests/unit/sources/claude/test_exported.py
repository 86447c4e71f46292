"""Claude Code's exported telemetry: what is noted, kept and left out."""

import json
import random

import pytest

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources.claude import assembler, otel_notes
from leo_telemetry_pipeline.sources.otlp import otlp


def test_exported_contents_of_a_conversation_are_not_kept():
    """Lost: the privacy of users who set OTEL_LOG_USER_PROMPTS or the like for another tool."""
    attributes = {"session.id": "s", "prompt.id": "p", "prompt": "fire Anna", "command_name": "fire Anna now"}
    attributes |= {"user_prompt": "fire Anna", "full_command": "rm -rf /home/anna", "tool_input": "fire Anna"}
    attributes |= {
        "tool_name": "Bash",
        "tool_use_id": "t",
        "error": "no /home/anna",
        "skill_name": "x",
        "hook_name": "Stop",
    }
    sender = otel_notes.sender({}, {})
    for kind in ("interaction", "tool", "tool.execution", "llm_request", "hook", "unknown"):
        record = otel_notes.Record(f"claude_code.{kind}", "a" * 32, "b" * 16, "", 1, 2, attributes)
        assert "nna" not in json.dumps(otel_notes.of_span(record, sender, 3))
    for kind in ("user_prompt", "tool_result", "tool_decision", "subagent_completed", "hook_execution_complete"):
        record = otel_notes.Record(f"claude_code.{kind}", "a" * 32, "b" * 16, "", 1, 2, attributes)
        assert "nna" not in json.dumps(otel_notes.of_log(record, sender, 3))


def test_the_attributes_of_the_resource_are_on_every_span():
    """Lost: the project, SD and deployment that a user configured for Claude Code's export."""
    attributes = {"session.id": "s", "tool_name": "Bash", "tool_use_id": "t"}
    sender = otel_notes.sender({"project": "shop", "sd_id": 17}, {"sd_type": "feature", "service.version": "2.1.332"})
    notes = [
        otel_notes.of_span(
            otel_notes.Record(f"claude_code.{kind}", "a" * 32, digit * 16, "", 10**15, 2 * 10**15, given), sender, 1
        )
        for kind, digit, given in (
            ("interaction", "1", {"session.id": "s"}),
            ("tool", "2", attributes),
            ("tool.execution", "3", attributes),
        )
    ]
    spans, _ = assembler.spans([note for note in notes if note], session="s", project="else", final=True)
    assert len(spans) == 3
    assert {(span.project, span.sd_id, span.attributes["sd_type"]) for span in spans} == {("shop", "17", "feature")}


@pytest.mark.parametrize("logged", [True, False])
def test_hooks_reported_by_spans_and_log_events_count_once(logged: bool):
    """Lost: users who export detailed traces see each hook twice."""
    given = {"session.id": "s", "prompt.id": "p", "hook_event": "Stop", "hook_name": "Stop", "num_hooks": 2}
    sender, trace, root = otel_notes.sender({}, {}), "a" * 32, "1" * 16
    records = [
        otel_notes.of_span(
            otel_notes.Record("claude_code.interaction", trace, root, "", 10**15, 9 * 10**15, given), sender, 1
        ),
        otel_notes.of_span(
            otel_notes.Record("claude_code.hook", trace, "2" * 16, root, 2 * 10**15, 3 * 10**15, given), sender, 1
        ),
    ]
    log = otel_notes.Record(
        "claude_code.hook_execution_complete", trace, root, "", 0, 3 * 10**15, given | {"total_duration_ms": "7"}
    )
    notes = [note for note in [*records, *([otel_notes.of_log(log, sender, 1)] if logged else [])] if note]
    random.Random(3).shuffle(notes)
    [hook] = [span for span in assembler.spans(notes, session="s", final=True)[0] if span.span_type == "hook"]
    assert (hook.span_name, hook.attributes["hooks"], hook.duration_ms) == ("Stop", 2, 7 if logged else 10**9)


@pytest.mark.parametrize(
    ("keys_to_keep", "kept"),
    [
        ((), {}),
        (("full_command",), {"tool:Bash": "sleep 0.3; echo r"}),
        (("full_*", "user.id"), {"tool:Bash": "sleep 0.3; echo r"}),
        (("anthropic.provider",), {}),
    ],
)
def test_attributes_that_a_user_chose_to_keep_are_kept(keys_to_keep: tuple[str, ...], kept: dict[str, str]):
    """Lost: LEO_TELEMETRY_KEEP_KEYS has no effect on Claude Code, or keeps too much."""
    attributes = {"session.id": "s", "tool_use_id": "t1", "tool_name": "Bash", "full_command": "sleep 0.3; echo r"}
    attributes |= {"user.id": "somebody", "anthropic.provider": "firstParty"}
    notes = []
    for name, number in (("tool", 1), ("tool.execution", 2)):
        request = span_request(
            f"claude_code.{name}", number, attributes if number == 1 else {**attributes, "success": "true"}
        )
        for part in otlp.parts_of_json(request, policy=redact.Policy(keys_to_keep), divert=otel_notes.note_of):
            notes += part.notes
    spans, _ = assembler.spans(notes, session="s", final=True)
    found = {f"{span.span_type}:{span.span_name}": span.attributes for span in spans}
    assert {key: found[key]["full_command"] for key in kept} == kept
    assert all(("full_command" in own) == bool(kept) for name, own in found.items() if name == "tool:Bash")
    assert not any("user.id" in own for own in found.values())
    assert any("anthropic.provider" in own for own in found.values()) == ("anthropic.provider" in keys_to_keep)


def span_request(name: str, number: int, attributes: dict[str, str]) -> bytes:
    """Return a request with one span of Claude Code."""
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    span = {"traceId": "a" * 32, "spanId": f"{number:016x}", "name": name, "attributes": pairs}
    span |= {"startTimeUnixNano": "1795955340000000000", "endTimeUnixNano": "1795955341000000000"}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
