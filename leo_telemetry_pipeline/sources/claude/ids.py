"""Ids of Claude Code's spans, the same from hooks and from OpenTelemetry.

Belongs here: how trace ids, span ids and prompt keys are derived. Does not: spans (assembler).
An id is a digest of the session and of an id that both sources know: the prompt id, ``tool_use_id`` or ``agent_id``.
If OpenTelemetry does not report the prompt id, its trace id stands in for it.
"""

import hashlib

# Prefix of the key of a prompt that is known only by its OpenTelemetry trace.
_BY_TRACE = "otel:"


def by_trace(trace: str) -> str:
    """Return the key of a prompt that is known only by its OpenTelemetry trace."""
    return _BY_TRACE + trace


def trace_of(prompt: str) -> str | None:
    """Return the OpenTelemetry trace of a key from ``by_trace``, None for any other key."""
    return prompt.removeprefix(_BY_TRACE) if prompt.startswith(_BY_TRACE) else None


def trace_id(session: str, prompt: str) -> str:
    """Return the trace id of a prompt."""
    return uuid(trace_of(prompt) or _digest(16, session, prompt))


def span_id(session: str, kind: str, key: str) -> str:
    """Return a span id of 16 hex digits; the prompt is left out, since a redelivered event may name another prompt."""
    return _digest(8, session, kind, key)


def run_key(agent: str, number: int) -> str:
    """Return the key of the n-th run of a sub-agent, counted from 1."""
    return agent if number == 1 else f"{agent}#{number}"


def uuid(digits: str) -> str:
    """Return 16 or 32 hex digits as a UUID; 16 digits are padded with leading zeros."""
    digits = digits.rjust(32, "0")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _digest(size: int, *words: str) -> str:
    # JSON may contain lone surrogates, and a session id may be any text.
    text = "\0".join(words).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=size).hexdigest()
