"""Builders of items as analyses write them, and of directives drafted from them, without a database."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.actions import directives
from leo_telemetry_pipeline.actions import items as planning
from leo_telemetry_pipeline.store.directives import Directive
from leo_telemetry_pipeline.store.items import Item

ID = "7b3a2f0c-5d1e-4f6a-9c8b-0e1d2c3b4a59"
START, END = datetime(2026, 2, 2, tzinfo=UTC), datetime(2026, 2, 9, tzinfo=UTC)
FOUND = {
    "dimension_type": "gate",
    "dimension_key": "GATE_PRD_REQUIRED",
    "observed_p50_ms": 3500.0,
    "baseline_p50_ms": 1000.0,
    "baseline_source": "learned",
    "multiplier": 1.2,
    "ratio": 3.5,
    "sample_count": 412,
    "onset_day": "2026-02-05",
    "p_value": 0.0001,
    "lost_ms_a_week": 3 * 3_600_000.0,
    "why": "gate:GATE_PRD_REQUIRED +2.5 s: own time 100 %",
    "measured": ["retry_attempt: was 0, is 2"],
    "set_apart_by": ["model=large: 80 % of slow spans, 10 % of the others"],
    "cause": "gate:GATE_PRD_REQUIRED",
    "evidence_trace_ids": ["t1", "t2"],
    "members": [{"dimension_type": "phase", "dimension_key": "LEAD", "share": 0.9142}],
}


def item(project: str | None = None, found: dict[str, Any] | None = None, **columns: Any) -> Item:
    """Return the row of an item that an analysis opened."""
    draft = planning.worded(FOUND | (found or {}), project, "a-run", START, END)
    row = {"id": ID, "status": "OPEN", "created_at": END, "updated_at": END + timedelta(days=1)}
    return Item(**asdict(draft) | row | columns)


def directive(*items: Item, **columns: Any) -> Directive:
    """Return the row of the directive of some items."""
    items = items or (item(),)
    content = directives.draft(items)
    key = f"{directives.key_prefix(items[0])}-001"
    row = {
        "id": "0c8c7f0e-1111-4222-8333-944455556666",
        "sd_key": key,
        "sd_code_user_facing": key,
        "status": "draft",
        "current_phase": "LEAD",
        "created_at": END,
        "updated_at": END,
        "item_ids": [one.id for one in items],
    }
    return Directive(**asdict(content) | row | columns)
