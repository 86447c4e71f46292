"""Spans of a Dagster run: the run is the root, with one span per attempt of a step, and its start-up as a wait.

Belongs here: ids, names, attempts, and which records are not spans. Does not: Dagster's tables (instance).
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.sources.past import LeftOut, span_id, trace_id
from leo_telemetry_pipeline.sources.rows import span_from_row
from leo_telemetry_pipeline.span import InvalidSpan, Span

RUN, STEP, WAIT = "dagster_run", "dagster_step", "wait"
PROJECT = "dagster"

# The events that are read; Dagster stores ten times as many.
PLANNED, MATERIALIZED = "ASSET_MATERIALIZATION_PLANNED", "ASSET_MATERIALIZATION"
STARTING, STARTED, RESTARTED = "STEP_WORKER_STARTING", "STEP_START", "STEP_RESTARTED"
SUCCEEDED, FAILED, RETRIED, SKIPPED = "STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY", "STEP_SKIPPED"
EVENTS = (PLANNED, MATERIALIZED, STARTING, STARTED, RESTARTED, SUCCEEDED, FAILED, RETRIED, SKIPPED)

UNFINISHED = "run(s) still in progress"
CANCELED = "run(s) canceled: their times say when someone lost patience"
OURS = "run(s) of this program"
NO_END = "step attempt(s) without an end, of runs that were canceled or died"
NOT_RUN = "step(s) skipped"

_FINAL = {"SUCCESS": "OK", "FAILURE": "ERROR"}
# Runs of assets without a job of their own all have one of these names.
_NAMELESS = ("__ASSET_JOB", "__ephemeral_asset_job__")
# The names of our jobs, and the keys of our assets' steps, begin with it.
_OWN = PREFIX.lower()


@dataclass(frozen=True)
class Run:
    """Row of a Dagster run. Times are UTC, as text or as seconds since 1970 in text; empty if unknown."""

    id: str
    job: str
    status: str
    created: str
    started: str
    ended: str
    partition: str


@dataclass(frozen=True)
class Event:
    """Event of a run's log: its type, time (UTC, text), step, and asset key as Dagster writes it."""

    kind: str
    at: str
    step: str
    asset: str


@dataclass(frozen=True)
class Attempt:
    """Attempt of a step, from the start of its worker, if it has one, to its end, which is empty if there is none."""

    step: str
    number: int
    started: str
    worker: str = ""
    ended: str = ""
    status: str = ""


@dataclass
class _Steps:
    """Steps of a run, by key: attempts in order, workers that are starting, and assets."""

    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    workers: dict[str, str] = field(default_factory=dict)
    assets: dict[str, dict[str, None]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    skipped: int = 0

    def add(self, event: Event) -> None:
        self.keys.add(event.step)
        attempts = self.attempts.setdefault(event.step, [])
        if event.kind in (PLANNED, MATERIALIZED):
            self.assets.setdefault(event.step, {})[_asset(event.asset)] = None
        elif event.kind == STARTING:
            self.workers[event.step] = event.at
        elif event.kind in (STARTED, RESTARTED):
            attempts.append(Attempt(event.step, len(attempts) + 1, event.at, self.workers.pop(event.step, "")))
        elif event.kind == SKIPPED:
            self.skipped += 1
        elif attempts and not attempts[-1].ended:
            status = "OK" if event.kind == SUCCEEDED else "ERROR"
            attempts[-1] = replace(attempts[-1], ended=event.at, status=status)


def of_run(run: Run, events: Iterable[Event], policy: redact.Policy) -> Iterator[Span | LeftOut | InvalidSpan]:
    """Yield the spans of a run that has ended, and its records that are not spans."""
    if run.status not in (*_FINAL, "CANCELED"):
        yield LeftOut(UNFINISHED)
        return
    steps = _Steps()
    for event in events:
        if event.step:
            steps.add(event)
    if run.job.startswith(_OWN) or (steps.keys and all(key.startswith(_OWN) for key in steps.keys)):
        yield LeftOut(OURS)
        return
    name = ", ".join(sorted(steps.keys)) or run.job if run.job.startswith(_NAMELESS) else run.job
    if run.status in _FINAL and run.started and run.ended:
        yield _root(run, name, policy)
    else:
        yield LeftOut(CANCELED if run.status == "CANCELED" else NO_END)
    yield from _of_steps(run, steps, policy)


def homes(paths: Sequence[Path], environ: Mapping[str, str]) -> list[Path]:
    """Return the folders that may be homes of Dagster: the given ones, or those where Dagster itself looks."""
    named = list(paths) or [Path(home) for home in (environ.get("DAGSTER_HOME"), ".") if home]
    return list(dict.fromkeys(home.absolute() for home in named))


def utc(seconds: float | None) -> str:
    """Return a moment in the notation of Dagster's events, so that both can be compared as text; empty for None."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S.%f}"


def _root(run: Run, name: str, policy: redact.Policy) -> Span | InvalidSpan:
    row = {"queue_wait_ms": _between(run.created, run.started), "status": _FINAL[run.status]}
    attributes = {"job": run.job, "partition": run.partition}
    return _span(
        run, (RUN, name), span_id("dagster", "run", run.id), None, (run.started, run.ended), row, attributes, policy
    )


def _of_steps(run: Run, steps: _Steps, policy: redact.Policy) -> Iterator[Span | LeftOut | InvalidSpan]:
    for attempt in (attempt for attempts in steps.attempts.values() for attempt in attempts):
        if not attempt.ended:
            yield LeftOut(NO_END)
            continue
        own = span_id("dagster", "step", run.id, attempt.step, attempt.number)
        assets = list(steps.assets.get(attempt.step, ()))
        name, mapped = _named(run, attempt.step, bool(assets))
        attributes = {
            "job": run.job,
            "step_key": attempt.step,
            "mapping_key": mapped,
            "attempt": attempt.number,
            "asset_key": ", ".join(assets),
            "partition": run.partition,
        }
        begun = attempt.worker or attempt.started
        parent = span_id("dagster", "run", run.id)
        yield _span(
            run, (STEP, name), own, parent, (begun, attempt.ended), {"status": attempt.status}, attributes, policy
        )
        if attempt.worker:
            waited = (attempt.worker, attempt.started)
            waiting = span_id("dagster", "start-up", run.id, attempt.step, attempt.number)
            yield _span(run, (WAIT, "step start-up"), waiting, own, waited, {}, {"step_key": attempt.step}, policy)
    if steps.skipped:
        yield LeftOut(NOT_RUN, steps.skipped)


def _span(
    run: Run,
    kind: tuple[str, str],
    own_id: str,
    parent: str | None,
    times: Sequence[str],
    row: Mapping[str, object],
    attributes: Mapping[str, object],
    policy: redact.Policy,
) -> Span | InvalidSpan:
    try:
        return span_from_row(
            {
                "trace_id": _trace(run.id),
                "span_id": own_id,
                "parent_span_id": parent,
                "span_type": kind[0],
                "span_name": kind[1],
                "project": PROJECT,
                "start_time_ms": times[0],
                "end_time_ms": max(times),
                "attributes": {key: value for key, value in attributes.items() if value not in ("", None)},
                **row,
            },
            policy=policy,
        )
    except InvalidSpan as error:
        return error


def _between(earlier: str, later: str) -> str | None:
    """Return the duration between two moments in seconds, None if it is unknown or negative."""
    if not earlier or earlier > later:
        return None
    return f"{(datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds():f}s"


def _named(run: Run, step: str, is_asset: bool) -> tuple[str, str]:
    """Return the name of a step, and the key of a dynamic step among its siblings.

    An asset is the same work in each job; an op is that of its job.
    """
    name, _, mapped = step.partition("[")
    return (name if is_asset else f"{run.job} / {name}"), mapped.removesuffix("]")


def _asset(key: str) -> str:
    try:
        path = json.loads(key)
    except ValueError:
        return key
    return "/".join(map(str, path)) if isinstance(path, list) else key


def _trace(run_id: str) -> str:
    """Return the id of a run, which is a UUID unless a program chose another one."""
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        return trace_id("dagster", run_id)
