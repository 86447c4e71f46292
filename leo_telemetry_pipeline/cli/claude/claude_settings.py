"""Editor for our hooks in the text of a Claude Code settings file; every other byte stays as it is.

Belongs here: adding, correcting and removing our entries in place. Does not: choosing the file, output (hook_commands).
"""

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from leo_telemetry_pipeline.cli.processes.own_command import NAME

# The events that we can hook, and the subcommand of `leo-telemetry hook` that handles each.
START = "SessionStart"
SPAN_EVENTS = (
    "UserPromptSubmit",
    "PostToolUse",
    "PostToolUseFailure",
    "SubagentStart",
    "SubagentStop",
    "Stop",
    "StopFailure",
    "SessionEnd",
)
_WORDS = {START: "session-start", **dict.fromkeys(SPAN_EVENTS, "span")}
# Hooks of these events must not be async: right after them, Claude Code may exit, and kills hooks that it does not
# await.
_AWAITED = (START, "Stop", "StopFailure", "SessionEnd")
# Time limit of a hook; Claude Code's default is ten minutes.
TIMEOUT_S = 10
# The shell words around the command of a hook whose program may not be installed.
_GUARD = [">/dev/null", "&&", "||", "true"]
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class NotEditable(ValueError):
    """The text is not a valid settings file; ``line`` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class _Node:
    """JSON value in the text from ``start`` to ``end``; a container has members."""

    start: int
    end: int
    value: Any
    members: tuple["_Member", ...] = ()

    def member(self, key: str) -> "_Member | None":
        # Of duplicate keys the last one wins, as in JSON parsers.
        return next((member for member in reversed(self.members) if member.key == key), None)


@dataclass(frozen=True, slots=True)
class _Member:
    """Member of a container; it begins at its key, or in a list at its value."""

    key: str | int
    begin: int
    node: _Node


def command(program: str, event: str = START) -> str:
    """Return the shell command of a hook for an event; ``program`` is a path or a name.

    A name is used in shared settings, where users without the program must not get an error per event.
    """
    plain = shlex.join([program, "hook", _WORDS[event]])
    return plain if os.sep in program else f"command -v {program} >/dev/null && {plain} || true"


def programs(text: str) -> dict[str, str]:
    """Return the program, a path or a name, that our hook runs, by event. Raises NotEditable."""
    if not text.strip("\ufeff \t\r\n"):
        return {}
    root, by_event = _read(text), {}
    for event, word in _WORDS.items():
        for path in _ours(root, event):
            runs = path[-1].node.member("command")
            assert runs is not None
            by_event[event] = _program(runs.node.value, word)
    return by_event


def has(text: str, event: str) -> bool:
    """Return whether the text has our entry for an event. Raises NotEditable."""
    return bool(text.strip("\ufeff \t\r\n") and _ours(_read(text), event))


def add(text: str, wanted: str, event: str = START) -> str:
    """Return the text with exactly one entry of ours for an event, which runs ``wanted``. Raises NotEditable."""
    if not text.strip("\ufeff \t\r\n"):
        text = "{}\n"
    ours = _ours(_read(text), event)
    while len(ours) > 1:
        text = _without(text, ours[-1])
        ours = _ours(_read(text), event)
    if ours:
        current = ours[0][-1].node.member("command")
        assert current is not None
        if current.node.value == wanted:
            return text
        return text[: current.node.start] + _dump(wanted) + text[current.node.end :]
    root = _read(text)
    hook: Any = {"type": "command", "command": wanted, "timeout": TIMEOUT_S}
    if event not in _AWAITED:
        hook["async"] = True
    entry = {"hooks": [hook]}
    hooks = root.member("hooks")
    if hooks is None:
        return _append(text, root, root, "hooks", {event: [entry]})
    entries = hooks.node.member(event)
    if entries is None:
        return _append(text, root, hooks.node, event, [entry])
    return _append(text, root, entries.node, None, entry)


def remove(text: str) -> str:
    """Return the text without our entries and the containers that held only them. Raises NotEditable."""
    if not text.strip("\ufeff \t\r\n"):
        return text
    # In reverse order of insertion, so that each removal exactly undoes an insertion.
    for event in reversed(_WORDS):
        while ours := _ours(_read(text), event):
            text = _without(text, ours[-1])
    return text


def _read(text: str) -> _Node:
    start = 1 if text.startswith("\ufeff") else 0
    try:
        value = json.loads(text[start:])
    except json.JSONDecodeError as error:
        position = start + error.pos
        comment = text[position : position + 2] in ("//", "/*")
        raise NotEditable("a comment, which JSON does not have" if comment else error.msg, error.lineno) from None
    root = _parse(text, start)
    if not isinstance(value, dict):
        raise NotEditable("not a JSON object", _line(text, root))
    hooks = root.member("hooks")
    if hooks and not isinstance(value["hooks"], dict):
        raise NotEditable('"hooks" is not an object', _line(text, hooks.node))
    for event in _WORDS if hooks else ():
        entries = hooks.node.member(event) if hooks else None
        if entries and not isinstance(value["hooks"][event], list):
            raise NotEditable(f'"{event}" is not a list', _line(text, entries.node))
    return root


def _line(text: str, node: _Node) -> int:
    return text.count("\n", 0, node.start) + 1


def _parse(text: str, start: int) -> _Node:
    """Parse the value at a position of a text that is valid JSON."""
    start = _past_space(text, start)
    opening = text[start]
    if opening not in "{[":
        value, end = _DECODER.raw_decode(text, start)
        return _Node(start, end, value)
    members: list[_Member] = []
    position = _past_space(text, start + 1)
    while text[position] not in "}]":
        begin, key = position, len(members)
        if opening == "{":
            key, position = _DECODER.raw_decode(text, position)
            position = _past_space(text, position) + 1
        node = _parse(text, position)
        members.append(_Member(key, begin, node))
        position = _past_space(text, node.end)
        if text[position] == ",":
            position = _past_space(text, position + 1)
    return _Node(start, position + 1, None, tuple(members))


def _past_space(text: str, position: int) -> int:
    spaces = _SPACE.match(text, position)
    assert spaces is not None
    return spaces.end()


def _ours(root: _Node, event: str) -> list[tuple[_Member, ...]]:
    """Return the path to each hook of ours for an event: hooks, the event, the entry, its hooks, the hook."""
    paths = []
    hooks = root.member("hooks")
    entries = hooks.node.member(event) if hooks else None
    for entry in entries.node.members if entries else ():
        inner = entry.node.member("hooks")
        for hook in inner.node.members if inner else ():
            runs = hook.node.member("command")
            if runs and _program(runs.node.value, _WORDS[event]):
                paths.append((hooks, entries, entry, inner, hook))
    return paths


def _program(value: object, word: str) -> str:
    """Return the program of a command that we wrote, else "". A command with any other words is not ours."""
    try:
        words = shlex.split(value) if isinstance(value, str) else []
    except ValueError:
        return ""
    if len(words) == 10 and words[:2] == ["command", "-v"] and words[3:5] + words[8:] == _GUARD:
        words = words[5:8] if words[2] == words[5] else []
    is_ours = len(words) == 3 and PurePath(words[0]).name == NAME and words[1:] == ["hook", word]
    return words[0] if is_ours else ""


def _without(text: str, path: tuple[_Member, ...]) -> str:
    """Return the text without the hook at the end of a path, and without the containers that we added for it."""
    _, entries, entry, inner, _ = path
    depth = 4
    # An entry with a matcher is not ours, and stays even without hooks.
    if len(inner.node.members) == len(entry.node.members) == 1:
        depth = 2
        if len(entries.node.members) == 1:
            depth = 1 if len(path[0].node.members) > 1 else 0
    container = path[depth - 1].node if depth else _read(text)
    siblings = container.members
    gone = [member.begin for member in siblings].index(path[depth].begin)
    if gone:
        return text[: siblings[gone - 1].node.end] + text[path[depth].node.end :]
    if len(siblings) > 1:
        return text[: siblings[0].begin] + text[siblings[1].begin :]
    return _fill(text, container, "")


def _append(text: str, root: _Node, container: _Node, key: str | None, value: Any) -> str:
    """Append a member to a container, formatted like its surroundings; return the text."""
    last = container.members[-1] if container.members else None
    name = f"{_dump(key)}: " if key is not None else ""
    model = container if last else root
    if model.members and "\n" not in text[model.start : model.members[-1].begin]:
        addition = name + _dump(value)
        if last:
            return text[: last.node.end] + ", " + addition + text[last.node.end :]
        return _fill(text, container, addition)
    unit, newline = _manner(text)
    outer = _indentation(text, last.begin if last else container.start)
    inner = outer if last else outer + unit
    body = (name + json.dumps(value, indent=unit, ensure_ascii=False)).replace("\n", newline + inner)
    if last:
        return text[: last.node.end] + "," + newline + inner + body + text[last.node.end :]
    return _fill(text, container, newline + inner + body + newline + outer)


def _fill(text: str, container: _Node, content: str) -> str:
    return text[: container.start + 1] + content + text[container.end - 1 :]


def _manner(text: str) -> tuple[str, str]:
    """Return a file's indentation and line ending."""
    indented = re.search(r"\n([ \t]+)\S", text)
    return indented.group(1) if indented else "  ", "\r\n" if "\r\n" in text else "\n"


def _indentation(text: str, position: int) -> str:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
