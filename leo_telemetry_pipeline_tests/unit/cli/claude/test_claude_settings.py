"""Our hooks in a Claude Code settings file, whose other bytes must not change."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.cli.claude import claude_settings
from leo_telemetry_pipeline.sources.claude import hook_notes
from leo_telemetry_pipeline_tests.unit.cli.claude.hook_command import EVENTS

COMMAND = "/opt/venv/bin/leo-telemetry hook session-start"
OLDER = "/home/me/old/bin/leo-telemetry hook session-start"
OURS = {"hooks": [{"type": "command", "command": COMMAND, "timeout": 10}]}
THEIRS = """\
{
    "permissions": {"allow": ["Bash(ls:*)", "Read"], "deny": []},
    "größe": 1.50,
    "escaped": "\\u00e9\\/",
    "hooks": {
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "check"}]}],
        "SessionStart": [
            {
                "matcher": "startup",
                "hooks": [
                    {"type": "command", "command": "cat notes.md", "unknown": null}
                ]
            }
        ]
    },
    "model": "opus"
}
"""

names = st.text(max_size=6).filter(lambda text: text not in ("hooks", *EVENTS))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
hooks = st.dictionaries(names, values, min_size=1, max_size=3)
manners = st.sampled_from(
    [
        {"indent": 2},
        {"indent": 4},
        {"indent": "\t"},
        {},
        {"separators": (",", ":")},
        {"indent": 1, "ensure_ascii": False},
    ]
)


@given(st.dictionaries(names, values, max_size=4), st.none() | hooks, manners, st.sampled_from(["\n", "\r\n"]))
def test_uninstalling_restores_every_byte(others, theirs, manner, newline):
    """Lost: a user's settings are reformatted, reordered or damaged for one added line."""
    before = others | ({"hooks": theirs} if theirs else {})
    text = (json.dumps(before, **manner) + "\n").replace("\n", newline)
    with_ours = claude_settings.add(text, COMMAND)
    assert json.loads(with_ours) == before | {"hooks": (theirs or {}) | {"SessionStart": [OURS]}}
    assert claude_settings.add(with_ours, COMMAND) == with_ours
    assert claude_settings.remove(with_ours) == text


@given(
    st.dictionaries(names, values, max_size=4),
    st.none() | hooks,
    st.lists(st.sampled_from(EVENTS), unique=True),
    manners,
    st.sampled_from(["\n", "\r\n"]),
)
def test_hooks_for_many_events_are_added_and_removed_without_a_trace(others, theirs, events, manner, newline):
    """Lost: a user's settings are damaged by the hooks that measure sub-agents and tools."""
    before = others | ({"hooks": theirs} if theirs else {})
    text = (json.dumps(before, **manner) + "\n").replace("\n", newline)
    with_ours = text
    for event in sorted(events, key=EVENTS.index):
        with_ours = claude_settings.add(with_ours, claude_settings.command("/bin/leo-telemetry", event), event)
    assert [event for event in EVENTS if claude_settings.has(with_ours, event)] == sorted(events, key=EVENTS.index)
    added = {event: entries for event, entries in json.loads(with_ours).get("hooks", {}).items() if event in events}
    words = {event: entries[0]["hooks"][0]["command"].split()[1:] for event, entries in added.items()}
    assert words == {event: ["hook", "session-start" if event == "SessionStart" else "span"] for event in events}
    assert claude_settings.remove(with_ours) == text


def test_a_user_s_hooks_of_other_events_stay_in_place():
    """Lost: a user's own check before each tool."""
    wanted = claude_settings.command("/opt/leo-telemetry", "PostToolUse")
    theirs = THEIRS.replace("PreToolUse", "PostToolUse")
    with_ours = claude_settings.add(theirs, wanted, "PostToolUse")
    check, ours = json.loads(with_ours)["hooks"]["PostToolUse"]
    assert check == {"matcher": "Bash", "hooks": [{"type": "command", "command": "check"}]}
    # Claude Code does not await these hooks, so they must not delay anything.
    assert ours == {"hooks": [{"type": "command", "command": wanted, "timeout": 10, "async": True}]}
    assert claude_settings.remove(with_ours) == theirs


def test_hooks_that_claude_code_does_not_await_are_not_async():
    """Lost: the end of each prompt of `claude -p`, which exits right after it."""
    text = "{}"
    for event in EVENTS:
        text = claude_settings.add(text, claude_settings.command("leo-telemetry", event), event)
    awaited = {event for event, [entry] in json.loads(text)["hooks"].items() if "async" not in entry["hooks"][0]}
    assert awaited == {"SessionStart", "Stop", "StopFailure", "SessionEnd"}


def test_exactly_the_events_that_form_spans_are_hooked():
    """Lost: sub-agents have no end, or every tool starts an unnecessary process."""
    assert sorted(claude_settings.SPAN_EVENTS) == sorted(hook_notes.EVENTS)


def test_other_session_start_hooks_stay():
    """Lost: the other SessionStart hooks of a project."""
    with_ours = claude_settings.add(THEIRS, COMMAND)
    assert json.loads(with_ours)["hooks"]["SessionStart"] == [
        *json.loads(THEIRS)["hooks"]["SessionStart"],
        OURS,
    ]
    assert with_ours.startswith(THEIRS[: THEIRS.index("            }\n        ]") + len("            }")] + ",\n")
    assert claude_settings.remove(with_ours) == THEIRS


def test_added_text_is_indented_like_the_file():
    """Lost: a consistently formatted settings file."""
    text = claude_settings.add('{\n\t"model": "opus"\n}', COMMAND)
    assert text == json.dumps({"model": "opus", "hooks": {"SessionStart": [OURS]}}, indent="\t")


def test_only_an_outdated_path_of_our_hook_is_replaced():
    """Lost: after the installation moves, each session calls a missing program."""
    mine = '{"hooks": {"SessionStart": [{"matcher": "startup", "hooks": [{"command": "%s", "timeout": 3}]}]}}'
    assert claude_settings.add(mine % OLDER, COMMAND) == mine % COMMAND


def test_duplicate_hooks_of_ours_are_merged():
    """Lost: each session runs the hook twice."""
    entries = [{"hooks": [{"type": "command", "command": text, "timeout": 10}]} for text in (OLDER, COMMAND, OLDER)]
    text = claude_settings.add(json.dumps({"hooks": {"SessionStart": entries}}), COMMAND)
    assert json.loads(text) == {"hooks": {"SessionStart": [OURS]}}


@pytest.mark.parametrize(
    "of", ["leo-telemetry", OLDER.split()[0], "command -v leo-telemetry >/dev/null && leo-telemetry"]
)
def test_every_earlier_form_of_our_hook_is_replaced_and_removed(of: str):
    """Lost: after an upgrade, the old form stays, and every span is built twice."""
    older = f"{of} hook session-start" + (" || true" if "&&" in of else "")
    text = json.dumps({"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": older, "timeout": 10}]}]}})
    shared = claude_settings.command("leo-telemetry")
    assert json.loads(claude_settings.add(text, shared)) == {
        "hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": shared, "timeout": 10}]}]}
    }
    assert claude_settings.remove(text) == "{}"


@pytest.mark.parametrize("event", EVENTS)
def test_a_shared_hook_is_silent_without_the_program(tmp_path: Path, event: str):
    """Lost: colleagues without the program get an error per event."""
    command = ["/bin/sh", "-c", claude_settings.command("leo-telemetry", event)]
    run = subprocess.run(command, capture_output=True, env={"PATH": str(tmp_path)})
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    own_command = tmp_path / "leo-telemetry"
    own_command.write_text('#!/bin/sh\necho "$@"; exit 3\n')
    own_command.chmod(0o755)
    run = subprocess.run(command, capture_output=True, env={"PATH": str(tmp_path)}, text=True)
    assert (run.returncode, run.stdout) == (0, "hook session-start\n" if event == "SessionStart" else "hook span\n")


@pytest.mark.parametrize(
    "command",
    [
        f"nice {COMMAND}",
        f"{COMMAND} --verbose",
        "leo-telemetry doctor",
        "command -v leo-telemetry >/dev/null && leo-telemetry hook session-start || echo gone",
        "command -v other >/dev/null && leo-telemetry hook session-start || true",
        "'",
        7,
        None,
    ],
)
def test_a_command_that_a_user_wrote_is_not_ours(command):
    """Lost: a user's similar hook is replaced or removed."""
    text = json.dumps({"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": command}]}]}})
    assert claude_settings.remove(text) == text


def test_an_entry_with_a_matcher_stays_when_our_hook_in_it_is_removed():
    """Lost: an entry that we did not create."""
    entry = {"matcher": "startup", "hooks": [{"type": "command", "command": COMMAND}]}
    text = claude_settings.remove(json.dumps({"hooks": {"SessionStart": [entry]}}))
    assert json.loads(text) == {"hooks": {"SessionStart": [{"matcher": "startup", "hooks": []}]}}


def test_a_path_with_spaces_is_quoted():
    """Lost: the shell runs only the first part of the path."""
    assert claude_settings.command("/my env/leo-telemetry") == "'/my env/leo-telemetry' hook session-start"
