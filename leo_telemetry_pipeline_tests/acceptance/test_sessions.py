"""A month of Claude Code sessions with one slowdown in it: what the commands answer, by the small form of the trial."""

from datetime import UTC, datetime

import pytest

from benchmarks import accept_sessions
from benchmarks.sessions import PLANTS, month

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("part", accept_sessions.parts(full=False))
def test_a_month_of_sessions_answers_what_is_slow_and_whether_it_works_or_waits(part: str):
    """Lost: a month of measuring, and no answer to the one question that it was for."""
    missed = [figure for figure in accept_sessions.run(part, 11, full=False) if not figure.held]
    assert missed == []


def test_the_full_trial_plants_a_slowdown_of_every_kind():
    """Lost: a kind of span that nobody would find slow, under a table that is all green."""
    kinds = {plant.span_type for plant in PLANTS.values()}
    assert kinds == {"llm", "tool", "subagent", "skill", "mcp_server", "hook"}
    assert "waiting for a person" in PLANTS
    assert accept_sessions.parts(full=True) == list(PLANTS)


def test_the_same_seed_makes_the_same_month():
    """Lost: a miss that nobody can repeat."""
    first, again = (list(month(7, MIDNIGHT, PLANTS["tool"], 2)) for _ in range(2))
    assert first == again
    assert len(first) > 1_000
    assert list(month(8, MIDNIGHT, PLANTS["tool"], 2)) != first
