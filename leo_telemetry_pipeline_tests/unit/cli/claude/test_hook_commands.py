"""`leo-telemetry hook`: installs and uninstalls our hooks, and says what it did."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline.cli.processes import own_command
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline_tests.unit.cli.claude.hook_command import EVENTS, invoke


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


def test_hooks_for_all_projects_go_to_the_user_s_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: hooks for all projects go to a file that Claude Code does not read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "elsewhere"))
    assert f"Wrote to {tmp_path}/elsewhere/settings.json" in invoke("install", "--shared", "--project", str(tmp_path))
    invoke("uninstall", "--shared", "--project", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_installing_a_shared_hook_warns_if_the_program_is_not_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: nothing is measured for weeks."""
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
    """Lost: an installation never records a span."""
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
    """Lost: users get a traceback instead of the path."""
    (tmp_path / ".claude").write_text("a file in the folder's place, which stops root too")
    with pytest.raises(UserError, match=r"settings\.json cannot be changed"):
        invoke("install", "--shared", "--project", str(tmp_path))


def hook_of(command: str) -> dict[str, object]:
    """Return the settings entry for a command of ours."""
    return {"type": "command", "command": command, "timeout": 10}
