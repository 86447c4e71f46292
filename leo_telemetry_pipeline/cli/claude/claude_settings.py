"""Our hooks in a Claude Code settings file, whose every other byte is somebody else's.

Belongs here: adding, correcting and removing our entries in the text of such a file, which is edited and never
rewritten. Does not: which file, and what is printed (hook_commands).
"""

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from leo_telemetry_pipeline.cli.processes.own_command import NAME

# Each event that we can hook, and the word after `leo-telemetry hook` that takes it.
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
# Claude Code ends with these, or goes on to the next prompt, and ends what it did not wait for.
_AWAITED = (START, "Stop", "StopFailure", "SessionEnd")
# In seconds; without it Claude Code would wait for ten minutes.
TIMEOUT_S = 10
# What stands around the command of a hook that may find no program.
_GUARD = [">/dev/null", "&&", "||", "true"]
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class NotEditable(ValueError):
    """The text is not what Claude Code reads; ``line`` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class _Node:
    """A value in the text from ``start`` to ``end``; a container has members."""

    start: int
    end: int
    value: Any
    members: tuple["_Member", ...] = ()

    def member(self, key: str) -> "_Member | None":
        # As JSON readers do, take the last of several that have one name.
        return next((member for member in reversed(self.members) if member.key == key), None)


@dataclass(frozen=True, slots=True)
class _Member:
    """A place in a container: it begins at its key, or in a list at its value."""

    key: str | int
    begin: int
    node: _Node


def command(program: str, event: str = START) -> str:
    """Return the shell command that starts the hook of ``program``, a path or a name, for an event.

    A name comes with settings that others share: who does not have the program must not get an error per event.
    """
    plain = shlex.join([program, "hook", _WORDS[event]])
    return plain if os.sep in program else f"command -v {program} >/dev/null && {plain} || true"


def programs(text: str) -> dict[str, str]:
    """Return the program that our hook of each event runs, a path or a name. Raises NotEditable."""
    if not text.strip("\ufeff \t\r\n"):
        return {}
    root, found = _read(text), {}
    for event, word in _WORDS.items():
        for way in _ours(root, event):
            runs = way[-1].node.member("command")
            assert runs is not None
            found[event] = _program(runs.node.value, word)
    return found


def has(text: str, event: str) -> bool:
    """Tell whether an entry of ours is there for an event. Raises NotEditable."""
    return bool(text.strip("\ufeff \t\r\n") and _ours(_read(text), event))


def add(text: str, wanted: str, event: str = START) -> str:
    """Return the text with our entry for an event in it, once, running the ``wanted`` command. Raises NotEditable."""
    if not text.strip("\ufeff \t\r\n"):
        text = "{}\n"
    ours = _ours(_read(text), event)
    while len(ours) > 1:
        text = _without(text, ours[-1])
        ours = _ours(_read(text), event)
    if ours:
        there = ours[0][-1].node.member("command")
        assert there is not None
        if there.node.value == wanted:
            return text
        return text[: there.node.start] + _dump(wanted) + text[there.node.end :]
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
    """Return the text without our entries, and without what only held them. Raises NotEditable."""
    if not text.strip("\ufeff \t\r\n"):
        return text
    # The last added goes first, so that each finds its surroundings as it left them.
    for event in reversed(_WORDS):
        while ours := _ours(_read(text), event):
            text = _without(text, ours[-1])
    return text


def _read(text: str) -> _Node:
    start = 1 if text.startswith("\ufeff") else 0
    try:
        value = json.loads(text[start:])
    except json.JSONDecodeError as error:
        at = start + error.pos
        comment = text[at : at + 2] in ("//", "/*")
        raise NotEditable("a comment, which JSON does not have" if comment else error.msg, error.lineno) from None
    root = _parse(text, start)
    if not isinstance(value, dict):
        raise NotEditable("no JSON object", _line(text, root))
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


def _parse(text: str, at: int) -> _Node:
    """Return the value at a place of a text that is known to be JSON."""
    at = _past_space(text, at)
    opening = text[at]
    if opening not in "{[":
        value, end = _DECODER.raw_decode(text, at)
        return _Node(at, end, value)
    members: list[_Member] = []
    position = _past_space(text, at + 1)
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
    return _Node(at, position + 1, None, tuple(members))


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _ours(root: _Node, event: str) -> list[tuple[_Member, ...]]:
    """Return the way to each hook of ours for an event: hooks, the event, the entry, its hooks, the hook."""
    found = []
    hooks = root.member("hooks")
    entries = hooks.node.member(event) if hooks else None
    for entry in entries.node.members if entries else ():
        inner = entry.node.member("hooks")
        for hook in inner.node.members if inner else ():
            runs = hook.node.member("command")
            if runs and _program(runs.node.value, _WORDS[event]):
                found.append((hooks, entries, entry, inner, hook))
    return found


def _program(value: object, word: str) -> str:
    """Return the program of a command that we wrote, or nothing; with more words to it, it is somebody's own."""
    try:
        words = shlex.split(value) if isinstance(value, str) else []
    except ValueError:
        return ""
    if len(words) == 10 and words[:2] == ["command", "-v"] and words[3:5] + words[8:] == _GUARD:
        words = words[5:8] if words[2] == words[5] else []
    is_ours = len(words) == 3 and PurePath(words[0]).name == NAME and words[1:] == ["hook", word]
    return words[0] if is_ours else ""


def _without(text: str, way: tuple[_Member, ...]) -> str:
    """Return the text without the hook at the end of a way, and without what we made to hold only that."""
    _, entries, entry, inner, _ = way
    depth = 4
    # An entry with a matcher is a person's, and stays with no hooks in it.
    if len(inner.node.members) == len(entry.node.members) == 1:
        depth = 2
        if len(entries.node.members) == 1:
            depth = 1 if len(way[0].node.members) > 1 else 0
    container = way[depth - 1].node if depth else _read(text)
    siblings = container.members
    gone = [member.begin for member in siblings].index(way[depth].begin)
    if gone:
        return text[: siblings[gone - 1].node.end] + text[way[depth].node.end :]
    if len(siblings) > 1:
        return text[: siblings[0].begin] + text[siblings[1].begin :]
    return _fill(text, container, "")


def _append(text: str, root: _Node, container: _Node, key: str | None, value: Any) -> str:
    """Return the text with one more member at the end of a container, in the manner of its surroundings."""
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
    """Return how a file indents, and how it ends its lines."""
    indented = re.search(r"\n([ \t]+)\S", text)
    return indented.group(1) if indented else "  ", "\r\n" if "\r\n" in text else "\n"


def _indentation(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
