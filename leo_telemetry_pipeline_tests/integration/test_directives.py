"""Directives on a real database: drafted after analyses, decided on by people, ended by measurement."""

import json
from contextlib import nullcontext
from dataclasses import fields
from datetime import timedelta
from typing import Any

import dagster as dg
import psycopg2
import pytest

from leo_telemetry_pipeline import execution
from leo_telemetry_pipeline.actions import directive_steps
from leo_telemetry_pipeline.definitions import defs
from leo_telemetry_pipeline.defs.lifecycle import how_it_ended
from leo_telemetry_pipeline.defs.names import INSIGHTS_JOB, asset_key
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import directives, items
from leo_telemetry_pipeline.store.directives import Directive, DirectiveContent
from leo_telemetry_pipeline.store.items import SYSTEM, Transition
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import (
    QUIET,
    analyse,
    configure,
    dagster_records,
    execute,
    insert,
    midnight,
    one,
    row_of,
    spans_of,
)
from leo_telemetry_pipeline_tests.directive_rules import broken_in_plan, broken_in_proposal
from leo_telemetry_pipeline_tests.in_process import refused, say

pytestmark = pytest.mark.usefixtures("settings")

KEY = "SD-LEO-FIX-PERF-GATE-SLOW-001"
DECIDED = ("--by", "ada", "--reason", "agreed")


def slow_days(db: Database) -> None:
    """Store ten days of a gate that takes ten times its configured baseline and costs an hour per week."""
    for days_ago in range(10, 0, -1):
        at = midnight(days_ago) + timedelta(hours=9)
        insert(db, spans_of("gate", "SLOW", [60_000] * 10, at=at))
    configure(db, "gate", "SLOW", 6000, 2.0)


def analysed(db: Database, days_ago: int) -> None:
    """Analyse the week before a midnight; it must succeed."""
    run = row_of(db, analyse({"leo_telemetry/window_end": midnight(days_ago).isoformat()}))
    assert run.status == "SUCCEEDED", run.error_detail


def followed(*more: str) -> dict[str, Any]:
    """Materialize the asset in its job, and return its metadata and the outcome of its check."""
    job, instance = defs.resolve_job_def(INSIGHTS_JOB), dagster_records()
    result = job.execute_in_process(
        instance=instance, run_config=QUIET, asset_selection=[asset_key("directives")], raise_on_error=False
    )
    assert result.success, how_it_ended(instance, result.run_id)
    [check] = result.get_asset_check_evaluations()
    [event] = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items()} | {"passed": check.passed}


def drafted(db: Database) -> Directive:
    """Return the only directive, drafted after two analyses."""
    slow_days(db)
    analysed(db, 2)
    analysed(db, 0)
    directive_steps.follow(db, Settings())
    [made] = directives.all_directives(db)
    return made


def statuses(db: Database) -> tuple[str, str]:
    """Return the status of the only directive and of the only item."""
    [directive], [item] = directives.all_directives(db), items.all_items(db)
    return directive.status, item.status


def measured(db: Database, to: str, reason: str) -> None:
    """Move the only item as an analysis would."""
    [item] = items.all_items(db)
    step = Transition(item.id, item.status, to, item.status_since, midnight(), SYSTEM, reason, effect={"after_ms": 1.0})
    with db.transaction() as cursor:
        assert items.move(cursor, step)


def test_an_item_seen_by_analyses_of_two_days_gets_one_draft(db: Database):
    """Lost: nobody drafts the work, or it is drafted again after every analysis."""
    slow_days(db)
    analysed(db, 2)
    assert followed()["drafted"] == 0
    analysed(db, 0)
    assert followed()["drafted"] == 1
    made = followed()
    assert (made["drafted"], made["live"], made["passed"]) == (0, 1, True)
    [directive] = directives.all_directives(db)
    [item] = items.all_items(db)
    assert (directive.sd_key, directive.sd_code_user_facing, directive.status) == (KEY, KEY, "draft")
    assert (directive.current_phase, directive.item_ids) == ("LEAD", [item.id])
    assert f"| {KEY} | draft | critical | ``Make `gate:SLOW` fast again: it takes 10x as long" in made["directives"]
    [event] = directives.events(db, directive.id)
    assert (event.from_status, event.to_status, event.actor) == (None, "draft", SYSTEM)


def test_the_command_that_analyses_drafts_too(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: directives, for those who run analyses from cron or by hand instead of a daemon."""
    # Dagster's own tables are not behind every pooler.
    monkeypatch.setattr(execution, "instance", lambda *_: nullcontext(dagster_records()))
    slow_days(db)
    analysed(db, 2)
    assert "gate:SLOW" in say("analyze")
    assert [made.sd_key for made in directives.all_directives(db)] == [KEY]

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(directive_steps, "follow", fail)
    assert "gate:SLOW" in say("analyze")


def test_the_exports_of_a_stored_directive_satisfy_the_importer(db: Database):
    """Lost: what the importer takes would only be right before it was stored."""
    made = drafted(db)
    assert broken_in_proposal(json.loads(say("directives", "export", KEY, "--format", "leo-proposal"))) == []
    row = json.loads(say("directives", "export", KEY, "--format", "json"))
    assert broken_in_plan(say("directives", "export", KEY, "--format", "leo-plan"), row) == []
    assert say("directives", "export", KEY, "--format", "md").startswith("# Make `gate:SLOW` fast again")
    assert say("directives", "show", KEY).splitlines()[-1].endswith(f"drafted from item {made.item_ids[0]}")
    [line] = [line for line in say("directives").splitlines() if line.startswith(KEY)]
    assert line.split()[1:4] == ["draft", "critical", "1"]
    assert [row["sd_key"] for row in json.loads(say("directives", "list", "--json"))] == [KEY]


def test_people_move_a_directive_and_its_item_and_only_a_measurement_completes_it(db: Database):
    """Lost: a directive says one thing and its item another, or someone's word closes both."""
    made = drafted(db)
    assert say("directives", "approve", KEY, *DECIDED).startswith(f"{KEY} is active: ")
    assert statuses(db) == ("active", "IN_PROGRESS")
    say("directives", "start", KEY, *DECIDED)
    assert statuses(db) == ("in_progress", "IN_PROGRESS")
    say("directives", "done", KEY, *DECIDED)
    assert statuses(db) == ("review", "VERIFYING")
    assert directive_steps.follow(db, Settings()) == directive_steps.Followed((), ())

    measured(db, "RESOLVED", "Fast again, measured: P50 60s before, 6s since")
    assert directive_steps.follow(db, Settings()).settled == ((KEY, "Fast again, measured: P50 60s before, 6s since"),)
    assert statuses(db) == ("completed", "RESOLVED")
    [ended] = directives.all_directives(db)
    [outcome] = ended.metadata["outcome"]["items"]
    assert (outcome["status"], outcome["effect"]) == ("RESOLVED", {"after_ms": 1.0})
    assert [(one.to_status, one.actor, one.reason) for one in directives.events(db, made.id)][1:] == [
        ("active", "ada", "agreed"),
        ("in_progress", "ada", "agreed"),
        ("review", "ada", "agreed"),
        ("completed", SYSTEM, "Fast again, measured: P50 60s before, 6s since"),
    ]
    assert [one.reason for one in items.events(db, made.item_ids[0])][1:3] == [
        f"{KEY} is active: agreed",
        f"{KEY} is review: agreed",
    ]


def test_a_change_without_effect_takes_the_directive_back_to_work(db: Database):
    """Lost: a useless fix counts as done."""
    drafted(db)
    for step in ("approve", "done"):
        say("directives", step, KEY, *DECIDED)
    measured(db, "OPEN", "The fix did not help: P50 60s before, 59s since")
    assert directive_steps.follow(db, Settings()).settled == ((KEY, "The fix did not help: P50 60s before, 59s since"),)
    assert statuses(db) == ("in_progress", "OPEN")
    say("directives", "done", KEY, *DECIDED)
    assert statuses(db) == ("review", "VERIFYING")


def test_a_step_that_the_status_does_not_allow_gives_one_line_and_changes_nothing(db: Database):
    """Lost: a traceback, or a draft that is done before anybody agreed to it."""
    drafted(db)
    assert refused("directives", "done", KEY) == f"{KEY} is draft: it can be approved or cancelled, not done"
    assert refused("directives", "start", KEY) == f"{KEY} is draft: it can be approved or cancelled, not started"
    say("directives", "cancel", KEY, *DECIDED)
    assert refused("directives", "cancel", KEY) == f"{KEY} is cancelled already"
    assert refused("directives", "approve", KEY) == f"{KEY} is cancelled, which is final"
    assert refused("directives", "show", "SD-X") == "There is no directive SD-X: `leo-telemetry directives` lists them"
    assert statuses(db) == ("cancelled", "OPEN")


def test_two_people_who_decide_at_once_are_not_told_a_reason_that_is_wrong(db: Database):
    """Lost: "cannot be approved" for a draft, which the second of two people takes for a fault."""
    made, (item,) = drafted(db), items.all_items(db)
    say("items", "ack", item.id)
    say("directives", "approve", KEY, *DECIDED)
    with pytest.raises(UserError, match="changed by someone else meanwhile"):
        directive_steps.decide(db, made, directive_steps.DECISIONS["approve"], "bob", "me too", midnight())
    assert [event.actor for event in directives.events(db, made.id)] == [SYSTEM, "ada"]


def test_an_item_whose_directive_was_cancelled_gets_another_one_with_the_next_number(db: Database):
    """Lost: one refusal silences an item forever."""
    drafted(db)
    say("directives", "cancel", KEY, *DECIDED)
    assert directive_steps.follow(db, Settings()).drafted == (KEY.replace("001", "002"),)
    assert directive_steps.follow(db, Settings()).drafted == ()


def test_a_dismissed_item_cancels_its_directive(db: Database):
    """Lost: work on a false alarm stays in everyone's list."""
    made = drafted(db)
    say("items", "dismiss", made.item_ids[0], "--by", "ada")
    assert directive_steps.follow(db, Settings()).settled == ((KEY, "The items ended without a fix: DISMISSED"),)
    assert statuses(db) == ("cancelled", "DISMISSED")


def test_the_check_warns_of_a_directive_that_nothing_can_complete(db: Database):
    """Lost: a directive whose items are gone stays live unnoticed."""
    drafted(db)
    assert directives.without_active_items(db) == []
    execute(db, "DELETE FROM continuous_improvements")
    assert directives.without_active_items(db) == [KEY]
    made = followed()
    assert (made["settled"], made["passed"]) == (1, True)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ("status = 'completed'", "cannot go from draft to completed"),
        ("status = 'finished'", "violates check constraint|cannot go from"),
        ("priority = 'urgent'", "violates check constraint"),
        ("description = 'short'", "violates check constraint"),
        ("scope = description", "violates check constraint"),
        ("success_criteria = '[{}]'", "violates check constraint"),
        ("strategic_objectives = '[]'", "violates check constraint"),
        ("sd_key = 'PERF-1'", "violates check constraint"),
    ],
)
def test_the_database_keeps_the_rules_of_a_directive(db: Database, change: str, refusal: str):
    """Lost: plain SQL could store a row that LEO cannot take over."""
    drafted(db)
    with pytest.raises(psycopg2.errors.CheckViolation, match=refusal):
        execute(db, f"UPDATE strategic_directives SET {change}")


def test_sql_cannot_complete_a_directive_without_an_outcome_or_give_an_item_two(db: Database):
    """Lost: "completed" would mean that someone said so."""
    made = drafted(db)
    execute(db, "UPDATE strategic_directives SET status = 'active'")
    with pytest.raises(psycopg2.errors.CheckViolation, match="strategic_directives_check"):
        execute(db, "UPDATE strategic_directives SET status = 'completed'")
    [*_, event] = directives.events(db, made.id)
    assert (event.to_status, event.reason) == ("active", "changed by SQL")
    with db.transaction() as cursor:
        assert directives.add(cursor, "SD-LEO-FIX-PERF-X", made, made.item_ids) is None
    columns = ", ".join(field.name for field in fields(DirectiveContent))
    as_active = f"INSERT INTO strategic_directives (sd_key, status, {columns}) SELECT 'SD-X-001', 'active', {columns}"
    with pytest.raises(psycopg2.errors.CheckViolation, match="begins as draft"):
        execute(db, f"{as_active} FROM strategic_directives")
    assert one(db, "SELECT count(*) FROM strategic_directives") == 1


def test_a_failure_of_the_asset_leaves_the_analysis_run_unchanged(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: an error in a text would end analyses."""
    slow_days(db)
    analysed(db, 0)
    before = db.rows("SELECT * FROM telemetry_analysis_runs")

    def fails(*_: object) -> None:
        raise RuntimeError("no words")

    monkeypatch.setattr(directive_steps, "follow", fails)
    job = defs.resolve_job_def(INSIGHTS_JOB)
    instance: dg.DagsterInstance = dagster_records()
    result = job.execute_in_process(
        instance=instance, run_config=QUIET, asset_selection=[asset_key("directives")], raise_on_error=False
    )
    assert not result.success
    assert db.rows("SELECT * FROM telemetry_analysis_runs") == before
