"""Diagnosis of installed hooks; the precedence of files was checked with Claude Code 2.1.332."""

import json
import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline.cli.claude import claude_settings
from leo_telemetry_pipeline.cli.claude.installed_hooks import Hooks, judge, look, managed_files
from leo_telemetry_pipeline.cli.verdicts import Verdict


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a project, and a home of the user next to it."""
    (tmp_path / "home" / ".claude").mkdir(parents=True)
    (tmp_path / "project" / ".claude").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    return tmp_path / "project"


def made(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    """Create a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def write(path: Path, program: Path | str | None = None, **values: object) -> Path:
    """Write a settings file, optionally with our hook for a program."""
    text = json.dumps(values)
    path.write_text(claude_settings.add(text, claude_settings.command(str(program))) if program else text)
    return path


def place_of(project: Path, which: str) -> Path:
    """Return the path of a settings file."""
    folder = project.parent / "home" if which == "user" else project
    return folder / ".claude" / ("settings.local.json" if which == "local" else "settings.json")


def found(project: Path) -> Hooks:
    """Examine a project on a machine without managed settings."""
    return look(project, [])


def faults(project: Path) -> list[Verdict]:
    """Return the verdicts with a remedy."""
    return [verdict for verdict in judge(found(project), False) if verdict.remedy]


@pytest.mark.parametrize(
    ("switches", "off"),
    [
        ({}, None),
        ({"user": True}, "user"),
        ({"user": True, "shared": False}, None),
        ({"user": True, "local": False}, None),
        ({"user": False, "shared": True}, "shared"),
        ({"local": True}, "local"),
        ({"local": False, "shared": True, "user": True}, None),
        # Claude Code ignores the whole file.
        ({"local": "true"}, None),
        ({"local": 1, "user": True}, "user"),
    ],
)
def test_the_nearest_file_with_the_switch_decides(project: Path, switches: dict, off: str):
    """Lost: hooks that never run seem fine, or the reverse."""
    write(place_of(project, "local"), made(project / "bin" / "leo-telemetry"))
    for which, value in switches.items():
        write(place_of(project, which), made(project / "bin" / "leo-telemetry"), disableAllHooks=value)
    hooks = found(project)
    assert hooks.off == ((str(place_of(project, off)), "disableAllHooks") if off else None)
    if off:
        first = judge(hooks, False)[0]
        assert first.state == f'switched off by "disableAllHooks" in {place_of(project, off)}'
        assert first.remedy.startswith(f'remove "disableAllHooks" from {place_of(project, off)}, or measure with')
        assert not hooks.run


@pytest.mark.parametrize("word", ["disableAllHooks", "allowManagedHooksOnly"])
@pytest.mark.parametrize("name", ["managed-settings.json", "managed-settings.d/10-hooks.json"])
def test_an_administrator_s_switch_overrides_the_project(project: Path, word: str, name: str):
    """Lost: hours of searching one's own files for the reason."""
    write(place_of(project, "local"), made(project / "bin" / "leo-telemetry"), disableAllHooks=False)
    (project / "etc" / "managed-settings.d").mkdir(parents=True)
    (project / "etc" / name).write_text(json.dumps({word: True}))
    hooks = look(project, managed_files(project / "etc"))
    assert hooks.off == (str(project / "etc" / name), word)
    assert "the administrator of this machine" in judge(hooks, True)[0].remedy
    # A project's own file may not contain this.
    write(place_of(project, "local"), made(project / "bin" / "leo-telemetry"), allowManagedHooksOnly=True)
    assert found(project).off is None


def test_a_user_s_configured_settings_folder_is_examined(project: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: the settings that apply."""
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(elsewhere))
    write(place_of(project, "user"), disableAllHooks=True)
    write(elsewhere / "settings.json", made(project / "bin" / "leo-telemetry"))
    assert found(project).off is None
    assert [file.path for file in found(project).files] == [str(elsewhere / "settings.json")]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("{bin}/gone/leo-telemetry", "{bin}/gone/leo-telemetry, which does not exist"),
        ("{bin}/plain/leo-telemetry", "{bin}/plain/leo-telemetry, which is not executable"),
        ("{bin}/link/leo-telemetry", "{bin}/link/leo-telemetry, which does not exist"),
        ("{bin}/old/leo-telemetry", "{bin}/old/leo-telemetry, which needs {bin}/python3.9, which does not exist"),
        ("{bin}/long/leo-telemetry", "{bin}/long/leo-telemetry, which needs {bin}/python3.9, which does not exist"),
        ("leo-telemetry", "leo-telemetry, which is not on PATH"),
    ],
)
def test_a_program_that_cannot_be_started_is_named_per_file(
    project: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
):
    """Lost: each session prints "not found", or nothing is measured, but the doctor reports no problem."""
    folder = project / "bin"
    made(folder / "plain" / "leo-telemetry", mode=0o644)
    made(folder / "old" / "leo-telemetry", f"#!{folder}/python3.9\nimport sys\n")
    made(folder / "long" / "leo-telemetry", f"""#!/bin/sh\n'''exec' "{folder}/python3.9" "$0" "$@"\n' '''\n""")
    (folder / "link").mkdir()
    (folder / "link" / "leo-telemetry").symlink_to(folder / "gone")
    monkeypatch.setenv("PATH", str(folder))
    paths = [write(place_of(project, which), program.format(bin=folder)) for which in ("local", "user")]
    verdicts = faults(project)
    assert [verdict.state for verdict in verdicts] == [f"{path} runs {said.format(bin=folder)}" for path in paths]
    local, user = (verdict.remedy for verdict in verdicts)
    if program == "leo-telemetry":
        assert local.startswith(f"put {Path(sys.executable).parent} on PATH, or leo-telemetry hook install")
    else:
        assert local == f"leo-telemetry hook install --project {project}"
        assert user == f"leo-telemetry hook install --project {project.parent / 'home'} --shared"
    assert not found(project).run


def test_programs_that_can_be_started_need_no_remedy(project: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: people learn to ignore the doctor."""
    monkeypatch.setenv("PATH", str(made(project / "bin" / "leo-telemetry", f"#!{sys.executable}\n").parent))
    write(place_of(project, "local"), project / "bin" / "leo-telemetry")
    write(place_of(project, "shared"), "leo-telemetry")
    assert faults(project) == []
    assert found(project).run
    assert judge(found(project), False) == [
        Verdict("hook", f"installed in {place_of(project, 'local')}, {place_of(project, 'shared')}")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n // x\n"hooks": {"Stop": "leo-telemetry"}}', "line 2: a comment, which JSON does not have"),
        ('{"hooks": ["leo-telemetry"]}', 'line 1: "hooks" is not an object'),
    ],
)
def test_a_file_that_claude_code_ignores_is_named(project: Path, text: str, said: str):
    """Lost: the doctor reports "not installed" for an installed hook, so that it is installed again and again."""
    place_of(project, "shared").write_text(text)
    [verdict] = faults(project)
    assert verdict.state == f"{place_of(project, 'shared')} is ignored by Claude Code: {said}"
    assert not found(project).run


def test_an_invalid_switch_makes_claude_code_ignore_the_file(project: Path):
    """Lost: no hook of a file runs because of one extra quotation mark."""
    write(place_of(project, "local"), made(project / "bin" / "leo-telemetry"), disableAllHooks="false")
    [verdict] = faults(project)
    assert verdict.state.endswith('is ignored by Claude Code: "disableAllHooks" is neither true nor false')


def test_events_that_an_older_installation_lacks_are_named(project: Path):
    """Lost: new events are not measured after an upgrade."""
    path = write(place_of(project, "local"), program := made(project / "bin" / "leo-telemetry"))
    assert faults(project) == []
    for event in claude_settings.SPAN_EVENTS[1:]:
        path.write_text(claude_settings.add(path.read_text(), claude_settings.command(str(program), event), event))
    [verdict] = faults(project)
    assert verdict.state == f"{path} lacks our hook for {claude_settings.SPAN_EVENTS[0]}"
    assert verdict.remedy == f"leo-telemetry hook install --project {project} --spans"
    assert found(project).run


def test_a_daemon_suffices_without_a_hook(project: Path):
    """Lost: a server without a hook is never healthy."""
    write(place_of(project, "local"), disableAllHooks=True)
    assert [verdict.remedy for verdict in judge(found(project), True)] == [""]
    assert [verdict.remedy for verdict in judge(found(project), False)] == ["leo-telemetry hook install"]
