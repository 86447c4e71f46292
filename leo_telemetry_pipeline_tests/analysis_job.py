"""Results of the analysis job, and ways to break it from inside."""

from collections.abc import Callable
from typing import Any

import pytest

from leo_telemetry_pipeline.store import exact_percentiles, runs
from leo_telemetry_pipeline.store.server.database import Database

RUN_ID = "leo_telemetry/run_id"


P50S = {
    "p50_by_phase", "p50_by_gate", "p50_by_subagent", "p50_by_handoff", "p50_by_sd_type", "p50_by_gate_sd_type",
    "p50_by_other",
}  # fmt: skip


BLOCKING = {"p50s_exist_where_spans_do", "bottlenecks_are_above_their_threshold", "counts_add_up"}
WARNING = {"clocks_agree", "little_is_quarantined", "every_day_has_spans"}


def items(db: Database) -> list[tuple[str, str]]:
    """Return dimension and status of every item, ordered by dimension."""
    return db.rows(
        "SELECT (source_detail->>'dimension_type') || ':' || (source_detail->>'dimension_key'), status"
        " FROM continuous_improvements ORDER BY 1, 2"
    )


def found(run: runs.Run) -> list[str]:
    """Return the dimensions of a run's bottlenecks, worst first."""
    assert run.output_ref is not None, run
    return [f"{each['dimension_type']}:{each['dimension_key']}" for each in run.output_ref["bottlenecks"]]


def outcomes(db: Database, run_id: str) -> dict[str, str]:
    """Return the outcome per dimension of a run."""
    return dict(
        db.rows(
            "SELECT dimension_type || ':' || dimension_key, outcome FROM dimension_p50 WHERE run_id = %s", (run_id,)
        )
    )


def before(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[..., Any]) -> None:
    """Call ``act`` before the first call of a function."""
    original, left = getattr(module, name), [act]

    def wrapper(*args: Any, **more: Any) -> Any:
        if left:
            left.pop()(*args)
        return original(*args, **more)

    monkeypatch.setattr(module, name, wrapper)


def boom(*_: Any, **__: Any) -> None:
    raise RuntimeError("boom: 1 is not 2")


def without(*failing: str) -> Callable[..., list[tuple]]:
    """Return a replacement for ``of_window`` in which PostgreSQL cancels the query of the ``failing`` types."""
    original = exact_percentiles.of_window

    def measured(database: Database, window: Any, types: Any, seen: Any) -> list[tuple]:
        if set(types) & set(failing):
            with database.transaction(seconds=0.05) as cursor:
                cursor.execute("SELECT pg_sleep(1)")
        return original(database, window, types, seen)

    return measured
