"""Names of Claude Code's spans, the same from hooks and from OpenTelemetry.

Belongs here: span types and names from notes. Does not: building spans (assembler), names of other spans (conventions).
"""

from leo_telemetry_pipeline.sources.otlp.conventions import SKILL_TOOL, SUBAGENT_TOOLS

PROMPT = "claude_code.interaction"
NOTIFICATION = "claude_code.task_notification"
_MCP = "mcp__"


def prompt_name(*notes: dict | None) -> str:
    """Return the name of a prompt's span: its slash command, or the common name of all others."""
    commands = (note["command"] for note in notes if note and "command" in note)
    return next((f"/{command}" for command in commands), PROMPT)


def tool_kind(note: dict) -> tuple[str, str]:
    """Return the span type and name of a tool."""
    name = note.get("tool_name", "")
    if name == SKILL_TOOL:
        return "skill", note.get("skill", name)
    if name in SUBAGENT_TOOLS:
        return "subagent", note.get("subagent_type") or note.get("agent", {}).get("subagent_type", name)
    return "tool", name


def mcp_server(tool_name: str) -> str | None:
    """Return the server of an MCP tool's full name, mcp__SERVER__TOOL."""
    server, _, tool = tool_name.removeprefix(_MCP).partition("__")
    return server if tool_name.startswith(_MCP) and server and tool else None
