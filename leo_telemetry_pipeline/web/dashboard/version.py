"""Version of what pages show: it tells the live stream which pages are out of date.

Belongs here: the version. Does not: the live stream (live).
"""

from collections.abc import Sequence
from hashlib import sha256

from leo_telemetry_pipeline.store import directives, items, runs
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.database import Database

# Runs whose status counts; older ones have ended.
NEWEST = 3


def read(database: Database) -> str:
    """Read the version."""
    return of(database, runs.after(database, None, NEWEST))


def of(database: Database, newest: Sequence[Run]) -> str:
    """Return a text that changes whenever a run, an item or a directive does; ``newest``: the latest runs."""
    states = [f"{run.run_id}:{run.status}" for run in newest[:NEWEST]]
    changed = [items.changed_at(database), directives.changed_at(database)]
    return sha256("|".join([*states, *map(str, changed)]).encode()).hexdigest()[:16]
