"""A month of Claude Code sessions with one slowdown, and the commands' answers: a small run of the acceptance trial."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import accept_models, accept_sessions
from benchmarks.sessions import PLANTS, month
from leo_telemetry_pipeline.cli import commands
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Database

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("part", accept_sessions.parts(full=False))
def test_a_month_of_sessions_answers_what_is_slow_and_whether_it_works_or_waits(
    part: str, settings: Settings, db: Database
):
    """Lost: a month of measurements does not show what is slow."""
    missed = [figure for figure in accept_sessions.judged(part, 11, False, db, ask) if not figure.held]
    assert missed == []


@pytest.mark.parametrize("part", accept_models.parts(full=False))
def test_a_slow_model_that_only_hooks_measure_is_one_item_with_its_name(part: str, settings: Settings, db: Database):
    """Lost: four items about a prompt and its sub-agents, and none of them says that the model is slow."""
    assert [figure for figure in accept_models.judged(part, 14, db, ask) if not figure.held] == []


def test_the_full_trial_plants_a_slowdown_of_every_kind():
    """Lost: slowdowns of one kind of span are not found, although all results are green."""
    kinds = {plant.span_type for plant in PLANTS.values()}
    assert kinds == {"llm", "tool", "subagent", "skill", "mcp_server", "hook"}
    assert "waiting for a person" in PLANTS
    assert accept_sessions.parts(full=True) == list(PLANTS)


def test_the_same_seed_makes_the_same_month():
    """Lost: nobody can reproduce a failure."""
    first, again = (list(month(7, MIDNIGHT, PLANTS["tool"], 2)) for _ in range(2))
    assert first == again
    assert len(first) > 1_000
    assert list(month(8, MIDNIGHT, PLANTS["tool"], 2)) != first


def ask(*words: str) -> Any:
    """Run a command in this process, which saves the import of Dagster, and return its JSON output."""
    done = CliRunner().invoke(commands.cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
