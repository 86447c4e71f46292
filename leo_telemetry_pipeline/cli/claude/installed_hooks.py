"""Diagnosis of our installed hooks: which settings files apply, why hooks do not run, which events lack one.

Belongs here: reading those files, and pure verdicts on them. Does not: changing them (hook_commands, claude_settings).
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leo_telemetry_pipeline.cli.claude import claude_settings
from leo_telemetry_pipeline.cli.processes import own_command
from leo_telemetry_pipeline.cli.verdicts import Verdict
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import user_folder

_MANAGED = "managed-settings.json"
_OFF = "disableAllHooks"
_MANAGED_ONLY = "allowManagedHooksOnly"
_SHEBANG = re.compile(r"#! ?(/[^ \n]+)")
_EXEC = re.compile(r"""#!/bin/sh\n'''exec' "?(/[^"\n]+?)"? "\$0\"""")


@dataclass(frozen=True)
class SettingsFile:
    """Settings file: the programs of our hooks, why some cannot run, and the events without a hook.

    ``unreadable`` is the reason why Claude Code ignores the whole file.
    """

    path: str
    programs: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    unreadable: str = ""
    reinstall: str = "leo-telemetry hook install"


@dataclass(frozen=True)
class Hooks:
    """Files with our hooks, and ``off``: the file and the key in it that switch all hooks off, if any."""

    files: tuple[SettingsFile, ...] = ()
    off: tuple[str, str] | None = None

    @property
    def run(self) -> bool:
        """Whether at least one hook runs when a session starts."""
        readable = [file for file in self.files if not file.unreadable]
        return self.off is None and any(len(file.broken) < len(file.programs) for file in readable)


def user_file() -> Path:
    """Return the path of the user's settings, which apply to all projects."""
    named = os.environ.get("CLAUDE_CONFIG_DIR", "")
    return (Path(named).expanduser() if named else user_folder() / ".claude") / "settings.json"


def managed_files(folder: Path | None = None) -> list[Path]:
    """Return the paths of the managed settings, which an administrator of this machine wrote."""
    if folder is None:
        mac = sys.platform == "darwin"
        folder = Path("/Library/Application Support/ClaudeCode" if mac else "/etc/claude-code")
    return [folder / _MANAGED, *sorted((folder / "managed-settings.d").glob("*.json"))]


def files_of(project: Path) -> list[Path]:
    """Return the settings files that apply to a project, highest precedence first."""
    here = project.absolute() / ".claude"
    return list(dict.fromkeys([here / "settings.local.json", here / "settings.json", user_file()]))


def look(project: Path, managed: Sequence[Path] | None = None) -> Hooks:
    """Read the settings files that apply to a project."""
    texts = {path: text for path in files_of(project) if (text := _text(path)) is not None}
    files = [_read(path, text, project) for path, text in texts.items()]
    values = [(path, _values(text)) for path, text in texts.items()]
    above = [(path, _values(_text(path) or "")) for path in (managed_files() if managed is None else managed)]
    return Hooks(tuple(file for file in files if file.programs), _off(above, values))


def off_for(project: Path) -> tuple[str, str] | None:
    """Return the file and the key in it that switch all hooks of a project off, if any."""
    return look(project).off


def judge(hooks: Hooks, daemon_lives: bool) -> list[Verdict]:
    """Return the verdicts on our hooks: where they are installed, and each reason why they do not run."""
    if not hooks.files:
        # A daemon has its own schedule, and needs no hook.
        remedy = "" if daemon_lives else "leo-telemetry hook install"
        return [Verdict("hook", "not installed for this folder", remedy)]
    verdicts = [verdict for file in hooks.files for verdict in _faults(file)]
    if hooks.off:
        verdicts.insert(0, Verdict("hook", f'switched off by "{hooks.off[1]}" in {hooks.off[0]}', remedy_of(hooks.off)))
    return verdicts or [Verdict("hook", f"installed in {', '.join(file.path for file in hooks.files)}")]


def remedy_of(off: tuple[str, str]) -> str:
    """Return the remedy for hooks that are switched off."""
    path, word = off
    if Path(path).name == _MANAGED or Path(path).parent.name == "managed-settings.d":
        return "ask the administrator of this machine, or measure with OpenTelemetry: leo-telemetry hook otel"
    return f'remove "{word}" from {path}, or measure with OpenTelemetry: leo-telemetry hook otel'


def why_broken(name: str) -> str:
    """Return why a program, a path or a name, cannot be started; an empty string if it can."""
    program = shutil.which(name)
    if program is None:
        if os.sep not in name:
            return "is not on PATH"
        return "is not executable" if Path(name).exists() else "does not exist"
    interpreter = _interpreter(Path(program))
    return f"needs {interpreter}, which does not exist" if interpreter and not Path(interpreter).exists() else ""


def _interpreter(script: Path) -> str:
    """Return the interpreter in a script's shebang, an empty string if it has none."""
    try:
        with script.open("rb") as file:
            head = file.read(2048).decode("utf-8", "replace")
    except OSError:
        return ""
    # pip writes the exec form if the path is too long for a shebang.
    named = _EXEC.match(head) or _SHEBANG.match(head)
    return named[1] if named else ""


def _faults(file: SettingsFile) -> list[Verdict]:
    if file.unreadable:
        state = f"{file.path} is ignored by Claude Code: {file.unreadable}"
        return [Verdict("hook", state, "correct the file")]
    if file.broken:
        state = f"{file.path} runs {', '.join(file.broken)}"
        return [Verdict("hook", state, _remedy(file))]
    if file.lacks:
        state = f"{file.path} lacks our hook for {', '.join(file.lacks)}"
        return [Verdict("hook", state, f"{file.reinstall} --spans")]
    return []


def _remedy(file: SettingsFile) -> str:
    by_name = any(os.sep not in name for name in file.programs)
    return f"{on_path()}, or {file.reinstall.removesuffix(' --shared')}" if by_name else file.reinstall


def on_path() -> str:
    """Return the remedy for a program that is not on PATH."""
    try:
        folder = own_command.find().parent
    except UserError:
        return "install the package with pip"
    return f"put {folder} on PATH"


def _read(path: Path, text: str, project: Path) -> SettingsFile:
    try:
        commands = claude_settings.programs(text)
    except claude_settings.NotEditable as error:
        # The text cannot be parsed, but our name in it shows that it has our hooks.
        ours = (own_command.NAME,) if own_command.NAME in text else ()
        return SettingsFile(str(path), ours, unreadable=f"line {error.line}: {error}")
    names = tuple(dict.fromkeys(commands.values()))
    spans = [event for event in claude_settings.SPAN_EVENTS if event in commands]
    return SettingsFile(
        str(path),
        names,
        tuple(f"{name}, which {why}" for name in names if (why := why_broken(name))),
        tuple(event for event in claude_settings.SPAN_EVENTS if event not in commands) if spans else (),
        _refused(text),
        _reinstall(path, project),
    )


def _refused(text: str) -> str:
    switch = _values(text).get(_OFF, False)
    return "" if isinstance(switch, bool) else f'"{_OFF}" is neither true nor false'


def _reinstall(path: Path, project: Path) -> str:
    folder = user_folder() if path == user_file() else project.absolute()
    here = [] if folder == Path.cwd() else ["--project", str(folder)]
    return shlex.join([own_command.NAME, "hook", "install", *here, *["--shared"] * (path.name == "settings.json")])


def _off(managed: Sequence[tuple[Path, Mapping[str, Any]]], others: Sequence[tuple[Path, Mapping[str, Any]]]):
    for path, values in managed:
        for word in (_OFF, _MANAGED_ONLY):
            if values.get(word) is True:
                return str(path), word
    # The first file with the key decides; Claude Code ignores files where its value is neither true nor false.
    switches = [(path, values[_OFF]) for path, values in others if isinstance(values.get(_OFF), bool)]
    return (str(switches[0][0]), _OFF) if switches and switches[0][1] else None


def _values(text: str) -> Mapping[str, Any]:
    try:
        values = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
