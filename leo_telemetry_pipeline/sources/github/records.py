"""Records of GitHub Actions: runs, jobs and steps, from the JSON of ``gh`` and of the REST API.

Belongs here: field names of both, and missing values. Does not: files (files), spans (spans).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

# Addresses of runs and jobs on the web and in the REST API, also on servers of one's own.
_ADDRESS = re.compile(
    r"https?://[^/]+/(?:api/v3/)?(?:repos/)?(?P<repository>[^/]+/[^/]+)/(?:actions/)?runs/(?P<run>\d+)(?P<job>/jobs?/)?",
    re.ASCII,
).match
_OF_LISTS = frozenset(("workflow_runs", "jobs", "total_count"))
# A record without any of these is not a run, whatever else it has.
_OF_RUNS = frozenset(("workflowName", "workflow_id", "conclusion", "updatedAt", "updated_at"))
# Go's zero time, which gh writes where GitHub has no time.
_NO_TIME = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class Run:
    """One attempt of a workflow run. Times are as GitHub writes them; a missing text is empty."""

    id: int
    attempt: int
    repository: str
    workflow: str
    event: str
    branch: str
    sha: str
    status: str
    conclusion: str
    started: str
    updated: str


@dataclass(frozen=True)
class Step:
    """Step of a job."""

    number: int
    name: str
    status: str
    conclusion: str
    started: str
    completed: str


@dataclass(frozen=True)
class Job:
    """Job of a run; ``attempt`` is 0 if unknown. Only the REST API knows ``created``, attempt and runner."""

    id: int
    run_id: int
    attempt: int
    repository: str
    workflow: str
    name: str
    branch: str
    sha: str
    status: str
    conclusion: str
    created: str
    started: str
    completed: str
    runner: str
    labels: str
    steps: tuple[Step, ...]


def records(value: object) -> Iterator[Run | Job | str]:
    """Yield the runs and jobs in a JSON value, or a text that says why it is neither."""
    if not isinstance(value, dict):
        yield "not an object"
        return
    lists = [of for name in ("workflow_runs", "jobs") if isinstance(of := value.get(name), list)]
    yield from map(_one, chain(*lists))
    if not lists or value.keys() - _OF_LISTS:
        yield _one(value)


def _one(value: object) -> Run | Job | str:
    if not isinstance(value, dict):
        return "not an object"
    address = _ADDRESS(_text(value, "html_url", "url", "run_url"))
    number, repository = _number(value, "databaseId", "id"), address["repository"] if address else ""
    of_address = int(address["run"]) if address else None
    if "steps" in value or "run_id" in value or (address and address["job"]):
        run_id = _number(value, "run_id") or of_address
        return (
            "a job without its run: it has neither run_id nor url"
            if run_id is None
            else _job(value, number or 0, run_id, repository)
        )
    number = number or of_address
    if number is None or not value.keys() & _OF_RUNS:
        return "neither a run nor a job of GitHub Actions"
    return _run(value, number, repository)


def _run(value: dict, number: int, repository: str) -> Run:
    named = value.get("repository")
    full_name = _text(named, "full_name") if isinstance(named, dict) else ""
    return Run(
        id=number,
        attempt=_number(value, "attempt", "run_attempt") or 1,
        repository=full_name or repository,
        workflow=_text(value, "workflowName", "name"),
        event=_text(value, "event"),
        branch=_text(value, "headBranch", "head_branch"),
        sha=_text(value, "headSha", "head_sha"),
        status=_text(value, "status"),
        conclusion=_text(value, "conclusion"),
        started=_time(value, "startedAt", "run_started_at") or _time(value, "createdAt", "created_at"),
        updated=_time(value, "updatedAt", "updated_at"),
    )


def _job(value: dict, number: int, run_id: int, repository: str) -> Job:
    steps, labels = value.get("steps"), value.get("labels")
    return Job(
        id=number,
        run_id=run_id,
        attempt=_number(value, "run_attempt") or 0,
        repository=repository,
        workflow=_text(value, "workflow_name"),
        name=_text(value, "name"),
        branch=_text(value, "head_branch"),
        sha=_text(value, "head_sha"),
        status=_text(value, "status"),
        conclusion=_text(value, "conclusion"),
        created=_time(value, "created_at"),
        started=_time(value, "startedAt", "started_at"),
        completed=_time(value, "completedAt", "completed_at"),
        runner=_text(value, "runner_name"),
        labels=",".join(map(str, labels)) if isinstance(labels, list) else "",
        steps=tuple(_step(each) for each in steps if isinstance(each, dict)) if isinstance(steps, list) else (),
    )


def _step(value: dict) -> Step:
    return Step(
        number=_number(value, "number") or 0,
        name=_text(value, "name"),
        status=_text(value, "status"),
        conclusion=_text(value, "conclusion"),
        started=_time(value, "startedAt", "started_at"),
        completed=_time(value, "completedAt", "completed_at"),
    )


def _text(value: dict[str, Any], *names: str) -> str:
    return next((found for name in names if isinstance(found := value.get(name), str) and found), "")


def _time(value: dict[str, Any], *names: str) -> str:
    return next((text for name in names if (text := _text(value, name)) and text != _NO_TIME), "")


def _number(value: dict[str, Any], *names: str) -> int | None:
    return next((found for name in names if type(found := value.get(name)) is int), None)
