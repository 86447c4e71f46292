"""Our hooks in a Claude Code settings file, whose other bytes must not change."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.cli.claude import claude_settings
from leo_telemetry_pipeline.cli.claude.hook_commands import hook
from leo_telemetry_pipeline.cli.processes import own_command
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources.claude import hook_notes

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

EVENTS = ("SessionStart", *claude_settings.SPAN_EVENTS)
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
    # These are not awaited, so they must not delay anything.
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
    """Lost: sub-agents without an end, or an unnecessary process per tool."""
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


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        # Python versions name different errors here, in the same line.
        ('{\n  "a": 1, }\n', 2, "double quotes|trailing comma"),
        ('{\n  // why\n  "a": 1\n}\n', 2, "a comment"),
        ('{"a": 1, /* why */ "b": 2}', 1, "a comment"),
        ("[]", 1, "not a JSON object"),
        ('{\n"hooks": []\n}', 2, '"hooks" is not an object'),
        ('{"hooks": {\n"SessionStart": {}}}', 2, '"SessionStart" is not a list'),
        ('{"hooks": {\n"Stop": 5}}', 2, '"Stop" is not a list'),
    ],
)
def test_a_file_that_cannot_be_edited_is_refused_and_unchanged(tmp_path: Path, text: str, line: int, said: str):
    """Lost: a broken file is overwritten, or the location of its error is unknown."""
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(text)
    for action in ("install", "uninstall"):
        with pytest.raises(UserError, match=rf"settings.json, line {line}: .*({said})"):
            invoke(action, "--shared", "--project", str(tmp_path))
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_installing_twice_changes_nothing_and_says_so(tmp_path: Path):
    """Lost: the second `hook install` adds a second hook."""
    assert "Wrote to" in invoke("install", "--shared", "--project", str(tmp_path))
    path = tmp_path / ".claude" / "settings.json"
    before = (path.read_bytes(), path.stat().st_ino)
    assert "nothing was changed" in invoke("install", "--shared", "--project", str(tmp_path))
    assert (path.read_bytes(), path.stat().st_ino) == before
    assert json.loads(before[0])["hooks"]["SessionStart"][0]["hooks"][0]["command"] == (
        "command -v leo-telemetry >/dev/null && leo-telemetry hook session-start || true"
    )


def test_uninstalling_leaves_no_files_in_a_project(tmp_path: Path, home: Path):
    """Lost: a clean project after a trial."""
    invoke("install", "--shared", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert list(tmp_path.iterdir()) == list(home.iterdir()) == []
    assert "nothing was changed" in invoke("uninstall", "--shared", "--project", str(tmp_path))


@pytest.mark.parametrize(
    "before",
    ["{}", "{}\n", "", " \n", "{ }", '{\n  "model": "opus"\n}\n', '{"hooks": {}}', '{"hooks": {"Stop": [ ]}}', None],
)
@pytest.mark.parametrize("spans", [(), ("--spans",)])
def test_uninstalling_restores_a_file_and_its_folder_exactly(tmp_path: Path, before: str | None, spans):
    """Lost: a user's empty file, or their folder, is removed with our hooks."""
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    if before is not None:
        path.write_text(before)
    invoke("install", "--shared", *spans, "--project", str(tmp_path))
    invoke("install", "--shared", "--spans", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert path.parent.is_dir()
    assert (path.read_text() if path.exists() else None) == before


def test_a_file_without_a_backup_stays(tmp_path: Path, home: Path):
    """Lost: a colleague's file is removed on a machine that did not create it."""
    invoke("install", "--shared", "--project", str(tmp_path))
    (home / "hook-files.json").unlink()
    assert "It stays" in invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert (tmp_path / ".claude" / "settings.json").read_text() == "{}\n"


def test_a_file_that_a_user_created_again_is_not_ours(tmp_path: Path):
    """Lost: a user's file, because ours was at the same path earlier."""
    invoke("install", "--shared", "--project", str(tmp_path))
    path = tmp_path / ".claude" / "settings.json"
    path.write_text("{}")
    invoke("install", "--shared", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert path.read_text() == "{}"


def test_settings_that_a_user_added_to_our_file_stay(tmp_path: Path):
    """Lost: a user's settings, because our installation created the file."""
    invoke("install", "--shared", "--project", str(tmp_path))
    path = tmp_path / ".claude" / "settings.json"
    path.write_text(path.read_text().replace('"hooks"', '"model": "opus",\n  "hooks"', 1))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert json.loads(path.read_text()) == {"model": "opus"}


def test_an_unwritable_home_is_reported_but_does_not_prevent_the_installation(tmp_path: Path, home: Path):
    """Lost: the installation, because of a backup that matters only for uninstalling."""
    home.write_text("a file in the folder's place, which stops root too")
    assert "uninstalling will not restore it" in invoke("install", "--shared", "--project", str(tmp_path))
    assert "It stays" in invoke("uninstall", "--shared", "--project", str(tmp_path))
    home.unlink()


def test_hooks_for_all_projects_go_to_the_user_s_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: hooks for all projects, in a file that Claude Code does not read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "elsewhere"))
    assert f"Wrote to {tmp_path}/elsewhere/settings.json" in invoke("install", "--shared", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_installing_a_shared_hook_warns_if_the_program_is_not_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: weeks without a span."""
    empty, environment = tmp_path / "empty", tmp_path / "venv"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    folder = Path(sys.executable).parent
    said = invoke("install", "--shared", "--project", str(tmp_path))
    assert f"leo-telemetry is not on PATH, so this hook does nothing: put {folder} on PATH, or" in said
    own_command = environment / "bin" / "leo-telemetry"
    own_command.parent.mkdir(parents=True)
    own_command.write_text("#!/bin/sh\n")
    own_command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{own_command.parent}{os.pathsep}{empty}")
    monkeypatch.setenv("VIRTUAL_ENV", str(environment))
    assert f"only while the virtual environment {environment} is active" in invoke(
        "install", "--shared", "--project", str(tmp_path)
    )
    monkeypatch.setenv("PATH", f"{own_command.parent}{os.pathsep}{empty}")
    monkeypatch.delenv("VIRTUAL_ENV")
    assert "PATH" not in invoke("install", "--shared", "--project", str(tmp_path))
    assert "on PATH" not in invoke("install", "--project", str(tmp_path))


def test_installing_warns_if_all_hooks_are_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: an installation that never records a span."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text('{"disableAllHooks": true}')
    for _ in range(2):
        assert f'No hook runs: "disableAllHooks" in {path} switches all' in invoke(
            "install", "--project", str(tmp_path)
        )


def test_span_hooks_are_installed_on_request_and_stay_until_uninstalled(tmp_path: Path):
    """Lost: a later plain `hook install` removes the span hooks."""
    path = tmp_path / ".claude" / "settings.json"
    arguments = ("--shared", "--project", str(tmp_path))
    assert "hook install --spans" in invoke("install", *arguments)
    assert list(json.loads(path.read_text())["hooks"]) == ["SessionStart"]
    assert "PostToolUse, " in invoke("install", "--spans", *arguments)
    installed = path.read_text()
    assert list(json.loads(installed)["hooks"]) == list(EVENTS)
    path.write_text(
        re.sub(r"command -v leo-telemetry [^|]*(leo-telemetry hook [a-z-]+) \|\| true", r"/old/\1", installed)
    )
    assert "/old/leo-telemetry hook span" in path.read_text()
    invoke("install", *arguments)
    assert path.read_text() == installed
    assert "nothing was changed" in invoke("install", "--spans", *arguments)
    invoke("uninstall", *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "token", "endpoint", "headers"),
    [
        ("127.0.0.1", "", "http://127.0.0.1:4444/v1/traces", None),
        ("0.0.0.0", "a b,c=d'e", "http://127.0.0.1:4444/v1/traces", "Authorization=Bearer%20a%20b%2Cc%3Dd%27e"),
        ("::", "", "http://[::1]:4444/v1/traces", None),
    ],
)
def test_the_printed_environment_reaches_our_receiver(
    monkeypatch: pytest.MonkeyPatch, host: str, token: str, endpoint: str, headers: str | None
):
    """Lost: users of OpenTelemetry have to find five variables themselves."""
    for name, value in {"HOST": host, "PORT": "4444", "TOKEN": token}.items():
        monkeypatch.setenv(f"LEO_TELEMETRY_SERVE_{name}", value)
    shell = ["sh", "-c", 'eval "$1"; env', "sh", invoke("otel")]
    seen = dict(line.split("=", 1) for line in subprocess.check_output(shell, text=True, env={}).splitlines())
    assert seen["CLAUDE_CODE_ENABLE_TELEMETRY"] == seen["CLAUDE_CODE_ENHANCED_TELEMETRY_BETA"] == "1"
    assert seen["OTEL_LOG_TOOL_DETAILS"] == "1"
    for signal in ("traces", "logs"):
        assert seen[f"OTEL_{signal.upper()}_EXPORTER"] == "otlp"
        assert seen[f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"] == "http/protobuf"
        assert seen[f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"] == endpoint.replace("traces", signal)
        assert seen.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_HEADERS") == headers


def test_local_settings_use_the_absolute_path_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: a session outside the virtual environment does not find the program."""
    made = tmp_path / "my bin" / "leo-telemetry"
    made.parent.mkdir()
    made.touch()
    monkeypatch.setattr(sys, "executable", str(made.with_name("python")))
    monkeypatch.chdir(tmp_path)
    said = invoke("install")
    written = json.loads((tmp_path / ".claude" / "settings.local.json").read_text())
    assert written == {"hooks": {"SessionStart": [{"hooks": [hook_of(f"'{made}' hook session-start")]}]}}
    assert f"leo-telemetry hook uninstall --project {tmp_path}" in said


def test_installing_without_the_program_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: a hook that can never run is installed silently."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="install the package"):
        own_command.find()


def test_a_linked_file_is_changed_at_its_target_and_keeps_its_mode(tmp_path: Path):
    """Lost: version-controlled dotfiles lose their link, or become readable by others."""
    real = tmp_path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text("{}")
    real.chmod(0o600)
    link = tmp_path / "project" / ".claude" / "settings.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    invoke("install", "--shared", "--project", str(tmp_path / "project"))
    assert link.is_symlink()
    assert "SessionStart" in json.loads(real.read_text())["hooks"]
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    invoke("uninstall", "--shared", "--project", str(tmp_path / "project"))
    assert link.is_symlink()
    assert real.read_text() == "{}"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    """Lost: a traceback instead of the path."""
    (tmp_path / ".claude").write_text("a file in the folder's place, which stops root too")
    with pytest.raises(UserError, match=r"settings\.json cannot be changed"):
        invoke("install", "--shared", "--project", str(tmp_path))


def hook_of(command: str) -> dict[str, object]:
    """Return the settings entry for a command of ours."""
    return {"type": "command", "command": command, "timeout": 10}


def invoke(*arguments: str) -> str:
    """Run ``leo-telemetry hook ...`` and return what it prints; its errors are raised."""
    return CliRunner().invoke(hook, arguments, catch_exceptions=False).output
