"""What Claude Code itself reported by OpenTelemetry of how long things took.

Belongs here: reading requests that the recorder kept. Does not: any reading of ours, which this is a check of.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Report:
    """One reported duration: of a tool (by its id), of a run of a sub-agent (by its id), of a prompt (no key)."""

    session: str
    type: str
    key: str
    begin: float
    seconds: float


def reports(requests: list[dict[str, Any]]) -> list[Report]:
    """Return what the requests report, in the order of beginning."""
    found = [report for request in requests for report in (*_spans(request["body"]), *_events(request["body"]))]
    return sorted(found, key=lambda report: report.begin)


def _spans(body: dict[str, Any]) -> Iterator[Report]:
    kinds = {"claude_code.interaction": "handoff", "claude_code.tool.execution": "tool"}
    for resource in body.get("resourceSpans", []):
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                if kind := kinds.get(span["name"]):
                    known = _attributes(span)
                    begin, end = (int(span[f"{side}TimeUnixNano"]) / 1e9 for side in ("start", "end"))
                    yield Report(known["session.id"], kind, known.get("tool_use_id", ""), begin, end - begin)


def _events(body: dict[str, Any]) -> Iterator[Report]:
    for resource in body.get("resourceLogs", []):
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                known = _attributes(record)
                if known.get("event.name") == "subagent_completed":
                    seconds = float(known["duration_ms"]) / 1000
                    begin = int(record["timeUnixNano"]) / 1e9 - seconds
                    yield Report(known["session.id"], "subagent", known["agent_id"], begin, seconds)


def _attributes(item: dict[str, Any]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values()), None) for entry in item.get("attributes", [])}
