"""Operations that have been running for longer than any before them: what is shown, and who is told."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from leo_telemetry_pipeline.actions import routine_alerts
from leo_telemetry_pipeline.cli.running import running
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.sensors import alerts_sensor
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.sources.claude import hook_notes, notebook
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import open_spans, outbox, spans
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import dagster_records, midnight, span, spans_of

pytestmark = pytest.mark.usefixtures("settings")


def past(db: Database, count: int, name: str = "A", kinds: Sequence[str] = ("gate", "handoff")) -> None:
    """Store ``count`` spans of a minute in each of some dimensions, and count their days."""
    at = midnight(2)
    stored = [each for kind in kinds for each in spans_of(kind, name, [60_000] * count, at=at)]
    spans.insert(db, stored)
    histograms.rebuild(db, [at.date()], list(kinds), list(kinds))


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def shown(db: Database, opened: Sequence[Span]) -> dict[str, dict]:
    """Return what `running --json` says of open spans, by span id."""
    open_spans.announce(db, opened, [], host="h", pid=1)
    printed = CliRunner().invoke(running, ["--json"], catch_exceptions=False).output
    return {row["span_id"]: row for row in json.loads(printed)}


def test_a_gate_that_runs_longer_than_its_time_out_is_overdue(db: Database):
    """Lost: a gate that hangs looks like one that works."""
    past(db, 100)
    late, early = (span("gate", "A", None, at=minutes_ago(minutes)) for minutes in (3, 1))
    rows = shown(db, [late, early])
    assert rows[late.span_id]["time_out_s"] == pytest.approx(1.85 * 60)
    printed = CliRunner().invoke(running, catch_exceptions=False).output.splitlines()
    assert ["overdue" in line for line in printed[1:]] == [True, False]


def test_a_gate_with_little_history_has_no_time_out(db: Database):
    """Lost: the second run of a new gate is called overdue."""
    past(db, 79)
    one = span("gate", "A", None, at=minutes_ago(30))
    assert shown(db, [one])[one.span_id]["time_out_s"] is None
    assert "overdue" not in CliRunner().invoke(running, catch_exceptions=False).output


@pytest.mark.parametrize("is_open", [True, False], ids=["still waiting", "has waited"])
def test_time_spent_waiting_for_a_person_is_not_counted(db: Database, is_open: bool):
    """Lost: each handoff that waits for an answer over lunch is called overdue."""
    past(db, 100)
    handoff = span("handoff", "A", None, at=minutes_ago(31))
    wait = span(
        "wait",
        "answer",
        None if is_open else 30 * 60_000,
        at=minutes_ago(30),
        trace_id=handoff.trace_id,
        parent_span_id=handoff.span_id,
    )
    if not is_open:
        spans.insert(db, [wait])
    row = shown(db, [handoff, wait] if is_open else [handoff])[handoff.span_id]
    assert row["waited_s"] == pytest.approx(30 * 60, abs=30)
    assert "overdue" not in CliRunner().invoke(running, catch_exceptions=False).output


def looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sensor look once, as a daemon that has just started."""
    monkeypatch.setenv(PREFIX + "ALERT_URLS", "webhook+https://hooks.example.com/x")
    alerts_sensor(dg.build_sensor_context(dagster_records(), resources={"telemetry_database": TelemetryDatabase()}))


def told(db: Database) -> list[tuple[str, str]]:
    """Return kind and title of the alerts about operations."""
    written = outbox.newest(db, 99)
    return [(one.kind, one.title) for one in written if one.key.startswith(("slow_span", "digest:slow_span"))]


def test_the_daemon_tells_once_about_a_gate_that_hangs_before_it_ends(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: a gate hangs overnight, and the morning begins with an empty report."""
    past(db, 100)
    late, early = (span("gate", "A", None, at=minutes_ago(minutes)) for minutes in (3, 1))
    open_spans.announce(db, [late, early], [], host="h", pid=7)
    looked(monkeypatch)
    looked(monkeypatch)
    assert told(db) == [("slow_span", "Overdue: gate:A has not ended after 3 min")]
    [(key, body)] = db.rows("SELECT key, body FROM alert_outbox WHERE kind = 'slow_span'")
    assert key == f"slow_span:{late.trace_id}:{late.span_id}"
    assert (body["process"], body["time_out_s"]) == ("process 7 on h", 111.0)


def test_an_operation_that_ended_or_whose_process_is_gone_is_not_told_about(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: people look for a hanging gate that finished long ago."""
    past(db, 100)
    ended, gone = (span("gate", "A", None, at=minutes_ago(3)) for _ in range(2))
    open_spans.announce(db, [ended, gone], [], host="h", pid=7)
    open_spans.announce(db, [], [(ended.trace_id, ended.span_id)], host="h", pid=7)
    with db.transaction() as cursor:
        cursor.execute("UPDATE workflow_open_spans SET beat_at = clock_timestamp() - interval '1 min'")
    looked(monkeypatch)
    assert told(db) == []


def test_alerts_about_operations_can_be_switched_off(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: those who only want to hear of items mute the channel."""
    past(db, 100)
    open_spans.announce(db, [span("gate", "A", None, at=minutes_ago(3))], [], host="h", pid=7)
    monkeypatch.setenv(PREFIX + "ALERT_OVERDUE", "false")
    looked(monkeypatch)
    assert told(db) == []


@pytest.mark.transactions_at_once
def test_two_daemons_at_once_tell_once_and_keep_the_cap(db: Database, target: Target, monkeypatch: pytest.MonkeyPatch):
    """Lost: each message twice, and twice as many as the cap allows."""
    past(db, 100)
    late = [span("gate", "A", None, at=minutes_ago(3 + number)) for number in range(5)]
    open_spans.announce(db, late, [], host="h", pid=7)
    monkeypatch.setenv(PREFIX + "ALERTS_PER_DAY", "9")
    together = threading.Barrier(2)

    def look() -> None:
        with closing(Database(target)) as mine:
            together.wait(60)
            routine_alerts.write(mine, Settings(), datetime.now(UTC))

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(look), pool.submit(look)]:
            done.result()
    assert sorted(told(db)) == [
        ("digest", "2 more operations are overdue"),
        *(("slow_span", f"Overdue: gate:A has not ended after {minutes} min") for minutes in (5, 6, 7)),
    ]


def test_a_sub_agent_of_a_session_that_hangs_is_told_about_and_its_prompt_is_not(
    db: Database, home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a sub-agent that hangs in a session that nobody watches; or an alarm at each lunch of a person."""
    past(db, 100, "Explore", ("subagent",))
    past(db, 100, "claude_code.interaction", ("handoff",))
    with notebook.Notebook(str(Path(notebook.checked_folder(str(home))) / "s1")) as notes:
        for event in (
            {"hook_event_name": "UserPromptSubmit", "prompt": "do it"},
            {"hook_event_name": "SubagentStart", "agent_id": "a1", "agent_type": "Explore"},
        ):
            at_ns = round(minutes_ago(4).timestamp() * 1e9)
            note = hook_notes.note({"session_id": "s1", "prompt_id": "p1", **event}, at_ns, at_ns)
            notes.add(json.dumps({"session": "s1"} | (note or {})))
    looked(monkeypatch)
    looked(monkeypatch)
    assert told(db) == [("slow_span", "Overdue: subagent:Explore has not ended after 4 min")]
    printed = CliRunner().invoke(running, catch_exceptions=False).output.splitlines()
    assert ["overdue" in line for line in printed if "session s1" in line] == [False, True]
