"""Requests of people for an analysis, and for ending one.

Belongs here: queueing and cancelling, with what came of it in words. Does not: the queue's rules (store.runs).
"""

from dataclasses import dataclass
from datetime import timedelta

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database

ANSWERS = {
    "ENQUEUED": "Queued analysis {run}. If no worker is running, `leo-telemetry worker --once` executes it.",
    "ALREADY_QUEUED": "Analysis {run} is already queued.",
    "ALREADY_RUNNING": "Analysis {run} is running.",
}
# A worker claims a queued run within seconds.
SLOW_START = timedelta(minutes=10)
NO_WORKER = "No worker has claimed it: run `leo-telemetry worker --once`, or see `leo-telemetry doctor`"


@dataclass(frozen=True)
class Requested:
    """Answer of the queue; ``run_id`` is None if nothing is queued or running."""

    run_id: str | None
    outcome: str
    sentence: str


def refuse_if_off(settings: Settings) -> None:
    """Raise UserError if analyses are switched off."""
    if not settings.enabled:
        raise UserError(f"{PREFIX}ENABLED is false, which switches analyses off: unset it")


def enqueue(database: Database, settings: Settings, *, if_stale: bool, triggered_by: str) -> Requested:
    """Queue an analysis of all projects. Raises UserError if analyses are switched off."""
    refuse_if_off(settings)
    run_id, outcome, detail = runs.enqueue(
        database, if_stale=if_stale, triggered_by=triggered_by, stale_after_s=settings.stale_after
    )
    return Requested(run_id, outcome, answer(run_id, outcome, detail))


def answer(run_id: str | None, outcome: str, detail: str = "") -> str:
    """Say what the queue answered."""
    return ANSWERS.get(outcome, f"Not queued: {detail}.").format(run=run_id)


def unknown(run_id: str) -> UserError:
    """Return the error about a run that does not exist."""
    return UserError(f"There is no analysis run {run_id}: `leo-telemetry runs` lists them")


def cancel(database: Database, run_id: str) -> str:
    """Cancel a queued or running analysis, and say so. Raises UserError."""
    was = runs.cancel(database, run_id)
    if was is None:
        raise unknown(run_id)
    if was in runs.FINAL:
        raise UserError(f"Analysis run {run_id} has ended as {was}: only a queued or running one can be cancelled")
    return f"Cancelled analysis {run_id}, which was {was}."
