"""Notes of Claude Code's exported spans and log events, as JSON-ready data.

Belongs here: which records and fields are kept; the others may contain prompts, commands and paths. Pure functions,
except for the clock of ``note_of``. Does not: encodings of OTLP (otlp, otlp_logs), which spans notes form (assembler).
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from leo_telemetry_pipeline.sources.claude.hook_notes import is_word, storable
from leo_telemetry_pipeline.sources.otlp import conventions
from leo_telemetry_pipeline.span import LATEST_NS

if TYPE_CHECKING:
    from leo_telemetry_pipeline import redact
    from leo_telemetry_pipeline.sources.otlp.otlp_span import Decoded, Resource

PREFIX = "claude_code."
SPAN, LOG = "OtelSpan", "OtelLog"
HOOKS = "hook_execution_complete"
# The names may have another meaning in newer versions; doctor warns about these.
TESTED_VERSION = (2, 1, 332)

_VERSION_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII).fullmatch
_LONGEST_VERSION = 40
_LONGEST_TEXT = 200
_LARGEST_NUMBER = 2**53
# The tool name of every MCP tool in log events.
_ANY_MCP_TOOL = "mcp_tool"
_SESSION = "session.id"
_SERVICE, _VERSION = "service.name", "service.version"
# Per kind of record: the attributes that are kept, and our names for them.
_IDS = {"prompt.id": "prompt_id", "tool_use_id": "tool_use_id", "agent_id": "agent_id"}
_TOKENS = {name: name for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")}
_HOOK = {
    "hook_event": "hook_event",
    "hook_name": "hook_name",
    "num_hooks": "hooks",
    "num_blocking": "blocking",
    "num_non_blocking_error": "failed",
    "num_cancelled": "cancelled",
}
_SPANS: dict[str, dict[str, str]] = {
    "interaction": {"interaction.sequence": "sequence", "queued_sends": "queued_sends"},
    "llm_request": {
        "gen_ai.request.model": "model",
        "model": "model",
        "query_source_safe": "query_source",
        "query_source": "query_source",
        "error.type": "error_type",
        **_TOKENS,
        **{name: name for name in ("ttft_ms", "attempt", "effort", "stop_reason", "speed", "success", "status_code")},
    },
    "tool": {
        "tool_name": "tool_name",
        "skill_name": "skill",
        "skill.name": "skill",
        "agent.type": "subagent_type",
        "agent_type": "subagent_type",
        "subagent_type": "subagent_type",
    },
    "tool.execution": {"success": "success", "error_class": "error_type"},
    "tool.blocked_on_user": {"decision": "decision", "source": "source"},
    "hook": _HOOK,
}
_LOGS: dict[str, dict[str, str]] = {
    "user_prompt": {
        "command_name": "command",
        "command_source": "command_source",
        "prompt_length": "length",
        "event.sequence": "event_sequence",
    },
    "tool_decision": {"tool_name": "tool_name", "decision": "decision", "permission_mode": "permission_mode"},
    "tool_result": {
        "tool_name": "tool_name",
        "success": "success",
        "duration_ms": "duration_ms",
        "error_type": "error_type",
    },
    "subagent_completed": {
        "agent_type": "agent_type",
        "duration_ms": "duration_ms",
        "is_async": "background",
        "final_model": "model",
        "model": "model",
        "total_tokens": "total_tokens",
        "total_tool_uses": "tool_uses",
        "event.sequence": "event_sequence",
    },
    "compaction": {
        "trigger": "trigger",
        "success": "success",
        "duration_ms": "duration_ms",
        "pre_tokens": "pre_tokens",
        "post_tokens": "post_tokens",
    },
    HOOKS: _HOOK | {"total_duration_ms": "duration_ms", "duration_ms": "duration_ms"},
}
# Fields that a note needs; a span without them is stored like any other span.
_NEEDED = {
    **dict.fromkeys(("tool", "tool.execution", "tool_result", "tool_decision"), ("tool_use_id",)),
    "subagent_completed": ("agent_id", "duration_ms"),
    "user_prompt": ("prompt_id",),
}
_NUMBERS = frozenset(
    (
        *("duration_ms", "ttft_ms", "attempt", "sequence", "queued_sends", "total_tokens", "tool_uses", "pre_tokens"),
        *("post_tokens", "hooks", "blocking", "failed", "cancelled", "status_code", "length", *_TOKENS),
        "event_sequence",
    )
)
_FLAGS = frozenset(("success", "background"))
_WORDS = frozenset(("command", "command_source", "trigger", "error_type", "hook_event"))


class Record(NamedTuple):
    """An exported span or log event. Ids are hex digits, empty for none; times are UTC epoch ns."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict
    failed: bool = False


class SenderResource(NamedTuple):
    """The resource of some records: columns and attributes of their spans, and the version of Claude Code."""

    columns: dict
    attributes: dict
    version: str


def session_of(name: str, attributes: dict) -> str | None:
    """Return the session of a Claude Code record, None for other records or without a session."""
    session = attributes.get(_SESSION)
    return session if name.startswith(PREFIX) and isinstance(session, str) and session.strip() else None


def sender(columns: dict, attributes: dict) -> SenderResource:
    """Return the sender whose resource has these columns and attributes."""
    version = attributes.get(_VERSION)
    named = {name: str(value) for name, value in columns.items() if isinstance(value, str | int) and str(value).strip()}
    others = {name: value for name, value in attributes.items() if name != _SERVICE}
    return SenderResource(named, others, version if isinstance(version, str) else "")


def is_untested(version: object) -> bool:
    """Return whether a version is newer than the newest tested one; False for anything but a version."""
    if not isinstance(version, str) or len(version) > _LONGEST_VERSION:
        return False
    numbers = version.partition("-")[0]
    return bool(_VERSION_NUMBERS(numbers)) and tuple(map(int, numbers.split("."))) > TESTED_VERSION


def note_of(given: "Decoded", resource: "Resource") -> dict | None:
    """Return the note of a span received now; None if it is not of Claude Code or has no session."""
    # Fast path: most spans are not of Claude Code.
    if not given.name.startswith(PREFIX) or not session_of(given.name, given.attributes):
        return None
    where = (given.trace_id, given.span_id, given.parent_id.strip("0") and given.parent_id)
    record = Record(given.name, *where, given.start_ns, given.end_ns, given.attributes, given.status == "ERROR")
    return of_span(record, sender(resource.columns, resource.attributes), time.time_ns())


def of_span(record: Record, given: SenderResource, arrived_ns: int) -> dict | None:
    """Return the note of a Claude Code span; None if it is invalid or has no session."""
    if not (_is_id(record.trace_id, 32) and _is_id(record.span_id, 16) and len(record.parent_id) in (0, 16)):
        return None
    if not 0 < record.start_ns <= record.end_ns <= LATEST_NS:
        return None
    name = record.name.removeprefix(PREFIX)
    note = _common(SPAN, name, record, given, arrived_ns)
    note |= {"parent": record.parent_id, "start_ns": record.start_ns, "end_ns": record.end_ns}
    if record.failed:
        note["success"] = False
    return _complete(note | _kept(record.attributes, _IDS | _SPANS.get(name, {}), note))


def of_logs(records: Iterable[tuple[dict, Record]], policy: "redact.Policy", arrived_ns: int) -> Iterator[dict]:
    """Yield the notes of Claude Code's log events, given with the attributes of their resources."""
    for attributes, record in records:
        if session_of(record.name, record.attributes):
            columns, ours, others = conventions.split(attributes)
            kept = policy.resource(others, {}, conventions.RESOURCE_KEYS) | policy.own(ours, {})
            note = of_log(record, sender(columns, kept), arrived_ns)
            if note is not None:
                yield note


def of_log(record: Record, given: SenderResource, arrived_ns: int) -> dict | None:
    """Return the note of a Claude Code log event; None if no span needs it."""
    name = record.name.removeprefix(PREFIX)
    # Only hooks run outside of prompts, and so have no trace.
    if name not in _LOGS or not 0 < record.end_ns <= LATEST_NS or not (_is_id(record.trace_id, 32) or name == HOOKS):
        return None
    note = _common(LOG, name, record, given, arrived_ns) | {"at_ns": record.end_ns}
    note |= _kept(record.attributes, _IDS | _LOGS[name], note)
    if note.get("tool_name") == _ANY_MCP_TOOL:
        del note["tool_name"]
        note |= _mcp_tool(record.attributes.get("tool_parameters"))
    return _complete(note)


def _is_id(digits: str, length: int) -> bool:
    return len(digits) == length and bool(digits.strip("0"))


def _complete(note: dict) -> dict | None:
    return note if note.keys() >= set(_NEEDED.get(note["name"], ())) else None


def _common(event: str, name: str, record: Record, given: SenderResource, arrived_ns: int) -> dict:
    note = {"event": event, "name": name, "trace": record.trace_id, "span": record.span_id, "arrived_ns": arrived_ns}
    if session := session_of(PREFIX + name, record.attributes):
        note["session"] = storable(session, _LONGEST_TEXT)
    if given.columns:
        note["columns"] = given.columns
    if given.attributes:
        note["resource"] = given.attributes
    return note


def _kept(attributes: dict, names: dict[str, str], note: dict) -> dict:
    kept = {}
    for theirs, ours in names.items():
        value = _value(ours, attributes.get(theirs))
        if value is not None and ours not in note:
            kept[ours] = value
    return kept


def _mcp_tool(parameters: object) -> dict:
    """Return the full name of an MCP tool, which log events carry only in the parameters of the call."""
    try:
        read = json.loads(parameters) if isinstance(parameters, str) else None
    except (ValueError, RecursionError):
        return {}
    words = [read.get(f"mcp_{part}_name") for part in ("server", "tool")] if isinstance(read, dict) else []
    parts = [re.sub(r"[^A-Za-z0-9_-]", "_", word) for word in words if isinstance(word, str) and word]
    return {"tool_name": storable("__".join(["mcp", *parts]), _LONGEST_TEXT)} if len(parts) == 2 else {}


def _value(name: str, value: object) -> object:
    """Return a value fit for a note, None if it does not match the type of its name."""
    if name in _FLAGS:
        return {"True": True, "true": True, "False": False, "false": False}.get(str(value))
    if name in _NUMBERS:
        return _number(value)
    if not isinstance(value, str) or not value.strip() or (name in _WORDS and not is_word(value)):
        return None
    return storable(value, _LONGEST_TEXT)


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_NUMBER:
        return None
    return round(value)
