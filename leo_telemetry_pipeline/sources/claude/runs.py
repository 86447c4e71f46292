"""Runs of sub-agents in a session's notes; a sub-agent that is continued runs again.

Belongs here: start and end of each run, from the most precise source: log events and results of launching tools have
the exact duration, hooks report the run's start and end, other exports only the operations inside. Does not: spans
(assembler).
"""

from dataclasses import dataclass, field

from leo_telemetry_pipeline.sources.claude.evidence import QUIET_S, Evidence
from leo_telemetry_pipeline.sources.otlp.conventions import SUBAGENT_TOOLS
from leo_telemetry_pipeline.span import Lasted, lasted_between

_END = float("inf")
# An event repeated within this time was delivered twice: to continue, a sub-agent needs a request to the model.
_ECHO_MS = 50
# Operations inside may seem to start before the hook's process reports the start of the run.
_SLACK_MS = 150


@dataclass
class SubagentRun:
    """One run of a sub-agent. Times are epoch ms; ``end_ms`` is None while unknown.

    ``launch`` is the hook note of the tool that started or continued it, ``tool`` its OpenTelemetry note.
    """

    agent: str
    start_ms: int
    end_ms: int | None = None
    start: dict | None = None
    ends: list[dict] = field(default_factory=list)
    launch: dict | None = None
    completed: dict | None = None
    inside: list[dict] = field(default_factory=list)
    tool: dict | None = None
    prompt: str | None = None
    built: bool = False

    @property
    def notes(self) -> list[dict]:
        """All notes about this run, except those of operations inside."""
        single = (self.start, self.launch, self.completed, self.tool)
        return [*(note for note in single if note), *self.ends]

    def has(self, moment_ms: float) -> bool:
        """Return whether a moment is within the run."""
        return self.start_ms - _SLACK_MS <= moment_ms <= (_END if self.end_ms is None else self.end_ms)

    def is_same(self, other: "SubagentRun") -> bool:
        """Return whether two sources report the same run."""
        return self.has(_middle(other)) or other.has(_middle(self))


def runs_of(evidence: Evidence) -> dict[str, list[SubagentRun]]:
    """Return the runs of each sub-agent in order, including those whose spans were built earlier."""
    inside: dict[str, list[dict]] = {}
    for kind in ("llm_request", "tool"):
        for note in evidence.of(kind):
            if "agent_id" in note:
                inside.setdefault(note["agent_id"], []).append(note)
    completed: dict[str, dict[int, dict]] = {}
    for note in evidence.logs.get("subagent_completed", []):
        if "agent_id" in note and "duration_ms" in note:
            known = completed.setdefault(note["agent_id"], {})
            evidence.use(known.get(note["at_ns"]))
            known[note["at_ns"]] = note
    agents = evidence.agent_notes | evidence.launches | inside | completed | evidence.memory.runs
    by_span = {note["span"]: note for note in evidence.executions.values()}
    runs_by_agent = {}
    for agent in agents:
        runs = [
            SubagentRun(agent, start, end, prompt=prompt, built=True)
            for start, end, prompt in evidence.memory.runs.get(agent, [])
        ]
        for run in [*_from_hooks(agent, evidence), *map(_ended_by_log, completed.get(agent, {}).values())]:
            _merge(runs, run, evidence)
        for note in inside.get(agent, []):
            _put_inside(runs, agent, note)
        for run in runs:
            _link(run, evidence, by_span)
        runs_by_agent[agent] = sorted(runs, key=lambda run: run.start_ms)
    return runs_by_agent


def number_at(runs: list[SubagentRun], moment_ms: int) -> int:
    """Return the number of the run at a moment, counted from 1."""
    return max(1, sum(run.start_ms - _SLACK_MS <= moment_ms for run in runs))


def is_echo(ends: list[dict], note: dict) -> bool:
    """Return whether an end is a second delivery of the last one."""
    return bool(ends) and ends[-1]["event"] == note["event"] and _elapsed(ends[-1], note) <= _ECHO_MS


def _middle(run: SubagentRun) -> float:
    return run.start_ms + _SLACK_MS if run.end_ms is None else (run.start_ms + run.end_ms) / 2


def _from_hooks(agent: str, evidence: Evidence) -> list[SubagentRun]:
    runs: list[SubagentRun] = []
    for note in sorted(evidence.agent_notes.get(agent, []), key=lambda note: note["monotonic_ns"]):
        moment = note["wall_ns"] // 1_000_000
        last = runs[-1] if runs else None
        if note["event"] == "SubagentStart":
            if last is None or (last.ends and _elapsed(last.ends[-1], note) > _ECHO_MS):
                runs.append(SubagentRun(agent, moment, start=note, prompt=note["prompt_id"]))
            else:
                evidence.use(note)
                last.start = last.start or note
            continue
        if last is None:
            # The note of the run's start is delayed or missing.
            last = SubagentRun(agent, moment, prompt=note["prompt_id"])
            runs.append(last)
        if is_echo(last.ends, note):
            evidence.use(note)
            continue
        # A user's hook may block the end, so the last one counts.
        last.ends.append(note)
        if last.start:
            last.end_ms = last.start_ms + max(0, _elapsed(last.start, note))
        else:
            last.end_ms = moment
    for launch in evidence.launches.get(agent, []):
        before = [run for run in runs if run.start_ms <= launch["wall_ns"] // 1_000_000]
        run = before[-1] if before else runs[0] if runs else None
        if run is None:
            run = _of_launch(agent, launch)
            runs.append(run)
        if run.launch is None:
            run.launch = launch
        else:
            evidence.use(launch)
    return runs


def _of_launch(agent: str, launch: dict) -> SubagentRun:
    moment, duration = launch["wall_ns"] // 1_000_000, _foreground_ms(launch)
    # A background run has only started.
    end = None if duration is None else moment
    return SubagentRun(agent, moment - (duration or 0), end, launch=launch, prompt=launch["prompt_id"])


def _foreground_ms(launch: dict) -> int | None:
    result = launch.get("agent", {})
    if result.get("status") != "completed":
        return None
    return result.get("totalDurationMs", launch.get("duration_ms"))


def _ended_by_log(note: dict) -> SubagentRun:
    end = note["at_ns"] // 1_000_000
    return SubagentRun(note["agent_id"], end - note["duration_ms"], end, completed=note, prompt=note.get("prompt_id"))


def _merge(runs: list[SubagentRun], run: SubagentRun, evidence: Evidence) -> None:
    same = next((other for other in runs if other.is_same(run)), None)
    if same is None:
        runs.append(run)
    elif same.built:
        evidence.use(*run.notes)
    else:
        same.completed, same.start_ms, same.end_ms = run.completed, run.start_ms, run.end_ms


def _put_inside(runs: list[SubagentRun], agent: str, note: dict) -> None:
    # Operations started by one tool call belong to one run.
    middle = (note["start_ns"] + note["end_ns"]) / 2_000_000
    same = (run for run in runs if run.inside and run.inside[0]["parent"] == note["parent"])
    around = (run for run in runs if (run.built or run.notes) and run.has(middle))
    run = next(same, None) or next(around, None)
    if run is None:
        run = SubagentRun(agent, note["start_ns"] // 1_000_000)
        runs.append(run)
    run.inside.append(note)


def _link(run: SubagentRun, evidence: Evidence, executions: dict[str, dict]) -> None:
    """Set the OpenTelemetry note of the tool that started or continued a run, and its prompt."""
    if run.built:
        return
    hints = [run.completed["span"]] if run.completed else [note["parent"] for note in run.inside]
    execution = next((executions[hint] for hint in hints if hint in executions), None)
    if execution is None and run.launch:
        execution = evidence.executions.get(run.launch.get("tool_use_id", ""))
    if execution:
        run.tool = evidence.tools.get(execution["tool_use_id"])
        if not (run.start or run.completed or run.launch):
            run.start_ms = min(run.start_ms, execution["start_ns"] // 1_000_000)
    if run.prompt is None:
        traces = [note["trace"] for note in (run.completed, *run.inside) if note]
        run.prompt = evidence.prompt_of(traces[0]) if traces else None


def duration_of(run: SubagentRun, evidence: Evidence) -> Lasted | None:
    """Return the duration of a run, None while it is uncertain."""
    if run.completed:
        return run.completed["duration_ms"], None
    if run.launch and (duration := _foreground_ms(run.launch)) is not None:
        return duration, None
    if run.ends:
        last = run.ends[-1]
        # A user's hook may have blocked this end; then another end follows.
        if run.launch is not None and _goes_on(last, evidence):
            return None
        return None if run.start is None else _elapsed_or_none(run.start, last)
    if not run.inside or run.start:
        return None
    return _by_descendants(run, evidence)


def _goes_on(end: dict, evidence: Evidence) -> bool:
    if end["event"] != "SubagentStop" or not evidence.may_wait(end, QUIET_S):
        return False
    return not any(moment > end["monotonic_ns"] for moment in evidence.submissions)


def _by_descendants(run: SubagentRun, evidence: Evidence) -> Lasted | None:
    last = max(note["end_ns"] for note in run.inside)
    key = run.tool.get("tool_use_id", "") if run.tool else ""
    execution = evidence.executions.get(key)
    is_foreground = execution is not None and execution["end_ns"] >= last
    if execution and is_foreground and execution.get("success") is False:
        last = execution["end_ns"]
    patience = {} if is_foreground else {"patience_s": QUIET_S}
    if any(evidence.may_wait(note, **patience) for note in run.inside):
        return None
    return max(0, last // 1_000_000 - run.start_ms), None


def _elapsed(first: dict, second: dict) -> int:
    return (second["monotonic_ns"] - first["monotonic_ns"] + 500_000) // 1_000_000


def _elapsed_or_none(first: dict, second: dict) -> Lasted | None:
    """Return the time between two notes; None if their monotonic clocks differ, as after a reboot."""
    began, ended = first["monotonic_ns"], second["monotonic_ns"]
    return lasted_between(began, ended) if ended >= began else None


def is_launch(tool: dict) -> bool:
    """Return whether this tool launches sub-agents."""
    return tool.get("tool_name") in SUBAGENT_TOOLS
