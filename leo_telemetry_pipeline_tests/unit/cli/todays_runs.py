"""Runs of today, as `findings` and `doctor` get them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.store.runs import Run

NOW = datetime(2026, 2, 9, 15, 0, tzinfo=UTC)


def run(status: str = "SUCCEEDED", found: list[dict[str, Any]] | None = None, **more: Any) -> Run:
    """Return a run of today."""
    names: dict[str, Any] = dict.fromkeys(Run.__dataclass_fields__)
    output = {"traces_scanned": 1400, "dimensions_evaluated": 45, "bottlenecks": found or [], "errors": []}
    values: dict[str, Any] = names | {
        "run_id": "r",
        "scope_type": "ALL",
        "scope_id": "",
        "status": status,
        "triggered_by": "MANUAL",
        "triggered_at": NOW - timedelta(minutes=3),
        "finished_at": NOW - timedelta(minutes=1),
        "attempt": 1,
        "duration_ms": 1200,
        "output_ref": output,
        "metadata": {},
    }
    return Run(**(values | more))
