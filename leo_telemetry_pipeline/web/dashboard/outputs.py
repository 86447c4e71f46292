"""Outputs of runs that have ended, which never change: each is read and parsed once per process.

Belongs here: keeping a few of them. Does not: the query (store.runs), what pages show of an output (pages).

That of a run with a thousand bottlenecks takes longer to read than everything else on a page.
"""

from collections.abc import Mapping
from threading import Lock
from typing import Any

from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database

# The last analysis of all projects, and those that people compare it with. A large one takes a few MB.
_MOST = 4

_kept: dict[str, Mapping[str, Any]] = {}
_lock = Lock()


def of(database: Database, run_id: str) -> Mapping[str, Any]:
    """Return the output of a run, empty if it has none."""
    with _lock:
        found = _kept.get(run_id)
    if found is None:
        found = runs.output(database, run_id) or {}
    # An output is written when the run ends. The one used last is dropped last.
    with _lock:
        _kept.pop(run_id, None)
        if found:
            _kept[run_id] = found
        while len(_kept) > _MOST:
            del _kept[next(iter(_kept))]
    return found
