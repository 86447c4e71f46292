"""Builder of Claude Code spans: columns and attributes that all of them share.

Belongs here: ids, parents, common attributes. Does not: which notes form which span (tools, agents, prompts, exported).
"""

from leo_telemetry_pipeline.sources.claude import ids
from leo_telemetry_pipeline.sources.claude.evidence import Evidence
from leo_telemetry_pipeline.sources.claude.runs import number_at, runs_of
from leo_telemetry_pipeline.span import InvalidSpan, Lasted, Span, lasted_between


class Maker:
    """Builds spans from the notes of one session."""

    def __init__(self, session: str, project: str, evidence: Evidence) -> None:
        self.session = session
        self.project = project
        self.evidence = evidence
        self.spans: list[Span] = []
        self.runs = runs_of(evidence)
        self.by_tool = {
            note["tool_use_id"]: run
            for runs in self.runs.values()
            for run in runs
            for note in (run.launch, run.tool)
            if note and "tool_use_id" in note
        }

    def is_built(self, kind: str, key: str) -> bool:
        """Return whether this span was built, now or earlier."""
        return self.id_of(kind, key) in self.evidence.memory.built

    def forget(self, kind: str, key: str) -> None:
        """Mark a span as built, so that it is never built."""
        self.evidence.memory.built[self.id_of(kind, key)] = None

    def id_of(self, kind: str, key: str) -> str:
        """Return the id of a span as hex digits."""
        if kind == "otel":
            return key
        if kind == "prompt":
            return self.root_of(key)
        return ids.span_id(self.session, kind, key)

    def root_of(self, prompt: str) -> str:
        """Return the id of a prompt's span as hex digits."""
        trace = ids.trace_of(prompt)
        root = self.evidence.memory.traces[trace][2] if trace in self.evidence.memory.traces else ""
        return root or ids.span_id(self.session, "prompt", prompt)

    def prompt_of(self, used: dict | None, tool: dict | None) -> str | None:
        """Return the prompt of a tool from hooks or OpenTelemetry, None while it is unknown."""
        if used:
            return used["prompt_id"]
        return self.evidence.prompt_of(tool["trace"]) if tool else None

    def exported(
        self,
        note: dict,
        kind: tuple[str, str],
        *,
        attributes: dict,
        status: str | None = None,
        agent: str | None = None,
        parent: str | None = None,
    ) -> None:
        """Add a span that only OpenTelemetry reports, with its own id."""
        prompt = self.evidence.prompt_of(note["trace"])
        if prompt is None:
            return
        self.add(
            note,
            prompt,
            ("otel", note["span"]),
            kind,
            agent=agent or note.get("agent_id"),
            parent=parent,
            start_time_ms=note["start_ns"] // 1_000_000,
            duration=lasted_between(note["start_ns"], note["end_ns"]),
            status=status,
            attributes=attributes,
        )
        self.evidence.use(note)

    def logged(self, note: dict, kind: tuple[str, str], status: str, attributes: dict) -> None:
        """Add a span from a log event that reports a duration."""
        prompt = self.evidence.prompt_of(note["trace"])
        duration = note.get("duration_ms")
        if prompt is None and self.evidence.may_wait(note):
            return
        self.evidence.use(note)
        if prompt is None or duration is None:
            return
        self.add(
            note,
            prompt,
            (kind[0], f"{kind[1]} {note['at_ns']} {note['span']}"),
            kind,
            agent=note.get("agent_id"),
            parent=None if note["trace"] else "",
            start_time_ms=note["at_ns"] // 1_000_000 - duration,
            duration=(duration, None),
            status=status,
            attributes=attributes,
        )

    def add(
        self,
        note: dict,
        prompt: str,
        key: tuple[str, str],
        kind: tuple[str, str],
        *,
        start_time_ms: int,
        duration: Lasted | None,
        attributes: dict,
        status: str | None = None,
        agent: str | None = None,
        parent: str | None = None,
    ) -> None:
        """Add a span with the common attributes of a note. An open span may be added again.

        ``key``: what its id is derived from; ``kind``: type and name; ``agent``: the sub-agent it ran in; ``parent``:
        empty for none.
        """
        own = self.id_of(*key)
        if own in self.evidence.memory.built:
            return
        if duration is not None:
            self.evidence.memory.built[own] = None
        duration_ms, rest_us = (None, None) if duration is None else duration
        prompt, above = self._place(prompt, key[0], agent, start_time_ms, parent)
        columns = note.get("columns", {})
        common = {**note.get("resource", {}), **chosen(note), "service.name": "claude-code", "session.id": self.session}
        if mode := note.get("permission_mode"):
            common["permission_mode"] = mode
        try:
            span = Span(
                trace_id=ids.trace_id(self.session, prompt),
                span_id=ids.uuid(own),
                parent_span_id=ids.uuid(above) if above else None,
                span_type=kind[0],
                span_name=kind[1],
                start_time_ms=start_time_ms,
                end_time_ms=None if duration_ms is None else start_time_ms + duration_ms,
                duration_ms=duration_ms,
                duration_rest_us=rest_us,
                project=columns.get("project") or self.evidence.memory.project or self.project,
                sd_id=columns.get("sd_id"),
                workflow_execution_id=columns.get("workflow_execution_id"),
                status=status,
                attributes=common | attributes,
            )
        except InvalidSpan:
            return
        self.spans.append(span)

    def _place(self, prompt: str, kind: str, agent: str | None, moment: int, parent: str | None) -> tuple[str, str]:
        """Return the prompt of a span and the id of its parent."""
        if parent is not None or kind == "prompt":
            return prompt, parent or ""
        if not agent:
            return prompt, self.root_of(prompt)
        number = number_at(self.runs.get(agent, []), moment)
        if kind == "tool":
            # A sub-agent's tools belong to the prompt that started it, whichever prompt is current.
            prompt = self._prompt_of_run(agent, number) or prompt
        return prompt, ids.span_id(self.session, "agent", ids.run_key(agent, number))

    def _prompt_of_run(self, agent: str, number: int) -> str | None:
        runs = self.runs.get(agent, [])
        return runs[number - 1].prompt if number <= len(runs) else None


def chosen(*notes: dict | None) -> dict:
    """Return the OpenTelemetry attributes that the user chose to keep."""
    return {name: value for note in notes if note for name, value in note.get("chosen", {}).items()}


def interrupted(note: dict | None) -> dict:
    """Return the attribute that marks an interruption by the user."""
    return {"interrupted": True} if note and note.get("interrupted") else {}
