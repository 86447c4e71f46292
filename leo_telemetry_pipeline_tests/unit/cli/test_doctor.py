"""Verdicts of the doctor on each part, from facts alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leo_telemetry_pipeline.cli.claude.installed_hooks import Hooks, SettingsFile
from leo_telemetry_pipeline.cli.doctor import Facts, LocalFacts, judge, judge_without, look
from leo_telemetry_pipeline.cli.verdicts import Verdict
from leo_telemetry_pipeline.delivery.channels import Channels
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.spool.spool import Spool, folder_of, waiting
from leo_telemetry_pipeline.store.intake import Notice
from leo_telemetry_pipeline.store.outbox import Backlog
from leo_telemetry_pipeline.store.server.dagster_home import QUEUE_SENSOR, Daemon
from leo_telemetry_pipeline_tests.unit.cli.todays_runs import run

NOW = datetime(2026, 2, 9, 15, 0, tzinfo=UTC)
HEALTHY = Facts(
    now=NOW,
    enabled=True,
    database="the embedded database",
    opened={},
    hooks=Hooks((SettingsFile(".claude/settings.local.json", ("/bin/leo-telemetry",)),)),
    daemon=Daemon(),
    executed_elsewhere=False,
    waiting=(),
    last=run(window_end=NOW - timedelta(days=1), findings_count=0),
    newest=run(),
    newest_span=NOW - timedelta(hours=1),
    quarantined=0,
    spooled=0,
    spool_refused=False,
    losses={},
    removed=(),
    notices=(),
    folded=(),
    backlog=Backlog(),
    channels=Channels(),
    stale_after=timedelta(days=7),
    free=50_000_000_000,
    home="/home",
)


def test_a_healthy_system_needs_no_remedy() -> None:
    """Lost: people learn to ignore the doctor."""
    assert [verdict.remedy for verdict in judge(HEALTHY) if verdict.remedy] == []


@pytest.mark.parametrize(
    ("part", "change", "remedy"),
    [
        ("switch", {"enabled": False}, "LEO_TELEMETRY_ENABLED is false: unset it"),
        ("disk", {"free": 1_000}, "make room, or move LEO_TELEMETRY_HOME"),
        (
            "access",
            {"opened": {"anon": ["workflow_trace_log"], "PUBLIC": ["a", "b", "c"]}},
            "REVOKE ALL on them: see docs/deployment.md, On Supabase",
        ),
        ("collection", {"newest_span": None}, "leo-telemetry import FILE..."),
        ("collection", {"newest_span": NOW - timedelta(days=3)}, "check that the programs that record spans still run"),
        ("spool", {"spooled": 2}, "leo-telemetry drain"),
        ("spool", {"spool_refused": True}, "chmod 700 /home/spool, or move it away"),
        ("losses", {"losses": {"spool_disk_full": 3}}, "make room on the disk of LEO_TELEMETRY_HOME"),
        ("losses", {"losses": {"invalid": 3}}, "check which attributes the program passes"),
        ("hook", {"hooks": Hooks()}, "leo-telemetry hook install"),
        ("queue", {"waiting": (run("QUEUED", triggered_at=NOW - timedelta(hours=1)),)}, "leo-telemetry worker --once"),
        ("worker", {"hooks": Hooks()}, "leo-telemetry service install"),
        ("analysis", {"last": None, "newest": None}, "leo-telemetry analyze"),
        ("analysis", {"newest": run("FAILED", reason_code="ERROR")}, "leo-telemetry runs show r"),
        ("analysis", {"last": run(window_end=NOW - timedelta(days=9))}, "leo-telemetry analyze"),
    ],
)
def test_each_failing_part_is_named_with_its_remedy(part: str, change: dict[str, Any], remedy: str) -> None:
    """Lost: something is broken, but the doctor reports no problem."""
    verdicts = {verdict.name: verdict for verdict in judge(replace(HEALTHY, **change))}
    assert verdicts[part].remedy == remedy


def test_a_daemon_makes_the_hook_unnecessary() -> None:
    """Lost: a server without a hook is never healthy."""
    verdicts = judge(replace(HEALTHY, hooks=Hooks(), daemon=Daemon(beats=True, checks_queue=True)))
    assert [verdict.name for verdict in verdicts if verdict.remedy] == []


@pytest.mark.parametrize(
    ("daemon", "said"),
    [
        (Daemon(beats=True), "has not checked the queue"),
        (Daemon(beats=True, failing=((QUEUE_SENSOR, "no table \x1b[31m kvs"),)), f"{QUEUE_SENSOR} fails: no table"),
        (Daemon(beats=True, failing=(("the sensor daemon", "no index"),)), "the sensor daemon fails: no index"),
    ],
)
def test_a_daemon_that_only_sends_heartbeats_is_not_reported_as_working(daemon: Daemon, said: str) -> None:
    """Lost: analyses wait forever, but the doctor reports no problem."""
    [verdict] = [each for each in judge(replace(HEALTHY, daemon=daemon)) if each.name == "worker"]
    assert said in verdict.state
    assert "\x1b" not in verdict.state
    assert verdict.remedy


def test_no_worker_is_required_if_another_dagster_executes_analyses() -> None:
    """Lost: in a shared deployment, the doctor asks for a second worker."""
    verdicts = judge(replace(HEALTHY, hooks=Hooks(), executed_elsewhere=True))
    assert [verdict.name for verdict in verdicts if verdict.remedy] == []


def test_removed_attributes_are_named() -> None:
    """Lost: nobody learns why an attribute never arrives."""
    [verdict] = [each for each in judge(replace(HEALTHY, removed=(("http.url", 12),))) if each.name == "redaction"]
    assert "http.url (12)" in verdict.state
    assert verdict.remedy == ""


def test_folded_names_are_shown() -> None:
    """Lost: nobody learns why nothing is judged under the name that the program gave."""
    verdict = verdict_on("names", folded=("operation:GET /users/{id}", *(f"job:{n} {{id}}" for n in "abcdefghi")))
    assert "judged together: operation:GET /users/{id}, job:a {id}, " in verdict.state
    assert verdict.state.endswith(" and 2 more")
    assert verdict.remedy == ""


def test_rejections_are_shown_with_reasons_and_remedy() -> None:
    """Lost: a client loses spans for weeks, but the doctor reports no problem."""
    notices = (Notice("otlp", "rejected", "name is missing", 40, NOW), Notice("otlp", "rejected", "no start", 2, NOW))
    [verdict] = [each for each in judge(replace(HEALTHY, notices=notices)) if each.name == "intake"]
    assert verdict.state == "42 span(s) rejected: otlp name is missing (40), otlp no start (2)"
    assert verdict.remedy


def verdict_on(part: str, **change: Any) -> Verdict:
    """Return the verdict on one part."""
    return next(verdict for verdict in judge(replace(HEALTHY, **change)) if verdict.name == part)


def test_torn_lines_are_reported_without_a_remedy() -> None:
    """Lost: the doctor shows a red line that nothing can turn green."""
    verdict = verdict_on("losses", losses={"torn": 2})
    assert "2 torn (a program was killed while writing)" in verdict.state
    assert verdict.remedy == ""


def test_the_query_for_quarantined_lines_is_shown() -> None:
    """Lost: nobody learns why lines were quarantined."""
    verdict = verdict_on("collection", quarantined=2)
    assert 'leo-telemetry psql -c "SELECT source, line, reason FROM telemetry_quarantine"' in verdict.state
    assert verdict.remedy == ""


def test_the_other_parts_are_judged_without_a_database() -> None:
    """Lost: the spool fills the disk, but the doctor reports only the database."""
    hooks = Hooks((SettingsFile("s.json", ("leo-telemetry",), ("leo-telemetry, which is not on PATH",)),))
    here = LocalFacts(
        enabled=False, free=1_000, home="/home", spooled=2, spool_refused=False, hooks=hooks, channels=Channels()
    )
    verdicts = {verdict.name: verdict for verdict in judge_without(here, "start it")}
    assert list(verdicts) == ["switch", "database", "disk", "spool", "hook"]
    assert all(verdicts[name].remedy for name in ("switch", "database", "disk", "hook"))
    assert verdicts["spool"].state == "2 segment(s) wait for the database"


def settings_of(home: Path) -> Settings:
    """Return settings with a home."""
    return Settings({PREFIX + "HOME": str(home)})


def test_a_running_writer_is_not_a_problem(tmp_path: Path) -> None:
    """Lost: the doctor reports a problem while any durable program runs."""
    spool = Spool(folder_of(str(tmp_path)), 1_000_000)
    assert look(settings_of(tmp_path)).spooled == 0
    living, empty = spool.make_segment(), spool.make_segment()
    living.append(b"x" * 10)
    empty.close()
    assert look(settings_of(tmp_path)).spooled == 0
    living.close()
    assert waiting(str(spool.folder)) == (1, 10)
    assert look(settings_of(tmp_path)).spooled == 1


@pytest.mark.parametrize("wrong", ["a file", "for everybody"])
def test_a_spool_that_cannot_be_written_is_named(tmp_path: Path, wrong: str) -> None:
    """Lost: every span of an outage, but the doctor reports no problem."""
    folder = tmp_path / "spool"
    if wrong == "a file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    assert look(settings_of(tmp_path)).spool_refused
