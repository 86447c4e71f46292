"""Notes of Claude Code's hook events, as JSON-ready data without words of a conversation, paths, commands or tool data.

Belongs here: which events and fields are kept. Pure functions, with few imports, since a session waits for its hooks.
Does not: which spans notes form (assembler), processes and files (cli.claude.hook_spans).
"""

from leo_telemetry_pipeline.sources.otlp.conventions import CONTINUING_TOOL, SKILL_TOOL, SUBAGENT_TOOLS

# Events that end an operation, so that spans can be built.
ENDS = ("Stop", "StopFailure", "SessionEnd")
EVENTS = ("UserPromptSubmit", "SubagentStart", "SubagentStop", "PostToolUse", "PostToolUseFailure", *ENDS)

# Claude Code itself submits a prompt with this prefix when a background sub-agent finishes.
TASK_NOTIFICATION = "<task-notification>"

_HEX = frozenset("0123456789abcdef")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:-")
_LONGEST_NAME = 60
_TEXTS = ("prompt_id", "agent_id", "agent_type", "tool_name", "tool_use_id", "permission_mode")
_AGENT_TEXTS = ("agentId", "agentType", "status", "resolvedModel")
_AGENT_NUMBERS = ("totalDurationMs", "totalTokens", "totalToolUseCount")
_LONGEST_TEXT = 200
_LARGEST_NUMBER = 2**53


def note(event: object, wall_ns: int, monotonic_ns: int) -> dict | None:
    """Return the note of an event received at this time; None for an event that no span needs."""
    if not isinstance(event, dict) or event.get("hook_event_name") not in EVENTS:
        return None
    kept = {"event": event["hook_event_name"], "wall_ns": wall_ns, "monotonic_ns": monotonic_ns}
    kept |= _texts(event, _TEXTS) | _numbers(event, ("duration_ms",))
    if effort := _texts(event.get("effort"), ("level",)):
        kept["effort"] = effort["level"]
    if event.get("is_interrupt") is True:
        kept["interrupted"] = True
    if kept["event"] == "UserPromptSubmit":
        kept |= _of_prompt(event.get("prompt"))
    elif kept["event"] == "StopFailure":
        error = event.get("error")
        kept |= {"error_type": error} if isinstance(error, str) and is_word(error) else {}
    if kept.get("tool_name") in SUBAGENT_TOOLS:
        request, response = event.get("tool_input"), event.get("tool_response")
        kept["agent"] = _texts(request, ("subagent_type",))
        kept["agent"] |= _texts(response, _AGENT_TEXTS) | _numbers(response, _AGENT_NUMBERS)
    elif kept.get("tool_name") == SKILL_TOOL:
        kept |= _texts(event.get("tool_input"), ("skill",))
    elif kept.get("tool_name") == CONTINUING_TOOL:
        kept |= _texts(event.get("tool_response"), ("resumedAgentId",))
    return kept


def is_word(text: str) -> bool:
    """Return whether a text is one plain word, such as a command name: neither a path nor a sentence."""
    return 0 < len(text) <= _LONGEST_NAME and set(text) <= _WORD and not text.startswith("-")


def storable(text: str, limit: int) -> str:
    """Return a text of at most ``limit`` characters without secrets."""
    plain = text.replace("_", "").replace("-", "")
    is_name = plain.isalpha() or set(plain) <= _HEX or (text.startswith("toolu_") and plain.isalnum())
    if is_name and text.isascii() and len(text) <= min(limit, _LONGEST_NAME):
        return text
    # Imported here because it takes longer than everything else, and the session is waiting.
    from leo_telemetry_pipeline import redact

    return redact.text(text, limit)


def _of_prompt(prompt: object) -> dict:
    """Return the kind of a prompt; of its text, only the name of a slash command is kept."""
    if not isinstance(prompt, str):
        return {}
    if prompt.startswith(TASK_NOTIFICATION):
        return {"synthetic": "task_notification"}
    if not prompt.startswith("/"):
        return {}
    command = prompt[1 : _LONGEST_NAME + 2].split(maxsplit=1)[:1]
    # `/ word` is not a command, and neither is a path.
    is_command = command and is_word(command[0]) and not prompt[1].isspace()
    return {"command": storable(command[0], _LONGEST_NAME)} if is_command else {}


def _texts(holder: object, names: tuple[str, ...]) -> dict:
    values = {name: holder.get(name) for name in names} if isinstance(holder, dict) else {}
    texts = {name: text for name, text in values.items() if isinstance(text, str) and text.strip()}
    return {name: storable(text, _LONGEST_TEXT) for name, text in texts.items()}


def _numbers(holder: object, names: tuple[str, ...]) -> dict:
    values = {name: holder.get(name) for name in names} if isinstance(holder, dict) else {}
    numbers = {name: n for name, n in values.items() if isinstance(n, int | float) and not isinstance(n, bool)}
    return {name: round(n) for name, n in numbers.items() if 0 <= n <= _LARGEST_NUMBER}
