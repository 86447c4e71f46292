"""Spans of GitHub Actions: a workflow run is the root, with its jobs and their steps.

Belongs here: ids, names, parents, status, and which records are not spans.
Does not: field names of GitHub (records), files (files).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.sources import times
from leo_telemetry_pipeline.sources.github.records import Job, Run
from leo_telemetry_pipeline.sources.past import LeftOut, span_id, trace_id
from leo_telemetry_pipeline.sources.rows import span_from_row
from leo_telemetry_pipeline.span import InvalidSpan, Span

WORKFLOW, JOB, STEP = "github_workflow", "github_job", "github_step"

UNFINISHED = "still in progress, or without a conclusion"
NOT_RUN = "skipped"
CANCELLED = "cancelled: their times say when someone lost patience"
NO_TIMES = "without a start or an end"
NO_RUN = "job(s) of runs that are in no file: `gh run list` names their workflow"
_WITHOUT_WORK = {"skipped": NOT_RUN, "cancelled": CANCELLED, "stale": CANCELLED}
# Jobs of a matrix, as GitHub names them: the job's name, and its values in the matrix.
_OF_MATRIX = re.compile(r"(?P<job>.*\S) \((?P<matrix>[^()]+)\)").fullmatch
_FAILED = frozenset(("failure", "timed_out", "startup_failure", "action_required"))


@dataclass(frozen=True)
class Maker:
    """Makes spans under a policy; ``runs`` are all known attempts by run id, oldest first."""

    runs: Mapping[int, tuple[Run, ...]]
    policy: redact.Policy

    def of_run(self, run: Run) -> Iterator[Span | LeftOut | InvalidSpan]:
        """Yield the root span of a run, or why there is none."""
        left_out = _left_out(run.conclusion, run.started, run.updated, "run(s)")
        if left_out:
            yield left_out
            return
        yield self._span(
            WORKFLOW,
            _named(run.repository, run.workflow),
            run.id,
            _root(run.id, run.attempt),
            None,
            (run.started, run.updated, run.conclusion),
            _of_run(run),
        )

    def of_job(self, job: Job) -> Iterator[Span | LeftOut | InvalidSpan]:
        """Yield the spans of a job and of its steps, or why there are none."""
        run = self._run_of(job)
        if run is None and not job.workflow:
            yield LeftOut(NO_RUN)
            return
        workflow = run.workflow if run else job.workflow
        repository = (run.repository if run else "") or job.repository
        attempt = job.attempt or (self._attempt(run, job) if run else 1)
        of_matrix = _OF_MATRIX(job.name)
        name, matrix = (of_matrix["job"], of_matrix["matrix"]) if of_matrix else (job.name, "")
        of_job = {
            **(_of_run(run) if run else {"branch": job.branch, "head_sha": job.sha}),
            "repository": repository,
            "attempt": attempt,
            "matrix": matrix,
            "runner": job.runner,
            "labels": job.labels,
        }
        own = span_id("github", "job", job.run_id, job.id)
        left_out = _left_out(job.conclusion, job.started, job.completed, "job(s)")
        yield left_out or self._span(
            JOB,
            _named(repository, workflow, name),
            job.run_id,
            own,
            _root(job.run_id, attempt),
            (job.started, job.completed, job.conclusion),
            of_job,
            job.created,
        )
        for step in job.steps:
            yield _left_out(step.conclusion, step.started, step.completed, "step(s)") or self._span(
                STEP,
                _named(repository, workflow, name, step.name),
                job.run_id,
                span_id("github", "step", job.run_id, job.id, step.number),
                own,
                (step.started, step.completed, step.conclusion),
                of_job,
            )

    def _run_of(self, job: Job) -> Run | None:
        known = self.runs.get(job.run_id, ())
        return next((run for run in known if run.attempt == job.attempt), known[-1] if known else None)

    def _attempt(self, run: Run, job: Job) -> int:
        # After "re-run failed jobs", gh lists the jobs of an earlier attempt that succeeded beside those of the last.
        return max(1, run.attempt - 1) if job.started and job.started < run.started else run.attempt

    def _span(
        self,
        span_type: str,
        name: str,
        run_id: int,
        own_id: str,
        parent: str | None,
        ended: tuple[str, str, str],
        attributes: Mapping[str, object],
        created: str = "",
    ) -> Span | InvalidSpan:
        started, completed, conclusion = ended
        known = {key: value for key, value in attributes.items() if value not in ("", None)}
        try:
            start, end = (times.moment(text, "start or end") for text in (started, completed))
            queued = times.moment(created, "created_at") if created else None
            # GitHub's clocks are not one clock: a step may end before it starts, and a job start before it is created.
            end = end if end is None or start is None else max(start, end)
            return span_from_row(
                {
                    "trace_id": trace_id("github", run_id),
                    "span_id": own_id,
                    "parent_span_id": parent,
                    "span_type": span_type,
                    "span_name": name,
                    "project": known.get("repository"),
                    "start_time_ms": start,
                    "end_time_ms": end,
                    "duration_ms": None if end is None or start is None else end - start,
                    "queue_wait_ms": None if queued is None or start is None else max(0, start - queued),
                    "status": "ERROR" if conclusion in _FAILED else "OK",
                    "attributes": known | {"conclusion": conclusion},
                },
                policy=self.policy,
            )
        except InvalidSpan as error:
            return error


def by_run(runs: Iterable[Run]) -> dict[int, tuple[Run, ...]]:
    """Return runs by id, the attempts of each in order."""
    found: dict[int, list[Run]] = {}
    for run in runs:
        found.setdefault(run.id, []).append(run)
    return {number: tuple(sorted(of_one, key=lambda run: run.attempt)) for number, of_one in found.items()}


def _left_out(conclusion: str, started: str, ended: str, what: str) -> LeftOut | None:
    if not conclusion:
        return LeftOut(f"{what} {UNFINISHED}")
    if conclusion in _WITHOUT_WORK:
        return LeftOut(f"{what} {_WITHOUT_WORK[conclusion]}")
    return None if started and ended else LeftOut(f"{what} {NO_TIMES}")


def _root(run_id: int, attempt: int) -> str:
    return span_id("github", "run", run_id, attempt)


def _of_run(run: Run) -> dict[str, object]:
    return {
        "repository": run.repository,
        "workflow": run.workflow,
        "event": run.event,
        "branch": run.branch,
        "head_sha": run.sha,
        "attempt": run.attempt,
    }


def _named(repository: str, *names: str) -> str:
    # Without its owner, a repository is as short as people call it.
    return " / ".join(filter(None, (repository.rpartition("/")[2], *names)))
