"""Claude Code sessions in the output of `running`."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leo_telemetry_pipeline.actions.operations import RunningOperation, of_sessions
from leo_telemetry_pipeline.cli.running import table_of
from leo_telemetry_pipeline.sources.claude import hook_notes

NOW = 1_795_959_600.0
RECORDED = Path(__file__).parents[2] / "claude_code_hook_events.jsonl"


def notes(*events: tuple[float, dict]) -> list[dict]:
    """Return the notes of hook events, each given with its age in seconds."""
    made = []
    for ago, event in events:
        at_ns = round((NOW - ago) * 1e9)
        note = hook_notes.note({"session_id": "s1", "prompt_id": "p1", **event}, at_ns, at_ns)
        assert note is not None
        made.append({"session": "s1", **note})
    return made


def submit(ago: float, prompt: str = "do it") -> tuple[float, dict]:
    return ago, {"hook_event_name": "UserPromptSubmit", "prompt": prompt}


def agent(ago: float, event: str = "SubagentStart", key: str = "a1") -> tuple[float, dict]:
    return ago, {"hook_event_name": event, "agent_id": key, "agent_type": "Explore"}


def shown(*of: list[dict]) -> list[str]:
    """Return the lines of the table without its header."""
    return table_of(of_sessions(of, "shop", NOW)).splitlines()[1:]


def test_open_prompts_and_sub_agents_are_shown_with_their_session():
    """Lost: nobody sees what a session has been doing for ten minutes."""
    first, second = shown(notes(submit(600), agent(125)))
    assert first.split() == [
        "10",
        "min",
        "-",
        "handoff:claude_code.interaction",
        "-",
        "shop",
        *["session", "s1", "2", "min", "ago"],
    ]
    assert second.split()[:4] == ["2", "min", "-", "subagent:Explore"]


def test_finished_operations_are_not_shown():
    """Lost: the list only grows."""
    assert shown(notes(submit(600), agent(125), agent(60, "SubagentStop"), (30, {"hook_event_name": "Stop"}))) == []
    [left] = shown(notes(submit(600), agent(125), agent(60, "SubagentStop")))
    assert "handoff:claude_code.interaction" in left


def test_sessions_are_separate_and_a_silent_one_may_be_gone():
    """Lost: a killed session seems to work forever."""
    old = [{**note, "session": "s2"} for note in notes(submit(7_300))]
    lines = shown(old, notes(submit(600)))
    assert ["session s2" in line for line in lines] == [True, False]
    assert ["gone?" in line for line in lines] == [True, False]


def test_open_operations_are_available_as_data():
    """Lost: scripts that watch sessions."""
    [one] = of_sessions([notes(submit(600))], "", NOW)
    assert one == RunningOperation(
        span_type="handoff",
        span_name="claude_code.interaction",
        started_at=datetime.fromtimestamp(NOW - 600, UTC),
        open_s=600.0,
        silent_s=600.0,
        session="s1",
    )


@pytest.mark.parametrize("until", range(1, 16))
def test_a_recorded_session_is_readable_at_every_moment(until: int):
    """Lost: a person who wants to know what hangs gets a traceback."""
    lines = [json.loads(line) for line in RECORDED.read_text().splitlines()[:until]]
    made = [hook_notes.note(line["event"], line["at_ms"] * 1_000_000, line["at_ms"] * 1_000_000) for line in lines]
    found = of_sessions([[note for note in made if note]], "", NOW)
    assert table_of(found).count("\n") == len(found)
