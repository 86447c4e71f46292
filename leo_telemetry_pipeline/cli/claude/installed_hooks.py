"""Our hooks as Claude Code would meet them: which settings files apply, what stops the hooks in them, what they lack.

Belongs here: reading those files, and the pure judgement of them. Does not: changing a file (hook_commands), the text
of one (claude_settings).
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
    """One settings file: the programs of our hooks in it, why some cannot run, and the events that it lacks.

    ``unreadable`` says why Claude Code would ignore the file as a whole.
    """

    path: str
    programs: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    unreadable: str = ""
    reinstall: str = "leo-telemetry hook install"


@dataclass(frozen=True)
class Hooks:
    """The files with our hooks, and ``off``: the file and the word in it that switch all hooks off, if any does."""

    files: tuple[SettingsFile, ...] = ()
    off: tuple[str, str] | None = None

    @property
    def run(self) -> bool:
        """Tell whether at least one hook runs when a session starts."""
        readable = [each for each in self.files if not each.unreadable]
        return self.off is None and any(len(each.broken) < len(each.programs) for each in readable)


def user_file() -> Path:
    """Return where Claude Code keeps the settings that apply to all projects of a user."""
    named = os.environ.get("CLAUDE_CONFIG_DIR", "")
    return (Path(named).expanduser() if named else user_folder() / ".claude") / "settings.json"


def managed_files(folder: Path | None = None) -> list[Path]:
    """Return the settings that an administrator of this machine wrote."""
    if folder is None:
        mac = sys.platform == "darwin"
        folder = Path("/Library/Application Support/ClaudeCode" if mac else "/etc/claude-code")
    return [folder / _MANAGED, *sorted((folder / "managed-settings.d").glob("*.json"))]


def files_of(project: Path) -> list[Path]:
    """Return the files that apply to sessions of a project, the one that decides first."""
    here = project.absolute() / ".claude"
    return list(dict.fromkeys([here / "settings.local.json", here / "settings.json", user_file()]))


def look(project: Path, managed: Sequence[Path] | None = None) -> Hooks:
    """Read the files that apply to sessions of a project."""
    texts = {path: text for path in files_of(project) if (text := _text(path)) is not None}
    found = [_read(path, text, project) for path, text in texts.items()]
    values = [(path, _values(text)) for path, text in texts.items()]
    above = [(path, _values(_text(path) or "")) for path in (managed_files() if managed is None else managed)]
    return Hooks(tuple(each for each in found if each.programs), _off(above, values))


def off_for(project: Path) -> tuple[str, str] | None:
    """Return the file and the word in it that switch all hooks of a project off, if any does."""
    return look(project).off


def judge(hooks: Hooks, daemon_lives: bool) -> list[Verdict]:
    """Return the verdicts on our hooks: where they are, and each thing that keeps them from running."""
    if not hooks.files:
        # A daemon has a schedule of its own.
        remedy = "" if daemon_lives else "leo-telemetry hook install"
        return [Verdict("hook", "not installed for this folder", remedy)]
    verdicts = [verdict for file in hooks.files for verdict in _faults(file)]
    if hooks.off:
        verdicts.insert(0, Verdict("hook", f'switched off by "{hooks.off[1]}" in {hooks.off[0]}', remedy_of(hooks.off)))
    return verdicts or [Verdict("hook", f"installed in {', '.join(each.path for each in hooks.files)}")]


def remedy_of(off: tuple[str, str]) -> str:
    """Say what to do about hooks that are switched off."""
    path, word = off
    if Path(path).name == _MANAGED or Path(path).parent.name == "managed-settings.d":
        return "ask who manages this machine, or measure by OpenTelemetry: leo-telemetry hook otel"
    return f'remove "{word}" from {path}, or measure by OpenTelemetry: leo-telemetry hook otel'


def why_broken(name: str) -> str:
    """Say why a program cannot be started, a path or a name; nothing where it can."""
    found = shutil.which(name)
    if found is None:
        if os.sep not in name:
            return "is not on PATH"
        return "is not executable" if Path(name).exists() else "does not exist"
    interpreter = _interpreter(Path(found))
    return f"needs {interpreter}, which does not exist" if interpreter and not Path(interpreter).exists() else ""


def _interpreter(script: Path) -> str:
    """Return the path of the interpreter that a script names, if it is one."""
    try:
        with script.open("rb") as file:
            head = file.read(2048).decode("utf-8", "replace")
    except OSError:
        return ""
    # pip writes the second form where the path is too long for the first.
    named = _EXEC.match(head) or _SHEBANG.match(head)
    return named[1] if named else ""


def _faults(file: SettingsFile) -> list[Verdict]:
    if file.unreadable:
        said = f"{file.path} is ignored by Claude Code: {file.unreadable}"
        return [Verdict("hook", said, "correct the file")]
    if file.broken:
        said = f"{file.path} runs {', '.join(file.broken)}"
        return [Verdict("hook", said, _remedy(file))]
    if file.lacks:
        said = f"{file.path} lacks our hook for {', '.join(file.lacks)}"
        return [Verdict("hook", said, f"{file.reinstall} --spans")]
    return []


def _remedy(file: SettingsFile) -> str:
    by_name = any(os.sep not in name for name in file.programs)
    return f"{on_path()}, or {file.reinstall.removesuffix(' --shared')}" if by_name else file.reinstall


def on_path() -> str:
    """Say how the program gets on PATH."""
    try:
        folder = own_command.find().parent
    except UserError:
        return "install the package with pip"
    return f"put {folder} on PATH"


def _read(path: Path, text: str, project: Path) -> SettingsFile:
    try:
        commands = claude_settings.programs(text)
    except claude_settings.NotEditable as error:
        # The hooks cannot be told from the rest any more, but a name that is ours can.
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
    # The first of them that says anything decides; Claude Code ignores a file that says neither true nor false.
    said = [(path, values[_OFF]) for path, values in others if isinstance(values.get(_OFF), bool)]
    return (str(said[0][0]), _OFF) if said and said[0][1] else None


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
