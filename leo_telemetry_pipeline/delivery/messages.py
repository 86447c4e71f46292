"""Messages: an alert as text that people read, and as a document that programs read.

Belongs here: wording. Names come from outside, so every text of a message is inert. Pure: no database, no clock.
Does not: which events make alerts, sending (channels).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leo_telemetry_pipeline.actions import inert
from leo_telemetry_pipeline.actions.items import duration, lasted, milliseconds, ratio
from leo_telemetry_pipeline.store.outbox import Claimed

VERSION = 1
LONGEST_TITLE = 200
LONGEST_LINE = 500


@dataclass(frozen=True)
class Message:
    """Text for people, and a JSON document for programs."""

    key: str
    severity: str
    title: str
    text: str
    document: Mapping[str, Any]


def of(alert: Claimed) -> Message:
    """Return the message of an alert."""
    title = _inert(f"[{alert.severity}] {alert.title}", LONGEST_TITLE)
    # Services refuse an empty message.
    text = "\n".join(_inert(line, LONGEST_LINE) for line in _lines(alert.kind, alert.body)) or title
    document = {
        "version": VERSION,
        "key": alert.key,
        "kind": alert.kind,
        "severity": alert.severity,
        "created_at": alert.created_at.isoformat(),
        "title": title,
        "text": text,
        "facts": _inert_json(alert.body),
    }
    return Message(alert.key, alert.severity, title, text, document)


def example(now: datetime) -> Message:
    """Return the message of a test."""
    key, note = f"test:{now:%Y%m%dT%H%M%S%f}", {"note": "This is a test. Nothing is slow."}
    return of(Claimed("", key, "health", "info", "Test of this channel", note, now, 1, ()))


def _lines(kind: str, body: Mapping[str, Any]) -> Iterator[str]:
    if kind == "digest":
        yield from _listed(body)
    elif kind == "health":
        yield from _of_health(body)
    elif kind == "slow_span":
        yield from _of_operation(body)
    elif kind == "resolved":
        yield from _of_resolution(body)
    else:
        yield from _of_item(body)


def _listed(body: Mapping[str, Any]) -> Iterator[str]:
    for one in body.get("items", ()):
        since = f" since {one['since'][:10]}" if one.get("since") else ""
        status = f" ({one['status'].lower().replace('_', ' ')})" if one.get("status") else ""
        yield f"- {one['name']}: {_times(one.get('ratio'))}{since}{status}"
    for one in body.get("operations", ()):
        yield f"- {one['name']}: not ended after {lasted(one['worked_s'])}"
    if body.get("more"):
        yield f"and {body['more']} more"
    yield f"All of them: leo-telemetry {'running' if 'operations' in body else 'items'}"


def _of_health(body: Mapping[str, Any]) -> Iterator[str]:
    if body.get("reason"):
        yield str(body["reason"])
    if body.get("since"):
        yield f"The last was at {body['since'][:16].replace('T', ' ')} UTC."
    if body.get("note"):
        yield str(body["note"])
    else:
        yield "What to do: leo-telemetry doctor"


def _of_operation(body: Mapping[str, Any]) -> Iterator[str]:
    started = body["started_at"][:19].replace("T", " ")
    yield f"Started at {started} UTC. By its history, it rarely takes longer than {lasted(body['time_out_s'])}."
    places = (("in project", body.get("project")), ("for", body.get("sd_id")), ("in trace", body.get("trace_id")))
    yield f"In {body['process']}{''.join(f', {word} {place}' for word, place in places if place)}."
    yield "What runs now: leo-telemetry running"


def _of_item(body: Mapping[str, Any]) -> Iterator[str]:
    if body.get("p50_ms") is not None and body.get("baseline_p50_ms") is not None:
        now, before = milliseconds(body["p50_ms"]), milliseconds(body["baseline_p50_ms"])
        yield f"It takes {now}, normally {before}; slow since {_since(body)}."
    if body.get("lost_ms_a_week"):
        yield f"Time lost per week: {duration(body['lost_ms_a_week'])}."
    if body.get("why"):
        yield f"Why: {body['why']}."
    yield from _of_any_item(body)


def _of_resolution(body: Mapping[str, Any]) -> Iterator[str]:
    # The other facts are from the last analysis that found it slow, and no longer true.
    if _since(body):
        yield f"It was slow since {_since(body)}."
    yield from _of_any_item(body)


def _of_any_item(body: Mapping[str, Any]) -> Iterator[str]:
    if body.get("effect"):
        yield from _effect(body["effect"])
    if body.get("item_id"):
        yield f"Details: leo-telemetry items show {body['item_id']}"


def _since(body: Mapping[str, Any]) -> str:
    # Without a known onset, the day on which the item opened.
    return str(body.get("onset_day") or body.get("since") or "")[:10]


def _effect(effect: Mapping[str, Any]) -> Iterator[str]:
    p50s = (("before", "before_ms"), ("at its worst", "worst_ms"), ("while slow", "slow_ms"), ("now", "after_ms"))
    known = [f"{word} {milliseconds(effect[name])}" for word, name in p50s if effect.get(name) is not None]
    if known:
        yield f"P50: {', '.join(known)}."
    if effect.get("ratio") is not None:
        low, high = effect.get("ratio_low"), effect.get("ratio_high")
        interval = "" if low is None or high is None else f" (95 % interval {low:.2f}x to {high:.2f}x)"
        yield f"It takes {effect['ratio']:.2f}x as long as while it was slow{interval}."
    given_back = effect.get("given_back_ms_per_week")
    if given_back is not None and given_back > 0:
        yield f"Time given back per week: {duration(given_back)}."


def _times(of_baseline: float | None) -> str:
    return "over its threshold" if of_baseline is None else f"{ratio(of_baseline)} its baseline"


def _inert(text: str, longest: int) -> str:
    return inert.message(text)[:longest]


def _inert_json(value: Any) -> Any:
    if isinstance(value, str):
        return _inert(value, LONGEST_LINE)
    if isinstance(value, Mapping):
        return {_inert(str(name), LONGEST_LINE): _inert_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_inert_json(one) for one in value]
    return value
