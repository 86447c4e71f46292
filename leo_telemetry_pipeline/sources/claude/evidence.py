"""Index of the notes of one Claude Code session, and the memory of notes used earlier.

Belongs here: looking up notes, waiting for missing ones, the prompt of an OpenTelemetry trace. Does not: runs of
sub-agents (runs), spans (assembler).
"""

from dataclasses import dataclass, field

from leo_telemetry_pipeline.sources.claude import ids
from leo_telemetry_pipeline.sources.claude.otel_notes import LOG, SPAN

MEMORY = "Made"
# All notes about one moment arrive within this time: exporters send every five seconds, and hooks run concurrently.
GRACE_S = 15
# An answer counts as the last one after this much silence: a Stop hook may block for a long time.
QUIET_S = 300
# Enough ids to recognize redelivered events, whose times differ.
_MOST_IDS = 10_000
_MOST_TRACES = 1_000
_MOST_TURNS = 20


@dataclass
class Memory:
    """State kept after notes are deleted. Times are epoch ms.

    ``built``: ids of finished spans, in order. ``traces``: [prompt key, start, root span id] by OpenTelemetry trace.
    ``runs``: finished runs as [start, end, prompt] by sub-agent. ``pending``: [end, whether Claude Code was notified,
    ``event.sequence`` of its log event or None] per background sub-agent. ``turns``: start and end of the last prompts.
    ``hooks_logged``: whether log events report hooks. ``project``: from the hooks. ``hooked``: whether hooks report
    the session.
    """

    built: dict[str, None] = field(default_factory=dict)
    traces: dict[str, list] = field(default_factory=dict)
    runs: dict[str, list] = field(default_factory=dict)
    pending: list[list] = field(default_factory=list)
    turns: list[list[int]] = field(default_factory=list)
    hooks_logged: bool = False
    project: str = ""
    hooked: bool = False

    def add(self, note: dict) -> None:
        """Merge an earlier memory from its note."""
        self.built |= dict.fromkeys(note["ids"])
        self.traces |= note.get("traces", {})
        self.runs |= note.get("runs", {})
        self.pending += note.get("pending", [])
        self.turns += note.get("turns", [])
        self.hooks_logged = self.hooks_logged or note.get("hooks_logged", False)
        self.project = self.project or note.get("project", "")
        self.hooked = self.hooked or note.get("hooked", False)

    def note(self) -> dict:
        """Return the memory as a note."""
        kept = {"ids": [*self.built][-_MOST_IDS:]}
        kept |= {"traces": dict([*self.traces.items()][-_MOST_TRACES:])} if self.traces else {}
        kept |= {"runs": dict([*self.runs.items()][-_MOST_TRACES:])} if self.runs else {}
        kept |= {"pending": self.pending[-_MOST_TURNS:]} if self.pending else {}
        kept |= {"turns": self.turns[-_MOST_TURNS:]} if self.turns else {}
        kept |= {"hooks_logged": True} if self.hooks_logged else {}
        kept |= {"project": self.project} if self.project else {}
        kept |= {"hooked": True} if self.hooked else {}
        return {"event": MEMORY, **kept}


class Evidence:
    """The notes of a session. ``final``: no more notes will come; ``now_ns``: wall time, 0 if unknown."""

    def __init__(self, notes: list[dict], *, final: bool, now_ns: int) -> None:
        self.memory = Memory()
        self.notes: list[dict] = []
        self._final = final
        self._now_ns = now_ns
        self._used: set[int] = set()
        self.submitted: dict[str, dict] = {}
        self.submissions: list[int] = []
        self.stops: dict[str, list[dict]] = {}
        self.agent_notes: dict[str, list[dict]] = {}
        self.launches: dict[str, list[dict]] = {}
        self.used_tools: dict[str, dict] = {}
        # Notes from OpenTelemetry: spans by kind and id, log events by kind.
        self.spans: dict[str, dict[str, dict]] = {}
        self.logs: dict[str, list[dict]] = {}
        self._by_trace: dict[str, list[dict]] = {}
        self._unknown: set[str] = set()
        current = ""
        for item in map(dict, notes):
            if item["event"] == MEMORY:
                self.memory.add(item)
                continue
            if item["event"] == "UserPromptSubmit":
                # Older versions send no prompt id; then each new prompt gets one here.
                current = item.setdefault("prompt_id", f"at {item['wall_ns']}")
            self.memory.project = self.memory.project or item.get("project", "")
            self.notes.append(item)
            if item["event"] in (SPAN, LOG):
                self._sort_otel(item)
            else:
                item.setdefault("prompt_id", current)
                self.memory.hooked = True
                self._sort_hook(item)
        self.tools = {note["tool_use_id"]: note for note in self.of("tool") if "tool_use_id" in note}
        self.results = {note["tool_use_id"]: note for note in self.logs.get("tool_result", []) if "tool_use_id" in note}
        self.executions = {note["tool_use_id"]: note for note in self.of("tool.execution") if "tool_use_id" in note}

    def _sort_hook(self, item: dict) -> None:
        event, agent, prompt = item["event"], item.get("agent_id"), item["prompt_id"]
        if event == "UserPromptSubmit":
            self.submissions.append(item["monotonic_ns"])
            # A background sub-agent may end during a prompt; its notification is not a new prompt.
            if prompt in self.submitted and not self.submitted[prompt].get("synthetic"):
                self.use(item)
            else:
                self.use(self.submitted.get(prompt))
                self.submitted[prompt] = item
        elif event in ("SubagentStart", "SubagentStop") or (event == "StopFailure" and agent):
            self.agent_notes.setdefault(agent, []).append(item) if agent else self.use(item)
        elif event in ("Stop", "StopFailure"):
            self.stops.setdefault(prompt, []).append(item)
        elif event == "PostToolUse" and item.get("agent", {}).get("agentId"):
            self.launches.setdefault(item["agent"]["agentId"], []).append(item)
        elif event in ("PostToolUse", "PostToolUseFailure") and "tool_use_id" in item:
            self.used_tools.setdefault(item["tool_use_id"], item)
            if "resumedAgentId" in item:
                self.launches.setdefault(item["resumedAgentId"], []).append(item)
        else:
            self.use(item)

    def _sort_otel(self, item: dict) -> None:
        self._by_trace.setdefault(item["trace"], []).append(item)
        if item["event"] == SPAN:
            known = self.spans.setdefault(item["name"], {})
            self.use(known.get(item["span"]))
            known[item["span"]] = item
        else:
            self.logs.setdefault(item["name"], []).append(item)

    def of(self, kind: str) -> list[dict]:
        """Return the OpenTelemetry spans of a kind by start time."""
        return sorted(self.spans.get(kind, {}).values(), key=lambda note: note["start_ns"])

    def use(self, *notes: dict | None) -> None:
        """Mark notes as no longer needed."""
        self._used |= {id(note) for note in notes if note is not None}

    def needed(self) -> list[dict]:
        """Return the notes that are still needed, and the memory."""
        remaining = [note for note in self.notes if id(note) not in self._used or self._is_young_otel(note)]
        remembers = self.memory.built or self.memory.traces
        if self._final:
            # The last OpenTelemetry records arrive after the end of a session.
            remaining = [note for note in remaining if self._is_young_otel(note)]
            return [*remaining, self.memory.note()] if remaining else []
        return [*remaining, self.memory.note()] if remembers else remaining

    def _is_young_otel(self, note: dict) -> bool:
        return note["event"] in (SPAN, LOG) and self.may_wait(note)

    def may_wait(self, note: dict, patience_s: int = GRACE_S) -> bool:
        """Return whether notes that belong to this one may still arrive."""
        if not self._now_ns:
            return not self._final
        arrived = note.get("arrived_ns") or note.get("wall_ns") or 0
        is_over = self._final and note["event"] not in (SPAN, LOG)
        return not is_over and self._now_ns - arrived < patience_s * 1_000_000_000

    def prompt_of(self, trace: str) -> str | None:
        """Return the key of the prompt of an OpenTelemetry trace, None while it may still be reported."""
        if trace in self.memory.traces:
            return self.memory.traces[trace][0]
        if not trace:
            return "session"
        if trace in self._unknown:
            return None
        known = self._logged_prompt(trace) or self._shared_prompt(trace)
        if known is None:
            spans = self._spans_in(trace)
            if all(map(self.may_wait, spans)):
                self._unknown.add(trace)
                return None
            known = (ids.by_trace(trace), min(note["start_ns"] for note in spans) // 1_000_000)
        self.memory.traces[trace] = [*known, self._root_of(trace)]
        return known[0]

    def outer(self, trace: str) -> list[dict]:
        """Return a prompt's own requests and tools, without those of its sub-agents, by end time."""
        kinds = ("llm_request", "tool")
        spans = [note for note in self._spans_in(trace) if note["name"] in kinds and "agent_id" not in note]
        return sorted(spans, key=lambda note: note["end_ns"])

    def _spans_in(self, trace: str) -> list[dict]:
        return [note for note in self._by_trace.get(trace, []) if note["event"] == SPAN]

    def _logged_prompt(self, trace: str) -> tuple[str, int] | None:
        """Return the prompt that a log event names, preferably the event of its submission."""
        logs = [note for note in self._by_trace.get(trace, []) if note["event"] == LOG and "prompt_id" in note]
        first = min(logs, key=lambda note: (note["name"] != "user_prompt", note["at_ns"]), default=None)
        return (first["prompt_id"], first["at_ns"] // 1_000_000) if first else None

    def _shared_prompt(self, trace: str) -> tuple[str, int] | None:
        """Return the prompt that a hook note of the same tool or of the same moment names."""
        for note in self._spans_in(trace):
            used = self.used_tools.get(note.get("tool_use_id", ""))
            if note["name"] == "tool" and used and "agent_id" not in used:
                return used["prompt_id"], note["start_ns"] // 1_000_000
            for prompt, submitted in self.submitted.items() if note["name"] == "interaction" else ():
                if note["start_ns"] <= submitted["wall_ns"] <= note["end_ns"]:
                    return prompt, note["start_ns"] // 1_000_000
        return None

    def _root_of(self, trace: str) -> str:
        """Return the OpenTelemetry span id of a trace's prompt, empty if unknown."""
        root = next((note["span"] for note in self._spans_in(trace) if note["name"] == "interaction"), "")
        return root or next((note["parent"] for note in self.outer(trace)), "")
