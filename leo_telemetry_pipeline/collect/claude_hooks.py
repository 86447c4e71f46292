"""What Claude Code tells its hooks becomes spans: a prompt and its answer, sub-agents, tools.

Belongs here: what is noted of an event, and which spans the notes of one session make; pure functions.
Does not: processes, files, the spool (cli/hook_spans), and what Claude Code exports by itself (otlp).
No word of a conversation and nothing of a tool's input or output gets into a note.
"""

from leo_telemetry_pipeline.collect.conventions import SUBAGENT_TOOLS
from leo_telemetry_pipeline.span import InvalidSpan, Span

# These end something, so spans can be made after them.
ENDS = ("Stop", "StopFailure", "SessionEnd")
EVENTS = ("UserPromptSubmit", "SubagentStart", "SubagentStop", "PostToolUse", "PostToolUseFailure", *ENDS)

# As Claude Code's own span of it is called, so that both ways count as one.
_PROMPT_NAME = "claude_code.interaction"

_HEX = frozenset("0123456789abcdef")
_LONGEST_NAME = 60
_TEXTS = ("prompt_id", "agent_id", "agent_type", "tool_name", "tool_use_id", "permission_mode")
_AGENT_TEXTS = ("agentId", "agentType", "status", "resolvedModel")
_AGENT_NUMBERS = ("totalDurationMs", "totalTokens", "totalToolUseCount")
_LONGEST_TEXT = 200
_LARGEST_NUMBER = 2**53
# An event that is delivered again comes at another time, so only its id tells. So many spans do not lie between the
# two, and the list, which is written anew each time, stays short.
_REMEMBERED = 10_000


def note(event: object, wall_ns: int, monotonic_ns: int) -> dict | None:
    """Return what is kept of an event that arrived at a moment, as JSON can hold it; None when it makes no span."""
    if not isinstance(event, dict) or event.get("hook_event_name") not in EVENTS:
        return None
    kept = {"event": event["hook_event_name"], "wall_ns": wall_ns, "monotonic_ns": monotonic_ns}
    kept |= _texts(event, _TEXTS) | _numbers(event, ("duration_ms",))
    if event.get("is_interrupt") is True:
        kept["interrupted"] = True
    if kept.get("tool_name") in SUBAGENT_TOOLS:
        asked, answered = event.get("tool_input"), event.get("tool_response")
        kept["agent"] = _texts(asked, ("subagent_type",))
        kept["agent"] |= _texts(answered, _AGENT_TEXTS) | _numbers(answered, _AGENT_NUMBERS)
    return kept


def spans(notes: list[dict], *, session: str, project: str = "", final: bool = False) -> tuple[list[Span], list[dict]]:
    """Return the spans that the notes of a session complete, each once, and the notes still needed for others.

    ``final`` says that no more notes come: a sub-agent whose parent is unknown belongs to its prompt, a prompt
    that was not answered has no end, and no note is needed any more. Notes that make no valid span are left out.
    """
    made = _Session(session, project, notes)
    made.tools(final)
    made.agents(final)
    made.prompts(final)
    if final:
        return made.spans, []
    return made.spans, made.open + ([{"event": "Made", "ids": [*made.made][-_REMEMBERED:]}] if made.made else [])


def resumed(notes: list[dict], since_ns: float) -> bool:
    """Tell whether the session's last prompt began after a moment of the monotonic clock, and is not answered yet."""
    last = next((item for item in reversed(notes) if item["event"] == "UserPromptSubmit"), None)
    if last is None or last["monotonic_ns"] <= since_ns:
        return False
    answered = [item for item in notes if item["event"] in ("Stop", "StopFailure")]
    return not any(item.get("prompt_id") == last.get("prompt_id") for item in answered)


class _Session:
    """The notes of one session, by what they are about, and what became of them."""

    def __init__(self, session: str, project: str, notes: list[dict]) -> None:
        self.session = session
        self.project = project
        self.spans: list[Span] = []
        self.open: list[dict] = []
        # A dict for its order: the ids of all spans made so far.
        self.made: dict[str, None] = {}
        self.submitted: dict[str, dict] = {}
        self.stopped: dict[str, dict] = {}
        self.started: dict[str, dict] = {}
        self.launched: dict[str, dict] = {}
        self.ended: dict[str, dict] = {}
        self.used: dict[str, dict] = {}
        current = ""
        for item in map(dict, notes):
            if item["event"] == "UserPromptSubmit":
                # Older versions name no prompt; then each that begins gets a name of its own.
                current = item.setdefault("prompt_id", f"at {item['wall_ns']}")
            if item["event"] == "Made":
                self.made |= dict.fromkeys(item["ids"])
            else:
                item.setdefault("prompt_id", current)
                self._sort(item)

    def _sort(self, item: dict) -> None:
        event, agent = item["event"], item.get("agent_id")
        if event == "UserPromptSubmit":
            self.submitted.setdefault(item["prompt_id"], item)
        elif event in ("Stop", "StopFailure"):
            self.stopped.setdefault(item["prompt_id"], item)
        elif event == "SubagentStart" and agent:
            self.started.setdefault(agent, item)
        elif event == "SubagentStop" and agent:
            self.ended.setdefault(agent, item)
        elif event == "PostToolUse" and item.get("agent", {}).get("agentId"):
            self.launched.setdefault(item["agent"]["agentId"], item)
        elif event in ("PostToolUse", "PostToolUseFailure") and "tool_use_id" in item:
            self.used.setdefault(item["tool_use_id"], item)

    def tools(self, final: bool) -> None:
        """Make a span of each tool that was used; Claude Code says how long, without waiting for a person."""
        for key, item in self.used.items():
            name, duration = item.get("tool_name"), item.get("duration_ms")
            # A sub-agent that failed names no agent, only what was asked for.
            asked = item.get("agent", {}).get("subagent_type")
            if self._id("tool", key) in self.made or (asked and self._launches(item, asked, final)):
                continue
            if name is None or duration is None:
                continue
            self._add(
                item,
                ("tool", key),
                span_type="subagent" if asked else "tool",
                span_name=asked or name,
                start_time_ms=item["wall_ns"] // 1_000_000 - duration,
                duration_ms=duration,
                parent=item.get("agent_id"),
                status="OK" if item["event"] == "PostToolUse" else "ERROR",
                attributes={"tool_use_id": key} | _interrupted(item),
            )

    def _launches(self, item: dict, asked: str, final: bool) -> bool:
        """Take a result that names no agent for that of a sub-agent of its prompt and type, the first that ended."""
        for agent, told in (self.ended | self.started).items():
            if agent in self.launched or agent == item.get("agent_id") or self._id("agent", agent) in self.made:
                continue
            if (told["prompt_id"], told.get("agent_type")) != (item["prompt_id"], asked):
                continue
            if final or agent in self.ended:
                self.launched[agent] = item | {"agent": {"status": "completed"} | item["agent"]}
            else:
                # It runs on, or the hook of its end was overtaken.
                self.open.append(item)
            return True
        return False

    def agents(self, final: bool) -> None:
        """Make a span of each sub-agent that has ended, once it is known who launched it."""
        for agent in self.started | self.launched | self.ended:
            start, launch, end = (notes.get(agent) for notes in (self.started, self.launched, self.ended))
            first = start or launch or end
            assert first is not None
            result = launch["agent"] if launch else {}
            duration = _taken(start, end)
            if launch and result.get("status") == "completed":
                duration = result.get("totalDurationMs", launch.get("duration_ms", duration))
            if duration is None or (launch is None and not final):
                if self._id("agent", agent) not in self.made:
                    self.open += [item for item in (start, launch, end) if item]
                continue
            self._add(
                first,
                ("agent", agent),
                span_type="subagent",
                span_name=(start or end or {}).get("agent_type") or result.get("agentType") or "Agent",
                start_time_ms=first["wall_ns"] // 1_000_000 - (0 if start else duration),
                duration_ms=duration,
                parent=launch.get("agent_id") if launch else None,
                status="ERROR" if launch and launch["event"] == "PostToolUseFailure" else "OK",
                attributes={"agent_id": agent, **_of_agent(result)} | _interrupted(launch),
            )
            if launch and launch.get("tool_use_id") in self.used:
                self.made[self._id("tool", launch["tool_use_id"])] = None

    def prompts(self, final: bool) -> None:
        """Make a span of each prompt that was answered, the root of its trace."""
        for prompt in self.submitted | self.stopped:
            start, end = self.submitted.get(prompt), self.stopped.get(prompt)
            # The hooks run side by side, so an end can be noted before its beginning.
            if start is None or (end is None and not final):
                if self._id("prompt", prompt) not in self.made:
                    self.open += [item for item in (start, end) if item]
                continue
            self._add(
                start,
                ("prompt", prompt),
                span_type="handoff",
                span_name=_PROMPT_NAME,
                start_time_ms=start["wall_ns"] // 1_000_000,
                duration_ms=_taken(start, end),
                status=None if end is None else "OK" if end["event"] == "Stop" else "ERROR",
                attributes={},
            )

    def _add(self, item: dict, key: tuple[str, str], *, parent: str | None = None, attributes: dict, **columns) -> None:
        prompt = item["prompt_id"]
        if key[0] == "tool" and parent in self.started:
            # What runs in a sub-agent belongs to the prompt that started that, whichever is being answered by now.
            prompt = self.started[parent]["prompt_id"]
        own = self._id(*key)
        if own in self.made:
            return
        self.made[own] = None
        start, duration = columns["start_time_ms"], columns["duration_ms"]
        common = {"service.name": "claude-code", "session.id": self.session}
        if mode := item.get("permission_mode"):
            common["permission_mode"] = mode
        above = self._id("agent", parent) if parent else self._id("prompt", prompt)
        try:
            span = Span(
                trace_id=_uuid(_digest(16, self.session, prompt)),
                span_id=_uuid("0" * 16 + own),
                parent_span_id=None if key[0] == "prompt" else _uuid("0" * 16 + above),
                end_time_ms=None if duration is None else start + duration,
                project=self.project,
                attributes=common | attributes,
                **columns,
            )
        except InvalidSpan:
            return
        self.spans.append(span)

    def _id(self, kind: str, key: str) -> str:
        # Without the prompt: told again, an event may come under the next one.
        return _digest(8, self.session, kind, key)


def _of_agent(result: dict) -> dict:
    names = {"resolvedModel": "model", "totalTokens": "total_tokens", "totalToolUseCount": "tool_uses"}
    found = {name: result[key] for key, name in names.items() if key in result}
    return found | ({"background": True} if result.get("status") == "async_launched" else {})


def _interrupted(item: dict | None) -> dict:
    return {"interrupted": True} if item and item.get("interrupted") else {}


def _taken(start: dict | None, end: dict | None) -> int | None:
    """Return the milliseconds between two notes of one session, which is never longer than the machine is up."""
    if start is None or end is None or end["monotonic_ns"] < start["monotonic_ns"]:
        return None
    return (end["monotonic_ns"] - start["monotonic_ns"] + 500_000) // 1_000_000


def _texts(holder: object, names: tuple[str, ...]) -> dict:
    found = {name: holder.get(name) for name in names} if isinstance(holder, dict) else {}
    texts = {name: text for name, text in found.items() if isinstance(text, str) and text.strip()}
    return {name: storable(text, _LONGEST_TEXT) for name, text in texts.items()}


def storable(text: str, limit: int) -> str:
    """Return a text of at most ``limit`` characters as it may be noted, without secrets."""
    plain = text.replace("_", "").replace("-", "")
    is_name = plain.isalpha() or set(plain) <= _HEX or (text.startswith("toolu_") and plain.isalnum())
    if is_name and text.isascii() and len(text) <= min(limit, _LONGEST_NAME):
        return text
    # What knows secrets takes longer to load than all the rest, and somebody waits for a note.
    from leo_telemetry_pipeline import redact

    return redact.text(text, limit)


def _numbers(holder: object, names: tuple[str, ...]) -> dict:
    found = {name: holder.get(name) for name in names} if isinstance(holder, dict) else {}
    numbers = {name: n for name, n in found.items() if isinstance(n, int | float) and not isinstance(n, bool)}
    return {name: round(n) for name, n in numbers.items() if 0 <= n <= _LARGEST_NUMBER}


def _digest(size: int, *words: str) -> str:
    # Not needed for a note, which is what somebody waits for.
    import hashlib

    # Surrogates can come out of JSON, and a session may be called anything.
    text = "\0".join(words).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=size).hexdigest()


def _uuid(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
