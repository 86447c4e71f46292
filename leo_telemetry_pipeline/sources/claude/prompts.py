"""Spans of prompts: start, end, status and kind.

Belongs here: which Stop is the last one, slash commands, prompts that Claude Code submits itself. Does not: sub-agents
(agents), tools (tools).
"""

from dataclasses import dataclass, field

from leo_telemetry_pipeline.sources.claude import ids, names
from leo_telemetry_pipeline.sources.claude.evidence import QUIET_S, Evidence
from leo_telemetry_pipeline.sources.claude.maker import Maker, chosen
from leo_telemetry_pipeline.sources.claude.runs import SubagentRun, is_echo
from leo_telemetry_pipeline.span import Lasted, lasted_between

# A tool that ends this long after a Stop ran after that Stop, so the Stop was blocked. Concurrent hooks are recorded
# within less time.
_AFTER_STOP_NS = 2_000_000_000
# Claude Code submits the notification about a background sub-agent at once; no person is as quick. On a busy machine,
# log events still show it: the notification is the session's next event.
_AT_ONCE_MS = 1_000
_NO_END = 10**9
_NEVER = 2**63
_ABORTED = "AbortError"


@dataclass
class Prompt:
    """A prompt. Times are epoch ms; ``duration`` and ``status`` are None if it was not answered."""

    key: str
    source: dict
    start_ms: int
    duration: Lasted | None
    status: str | None
    span_type: str
    span_name: str
    is_complete: bool
    notes: list[dict]
    attributes: dict = field(default_factory=dict)


def make_prompts(maker: Maker) -> None:
    """Add a span for each complete prompt, the root of its trace."""
    _remember_ends(maker.evidence, [run for runs in maker.runs.values() for run in runs])
    for prompt in prompts_of(maker.evidence):
        if maker.is_built("prompt", prompt.key):
            maker.evidence.use(*prompt.notes)
        elif prompt.is_complete:
            _add(maker, prompt)


def _add(maker: Maker, prompt: Prompt) -> None:
    maker.add(
        prompt.source,
        prompt.key,
        ("prompt", prompt.key),
        (prompt.span_type, prompt.span_name),
        start_time_ms=prompt.start_ms,
        duration=prompt.duration,
        status=prompt.status,
        attributes=chosen(*prompt.notes) | prompt.attributes,
    )
    maker.evidence.use(*prompt.notes)


def prompts_of(evidence: Evidence) -> list[Prompt]:
    """Return all known prompts by start time."""
    interactions, logs = {}, {}
    for note in evidence.of("interaction"):
        key = evidence.prompt_of(note["trace"])
        if key is not None:
            interactions[key] = note
    for note in evidence.logs.get("user_prompt", []):
        if "prompt_id" in note:
            logs.setdefault(note["prompt_id"], note)
    prompts = []
    for key in evidence.submitted | evidence.stops | interactions | logs:
        prompt = _prompt(key, evidence, interactions.get(key), logs.get(key))
        if prompt is not None:
            prompts.append(prompt)
    return sorted(prompts, key=lambda prompt: prompt.start_ms)


def _prompt(key: str, evidence: Evidence, interaction: dict | None, log: dict | None) -> Prompt | None:
    submitted, stops = evidence.submitted.get(key), evidence.stops.get(key, [])
    notes = [note for note in (submitted, interaction, log, *stops) if note]
    source = submitted or interaction or log
    if source is None:
        # The note of the prompt's start is delayed.
        if not evidence.may_wait(stops[-1], _NO_END):
            evidence.use(*stops)
        return None
    stop = _last_stop(key, evidence, stops)
    if interaction:
        _remember_turn(evidence, interaction)
        start = interaction["start_ns"] // 1_000_000
        duration = lasted_between(interaction["start_ns"], interaction["end_ns"])
        status = _status(evidence, interaction, stop)
        # The hook that reports the kind of prompt may be late.
        overtook = submitted is None and evidence.memory.hooked and not _is_built_in(log)
        is_complete = not (overtook and evidence.may_wait(interaction))
        if stop is None and _is_interrupted(evidence, interaction):
            # An unanswered prompt has no meaningful duration.
            duration = status = None
    else:
        start = submitted["wall_ns"] // 1_000_000 if submitted else source["at_ns"] // 1_000_000
        duration = _taken(submitted, stop)
        status = None if stop is None else "OK" if stop["event"] == "Stop" else "ERROR"
        is_complete = _is_settled(key, evidence, source, stop)
    span_type, span_name = _kind(evidence, submitted, interaction, log)
    attributes = {}
    for note in (log, submitted, stop):
        attributes |= {name: note[name] for name in ("effort",) if note and name in note}
    if status == "ERROR" and stop and "error_type" in stop:
        attributes["error.type"] = stop["error_type"]
    return Prompt(key, source, start, duration, status, span_type, span_name, is_complete, notes, attributes)


def _kind(evidence: Evidence, submitted: dict | None, interaction: dict | None, log: dict | None) -> tuple[str, str]:
    follows_an_end = interaction is not None and _is_notification(evidence, interaction, log)
    if "synthetic" in submitted if submitted else follows_an_end:
        return "operation", names.NOTIFICATION
    # Built-in commands do not run hooks, since no agent works on them.
    built_in = submitted is None and _is_built_in(log)
    return "command" if built_in else "handoff", names.prompt_name(submitted, log)


def _is_built_in(log: dict | None) -> bool:
    return log is not None and log.get("command_source") == "builtin"


def _last_stop(key: str, evidence: Evidence, stops: list[dict]) -> dict | None:
    """Return the last Stop of a prompt, None if a user's Stop hook blocked it and work continued."""
    if not stops:
        return None
    distinct: list[dict] = []
    for note in sorted(stops, key=lambda note: note["monotonic_ns"]):
        if not is_echo(distinct, note):
            distinct.append(note)
    last = distinct[-1]
    evidence.use(*(note for note in stops if note is not last))
    after = last["monotonic_ns"] + _AFTER_STOP_NS
    for note in evidence.used_tools.values():
        if note["prompt_id"] == key and "agent_id" not in note and note["monotonic_ns"] > after:
            evidence.use(last)
            return None
    return last


def _is_settled(key: str, evidence: Evidence, source: dict, stop: dict | None) -> bool:
    """Return whether hooks will report nothing more about a prompt."""
    if stop is None:
        return not evidence.may_wait(source, _NO_END)
    if stop["event"] == "StopFailure":
        # Hooks cannot block a StopFailure.
        return True
    later = [note for prompt, note in evidence.submitted.items() if prompt != key]
    if any(note["monotonic_ns"] > stop["monotonic_ns"] for note in later):
        return True
    return not evidence.may_wait(stop, QUIET_S)


def _is_interrupted(evidence: Evidence, interaction: dict) -> bool:
    """Return whether the user interrupted a prompt: its last operation was a tool, which was aborted."""
    last = (evidence.outer(interaction["trace"]) or [{}])[-1]
    execution = evidence.executions.get(last.get("tool_use_id", ""), {})
    return execution.get("error_type") == _ABORTED


def _status(evidence: Evidence, interaction: dict, stop: dict | None) -> str:
    if stop and stop["event"] == "StopFailure":
        return "ERROR"
    requests = [note for note in evidence.outer(interaction["trace"]) if note["name"] == "llm_request"]
    return "ERROR" if requests and requests[-1].get("success") is False else "OK"


def _remember_ends(evidence: Evidence, runs: list[SubagentRun]) -> None:
    """Remember which background sub-agents have ended, and whether the prompt that was running then was notified."""
    pending = evidence.memory.pending
    logs = [note for note in evidence.logs.get("subagent_completed", []) if note.get("background")]
    ends = {end // 1_000_000: None for run in runs for end in _end_without_logs(run, evidence)}
    ends |= {note["at_ns"] // 1_000_000: note.get("event_sequence") for note in logs}
    known_ends = {known[0] for known in pending}
    pending += [[end, False, ends[end]] for end in sorted(ends.keys() - known_ends)]
    unnotified = [known for known in pending if not known[1]]
    for note in evidence.of("llm_request") if unnotified else ():
        evidence.prompt_of(note["trace"])
        began = evidence.memory.traces.get(note["trace"], [None, _NEVER])[1]
        for known in unnotified if "agent_id" not in note else ():
            known[1] = known[1] or began < known[0] <= note["start_ns"] // 1_000_000
        unnotified = [known for known in unnotified if not known[1]]


def _end_without_logs(run: SubagentRun, evidence: Evidence) -> list[int]:
    """Return the end of a background sub-agent, by its last answer, as a list; empty if it is unknown or logged."""
    execution = evidence.executions.get(run.tool.get("tool_use_id", "")) if run.tool else None
    if execution is None or run.completed or ids.trace_of(run.prompt or "") is None:
        return []
    last = max(run.inside, key=lambda note: note["end_ns"], default={})
    is_over = last.get("stop_reason") == "end_turn" and last["end_ns"] > execution["end_ns"]
    return [last["end_ns"]] if is_over else []


def _remember_turn(evidence: Evidence, interaction: dict) -> None:
    turn = [interaction["start_ns"] // 1_000_000, interaction["end_ns"] // 1_000_000]
    if turn not in evidence.memory.turns:
        evidence.memory.turns.append(turn)


def _is_notification(evidence: Evidence, interaction: dict, log: dict | None) -> bool:
    """Return whether a prompt is the notification of a background sub-agent's end, which it follows at once."""
    if log is not None and "command" in log:
        return False
    start = interaction["start_ns"] // 1_000_000
    previous = log["event_sequence"] - 1 if log is not None and "event_sequence" in log else None
    for known in evidence.memory.pending:
        end, is_notified, sequence = known
        if is_notified or not end <= start:
            continue
        around = [turn[1] for turn in evidence.memory.turns if turn[0] <= end <= turn[1] <= start]
        if (sequence is not None and sequence == previous) or start <= max([end, *around]) + _AT_ONCE_MS:
            known[1] = True
            return True
    return False


def _taken(start: dict | None, end: dict | None) -> Lasted | None:
    """Return the time between two notes; None if their monotonic clocks differ, as after a reboot."""
    if start is None or end is None or end["monotonic_ns"] < start["monotonic_ns"]:
        return None
    return lasted_between(start["monotonic_ns"], end["monotonic_ns"])
