"""The ids of Claude Code's spans, which hooks and OpenTelemetry both can make.

Belongs here: what trace and span ids are made of, and memorable keys of prompts. Does not: spans (assembler).
An id is a digest of the session and of what both ways know: the prompt's id, ``tool_use_id`` or ``agent_id``. Where
OpenTelemetry does not tell the prompt's id, its own trace id stands in for the prompt.
"""

import hashlib

# Begins the key of a prompt that is known by its OpenTelemetry trace only.
_BY_TRACE = "otel:"


def by_trace(trace: str) -> str:
    """Return the key of a prompt of which only the OpenTelemetry trace is known."""
    return _BY_TRACE + trace


def trace_of(prompt: str) -> str | None:
    """Return the OpenTelemetry trace of a key that by_trace made, None for any other key."""
    return prompt.removeprefix(_BY_TRACE) if prompt.startswith(_BY_TRACE) else None


def trace_id(session: str, prompt: str) -> str:
    """Return the trace id of a prompt."""
    return uuid(trace_of(prompt) or _digest(16, session, prompt))


def span_id(session: str, kind: str, key: str) -> str:
    """Return 16 hex digits for a span: the prompt is not in it, as a repeated event may come under another one."""
    return _digest(8, session, kind, key)


def run_key(agent: str, number: int) -> str:
    """Return the key of the n-th run of a sub-agent, counted from 1."""
    return agent if number == 1 else f"{agent}#{number}"


def uuid(digits: str) -> str:
    """Return 16 or 32 hex digits as a UUID, the shorter ones with high bits of zero."""
    digits = digits.rjust(32, "0")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _digest(size: int, *words: str) -> str:
    # Surrogates can come out of JSON, and a session may be called anything.
    text = "\0".join(words).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=size).hexdigest()
