"""Durations that Claude Code itself reported by OpenTelemetry.

Belongs here: reading recorded requests. Does not: our own readers, which are checked against this.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LOGS = ("resourceLogs", "scopeLogs", "logRecords")


@dataclass(frozen=True)
class Report:
    """A reported duration: of a tool (by its id), of a run of a sub-agent (by its id), or of a prompt (no key)."""

    session: str
    type: str
    key: str
    begin: float
    seconds: float


def reports(requests: list[dict[str, Any]]) -> list[Report]:
    """Return the reports in the requests, ordered by start."""
    found = [report for request in requests for report in (*_spans(request["body"]), *_events(request["body"]))]
    return sorted(found, key=lambda report: report.begin)


def words(requests: list[dict[str, Any]]) -> frozenset[str]:
    """Return the names of spans and events, each also with the names of its attributes."""
    found = set()
    for name, item in (named for request in requests for named in _items(request["body"])):
        found |= {name} | {f"{name} {entry['key']}" for entry in item.get("attributes", [])}
    return frozenset(found)


def _items(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for resources, scopes, items in (("resourceSpans", "scopeSpans", "spans"), _LOGS):
        for resource in body.get(resources, []):
            for scope in resource[scopes]:
                for item in scope[items]:
                    yield item.get("name") or _attributes(item).get("event.name", ""), item


def _spans(body: dict[str, Any]) -> Iterator[Report]:
    kinds = {"claude_code.interaction": "handoff", "claude_code.tool.execution": "tool"}
    for name, span in _items(body):
        if kind := kinds.get(name):
            known = _attributes(span)
            begin, end = (int(span[f"{side}TimeUnixNano"]) / 1e9 for side in ("start", "end"))
            yield Report(known["session.id"], kind, known.get("tool_use_id", ""), begin, end - begin)


def _events(body: dict[str, Any]) -> Iterator[Report]:
    for name, record in _items(body):
        if name == "subagent_completed":
            known = _attributes(record)
            seconds = float(known["duration_ms"]) / 1000
            begin = int(record["timeUnixNano"]) / 1e9 - seconds
            yield Report(known["session.id"], "subagent", known["agent_id"], begin, seconds)


def _attributes(item: dict[str, Any]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values()), None) for entry in item.get("attributes", [])}
