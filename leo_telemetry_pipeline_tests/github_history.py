"""Past of a repository on GitHub, as ``gh`` and the REST API write it: for tests of the source and of ``look``.

Belongs here: JSON with their field names, one field after another as they write it. Does not: expectations.
"""

import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

REPOSITORY = "acme/shop"
WEB = f"https://github.com/{REPOSITORY}/actions/runs"
API = f"https://api.github.com/repos/{REPOSITORY}/actions/runs"
# Job: its steps with their median seconds.
WORKFLOWS = {
    "CI": {
        "lint": {"Set up job": 2, "Run actions/checkout@v4": 3, "Run ruff check": 14},
        "test (3.11)": {"Set up job": 2, "Run actions/checkout@v4": 3, "Install packages": 41, "Run pytest": 187},
        "test (3.12)": {"Set up job": 2, "Run actions/checkout@v4": 3, "Install packages": 38, "Run pytest": 171},
    },
    "Release": {"build": {"Set up job": 2, "Build wheel": 33, "Build image": 122, "Push image": 27}},
}


def zulu(moment: datetime) -> str:
    """Format a time as GitHub does: in whole seconds, cut."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Made:
    """Runs in the form of the REST API; ``jobs`` by run id."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


def past(
    seed: int, end: datetime, days: int = 35, *, slow: tuple[str, float] | None = None, slow_days: int = 6
) -> Made:
    """Make runs of some days before ``end``; the steps of a name take ``slow`` times as long on the last days."""
    draw, made = random.Random(seed), Made()
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(days, 0, -1):
        day = midnight - timedelta(days=back)
        for number in range(draw.randint(7, 12)):
            start = day + timedelta(hours=6 + 1.3 * number, seconds=draw.uniform(0, 3_000))
            for workflow in WORKFLOWS:
                if workflow == "CI" or number % 2 == 0:
                    factor = slow if slow and back <= slow_days else None
                    _add_run(made, draw, workflow, start + timedelta(minutes=11 * (workflow != "CI")), factor)
    return made


def _add_run(made: Made, draw: random.Random, workflow: str, start: datetime, slow: tuple[str, float] | None) -> None:
    run_id = 19_000_000_000 + len(made.runs) * 7_919
    sha = hashlib.sha1(str(run_id).encode()).hexdigest()
    jobs, ends = [], [start]
    for place, (job, steps) in enumerate(WORKFLOWS[workflow].items()):
        created = start + timedelta(seconds=draw.uniform(0.5, 1.5))
        began = at = created + timedelta(seconds=draw.lognormvariate(2.0, 0.4))
        rows = []
        for number, (step, seconds) in enumerate(steps.items(), 1):
            longer = slow[1] if slow and slow[0] == step else 1.0
            ended = at + timedelta(seconds=seconds * longer * draw.lognormvariate(0, 0.18))
            rows.append(
                {
                    "name": step,
                    "status": "completed",
                    "conclusion": "success",
                    "number": number,
                    "started_at": zulu(at),
                    "completed_at": zulu(ended),
                }
            )
            at = ended
        rows.append(rows[-1] | {"name": "Upload logs on failure", "conclusion": "skipped", "number": len(rows) + 1})
        ends.append(at)
        job_id = run_id * 10 + place
        jobs.append(
            {
                "id": job_id,
                "run_id": run_id,
                "run_url": f"{API}/{run_id}",
                "run_attempt": 1,
                "html_url": f"{WEB}/{run_id}/job/{job_id}",
                "status": "completed",
                "conclusion": "success",
                "created_at": zulu(created),
                "started_at": zulu(began),
                "completed_at": zulu(at),
                "name": job,
                "steps": rows,
                "labels": ["ubuntu-24.04"],
                "runner_name": "GitHub Actions 2",
                "workflow_name": workflow,
                "head_branch": "main",
                "head_sha": sha,
            }
        )
    made.jobs[run_id] = jobs
    made.runs.append(
        {
            "id": run_id,
            "name": workflow,
            "head_branch": "main",
            "head_sha": sha,
            "path": ".github/workflows/ci.yml",
            "display_title": "Ada Lovelace mends the basket",
            "run_number": len(made.runs) + 1,
            "event": "push",
            "status": "completed",
            "conclusion": "success",
            "workflow_id": 161_335,
            "html_url": f"{WEB}/{run_id}",
            "created_at": zulu(start),
            "updated_at": zulu(max(ends) + timedelta(seconds=1)),
            "actor": {"login": "ada", "id": 1},
            "run_attempt": 1,
            "run_started_at": zulu(start),
            "repository": {"id": 1_296_269, "full_name": REPOSITORY, "private": False},
        }
    )


def as_gh_run(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run as ``gh run list --json`` writes it."""
    return {
        "attempt": run["run_attempt"],
        "conclusion": run["conclusion"] or "",
        "createdAt": run["created_at"],
        "databaseId": run["id"],
        "event": run["event"],
        "headBranch": run["head_branch"],
        "headSha": run["head_sha"],
        "name": run["name"],
        "startedAt": run["run_started_at"],
        "status": run["status"],
        "updatedAt": run["updated_at"],
        "url": run["html_url"],
        "workflowName": run["name"],
    }


def as_gh_job(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job as ``gh run view --json jobs`` writes it."""
    steps = [
        {
            "completedAt": step["completed_at"],
            "conclusion": step["conclusion"],
            "name": step["name"],
            "number": step["number"],
            "startedAt": step["started_at"],
            "status": step["status"],
        }
        for step in job["steps"]
    ]
    return {
        "completedAt": job["completed_at"] or "0001-01-01T00:00:00Z",
        "conclusion": job["conclusion"] or "",
        "databaseId": job["id"],
        "name": job["name"],
        "startedAt": job["started_at"],
        "status": job["status"],
        "steps": steps,
        "url": job["html_url"],
    }


def write_as_gh(made: Made, folder: Path) -> None:
    """Write what the two commands of docs/look.md write: ``gh run list``, and ``gh run view`` for each run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.json").write_text(json.dumps([as_gh_run(run) for run in made.runs]))
    views = [json.dumps({"jobs": [as_gh_job(job) for job in jobs]}) for jobs in made.jobs.values()]
    (folder / "jobs.jsonl").write_text("\n".join(views) + "\n")


def write_as_rest(made: Made, folder: Path, per_page: int = 100) -> None:
    """Write pages of the REST API, indented as curl shows them."""
    folder.mkdir(parents=True, exist_ok=True)
    for page, begin in enumerate(range(0, len(made.runs), per_page), 1):
        runs = made.runs[begin : begin + per_page]
        text = json.dumps({"total_count": len(made.runs), "workflow_runs": runs}, indent=2)
        (folder / f"runs-{page}.json").write_text(text)
    for run_id, jobs in made.jobs.items():
        (folder / f"jobs-{run_id}.json").write_text(json.dumps({"total_count": len(jobs), "jobs": jobs}, indent=2))
