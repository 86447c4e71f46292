"""The real Claude Code, by hooks, by OpenTelemetry and by both at once: what happened is stored, each event once.

A local fake of its API decides what the model says, so the test knows what happened. The program comes from npm,
checked by
hash; `make newest` tries the newest version by hand.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests import npm
from leo_telemetry_pipeline_tests.claude import playing, program, scenarios, stored, truth
from leo_telemetry_pipeline_tests.claude.playing import Played
from leo_telemetry_pipeline_tests.processes import sees_processes

pytestmark = sees_processes

# Ten times the limit of `make accept`, which is for a quiet machine, scaled by how much slower this machine is.
LIMIT_S = 0.5


@pytest.fixture(scope="module")
def claude() -> Path:
    """Return the program of the tested version."""
    with npm.or_skip():
        return program.tested()


@pytest.fixture(scope="module")
def play_all(claude: Path) -> Callable[[Sequence[str]], Mapping[str, dict[str, Played] | BaseException]]:
    """Return a function that plays every scenario once for all ways that measure the same sessions."""
    return functools.cache(lambda ways: playing.play_all(scenarios.ALL, ways, claude))


@pytest.fixture(params=[(way, scenario.__name__) for way in truth.WAYS for scenario in scenarios.ALL], ids="-".join)
def played(
    request: pytest.FixtureRequest,
    play_all: Callable[[Sequence[str]], Mapping[str, dict[str, Played] | BaseException]],
) -> Played:
    """Return a scenario as played and measured by one of the ways."""
    way, name = request.param
    outcome = play_all(next(ways for ways in truth.SIDE_BY_SIDE if way in ways))[name]
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome[way]


def test_every_event_is_stored_once(played: Played):
    """Lost: a prompt, tool or sub-agent is missing, stored twice, or has another's name."""
    assert stored.shapes_of_rows(played.rows) == stored.shapes_of_facts(played.visible())


def test_durations_are_those_that_the_model_saw(played: Played):
    """Lost: nobody sees what is slow, because a sub-agent has the duration of its launch or a prompt ends too early."""
    off = [
        deviation
        for deviation in stored.outside_bounds(played.matched())
        if deviation.seconds > LIMIT_S * played.slowness
    ]
    assert off == []


def test_tools_take_as_long_as_claude_code_says(played: Played):
    """Lost: the working time of a tool, if it includes the wait for a person."""
    tools = ("tool", "skill")
    off = [
        deviation
        for deviation in stored.off_reports(played.matched(), played.reported, tools)
        if deviation.seconds > LIMIT_S * played.slowness
    ]
    assert off == []


def test_requests_waits_and_commands_come_by_opentelemetry(played: Played):
    """Lost: nobody sees whether a session waited for the model or a person, or how long compaction takes."""
    wanted = [fact for fact in played.visible() if fact.type in stored.EXPORTED]
    matched = played.matched(stored.EXPORTED)
    assert len(matched) == len(wanted)
    assert not wanted or played.way in truth.EXPORTED
    assert [row for fact, row in matched if fact.type != "wait" and fact.status != row.status] == []
    assert [off for off in stored.outside_bounds(matched) if off.seconds > LIMIT_S * played.slowness] == []


def test_no_word_of_a_conversation_is_kept(played: Played):
    """Lost: conversations are visible to everyone who may see durations."""
    assert played.rows
    for word in ("<<", "sleep", "touch", "notes.txt", "as planned", "noted", "Deploy it", "Tidy up"):
        assert word not in played.text


def test_claude_code_has_nothing_to_complain_about(played: Played):
    """Lost: errors of an exporter or hook fill the user's terminal."""
    assert played.refusals == ()
    assert played.complaints == ""
