"""What the doctor says of each part, from facts alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leo_telemetry_pipeline.cli.doctor import Facts, judge
from leo_telemetry_pipeline_tests.unit.test_findings_block import run

NOW = datetime(2026, 2, 9, 15, 0, tzinfo=UTC)
HEALTHY = Facts(
    now=NOW,
    enabled=True,
    database="the embedded database",
    hook_files=(".claude/settings.local.json",),
    daemon_lives=False,
    waiting=(),
    last=run(window_end=NOW - timedelta(days=1), findings_count=0),
    newest=run(),
    newest_span=NOW - timedelta(hours=1),
    quarantined=0,
    spooled=0,
    losses={},
    removed=(),
    stale_after=timedelta(days=7),
    free=50_000_000_000,
    home="/home",
)


def test_a_healthy_system_needs_nothing() -> None:
    """Lost: people learn to ignore the doctor."""
    assert [verdict.remedy for verdict in judge(HEALTHY) if verdict.remedy] == []


@pytest.mark.parametrize(
    ("part", "change", "remedy"),
    [
        ("switch", {"enabled": False}, "LEO_TELEMETRY_ENABLED is false: unset it"),
        ("disk", {"free": 1_000}, "make room, or move LEO_TELEMETRY_HOME"),
        ("collection", {"newest_span": None}, "leo-telemetry import FILE..."),
        ("collection", {"newest_span": NOW - timedelta(days=3)}, "see whether what writes spans still runs"),
        ("spool", {"spooled": 2}, "leo-telemetry drain"),
        ("losses", {"losses": {"spool_disk_full": 3}}, "make room where LEO_TELEMETRY_HOME lies"),
        ("hook", {"hook_files": ()}, "leo-telemetry hook install"),
        ("queue", {"waiting": (run("QUEUED", triggered_at=NOW - timedelta(hours=1)),)}, "leo-telemetry worker --once"),
        ("worker", {"hook_files": ()}, "leo-telemetry service install"),
        ("analysis", {"last": None, "newest": None}, "leo-telemetry analyze"),
        ("analysis", {"newest": run("FAILED", reason_code="ERROR")}, "leo-telemetry runs show r"),
        ("analysis", {"last": run(window_end=NOW - timedelta(days=9))}, "leo-telemetry analyze"),
    ],
)
def test_each_part_that_fails_is_named_with_what_to_do(part: str, change: dict[str, Any], remedy: str) -> None:
    """Lost: something is broken and the one screen that should say so is green."""
    verdicts = {verdict.name: verdict for verdict in judge(replace(HEALTHY, **change))}
    assert verdicts[part].remedy == remedy


def test_a_daemon_makes_the_hook_unnecessary() -> None:
    """Lost: a server that needs no hook is never healthy."""
    verdicts = judge(replace(HEALTHY, hook_files=(), daemon_lives=True))
    assert [verdict.name for verdict in verdicts if verdict.remedy] == []


def test_attributes_that_were_not_kept_are_named() -> None:
    """Lost: somebody waits for an attribute that never comes, and nothing says why."""
    [verdict] = [each for each in judge(replace(HEALTHY, removed=(("http.url", 12),))) if each.name == "redaction"]
    assert "http.url (12)" in verdict.said
    assert verdict.remedy == ""
