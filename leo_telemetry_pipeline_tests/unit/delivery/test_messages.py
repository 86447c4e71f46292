"""Text of messages."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.actions.operations import RunningOperation
from leo_telemetry_pipeline.actions.slow_spans import Told, decide, overdue
from leo_telemetry_pipeline.delivery import messages
from leo_telemetry_pipeline.store.outbox import Alert, Claimed

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


def message(alert: Alert) -> messages.Message:
    return messages.of(Claimed("", alert.key, alert.kind, alert.severity, alert.title, dict(alert.body), NOW, 0, ()))


def late(minutes: float, **more: Any) -> RunningOperation:
    return RunningOperation(
        span_type="gate",
        started_at=NOW - timedelta(minutes=minutes),
        open_s=60 * minutes,
        silent_s=1.0,
        time_out_s=300.0,
        **{"span_name": "A", "trace_id": "t", "span_id": "s", "host": "build-1", "pid": 7} | more,
    )


ITEM = {
    "name": "gate:A", "ratio": 3.0, "p50_ms": 15_000.0, "baseline_p50_ms": 5000.0, "lost_ms_a_week": 7_200_000.0,
    "why": "gate:A +10 s: own time 100 %", "onset_day": "2026-02-23", "since": "2026-03-02T09:00:00+00:00",
    "item_id": "i1",
}  # fmt: skip


def test_a_message_about_a_slow_item_says_how_slow_since_when_and_why():
    """Lost: people are told that a step is slow, in words that they cannot read."""
    assert message(Alert(key="k", kind="new", severity="high", title="Slow", body=ITEM)).text.splitlines() == [
        "It takes 15s, normally 5s; slow since 2026-02-23.",
        "Time lost per week: 2.0 h.",
        "Why: gate:A +10 s: own time 100 %.",
        "Details: leo-telemetry items show i1",
    ]
    unknown = ITEM | {"onset_day": None, "why": None}
    [first, _, last] = message(Alert(key="k", kind="new", severity="high", title="Slow", body=unknown)).text.split("\n")
    assert (first[-11:], last) == ("2026-03-02.", "Details: leo-telemetry items show i1")


def test_a_message_about_a_resolution_does_not_say_that_the_item_is_slow():
    """Lost: the good news reads as if the step still took three times as long."""
    effect = {"before_ms": 5000.0, "slow_ms": 15_000.0, "after_ms": 5000.0, "given_back_ms_per_week": 7_200_000.0}
    body = ITEM | {"effect": effect}
    assert message(Alert(key="k", kind="resolved", severity="info", title="Fast", body=body)).text.splitlines() == [
        "It was slow since 2026-02-23.",
        "P50: before 5s, while slow 15s, now 5s.",
        "Time given back per week: 2.0 h.",
        "Details: leo-telemetry items show i1",
    ]


def test_a_message_about_an_operation_says_since_when_where_and_what_is_usual():
    """Lost: people know that something hangs, and not where to look."""
    [alert] = decide(overdue([late(12.5, project="shop", sd_id="SD-1")]), Told(), 30, NOW)
    found = message(alert)
    assert found.title == "[warning] Overdue: gate:A has not ended after 12 min"
    assert found.text.splitlines() == [
        "Started at 2026-03-02 09:47:30 UTC. By its history, it rarely takes longer than 5 min.",
        "In process 7 on build-1, in project shop, for SD-1, in trace t.",
        "What runs now: leo-telemetry running",
    ]
    [alert] = decide(overdue([late(12.5, session="s1", span_id=None, trace_id=None)]), Told(), 30, NOW)
    assert message(alert).text.splitlines()[1] == "In session s1."


def test_a_digest_of_operations_lists_them():
    """Lost: the digest of a day on which everything hangs is empty."""
    [alert] = decide(overdue([late(10, span_id=str(n), span_name=f"G{n}") for n in range(25)]), Told(), 0, NOW)
    lines = message(alert).text.splitlines()
    assert message(alert).title == "[warning] 25 more operations are overdue"
    assert lines[0] == "- gate:G0: not ended after 10 min"
    assert lines[-2:] == ["and 5 more", "All of them: leo-telemetry running"]
