"""Intake notices: counted, stored, and never an obstacle for spans."""

from datetime import UTC, datetime, timedelta

from leo_telemetry_pipeline.store import intake
from leo_telemetry_pipeline.store.intake import REJECTED, Noticed
from leo_telemetry_pipeline.store.server.database import Database

HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


def test_notices_add_up_by_source_kind_and_detail(db: Database) -> None:
    """Lost: the doctor shows one rejected span instead of thousands."""
    intake.count(db, {Noticed("otlp", REJECTED, "no name"): 2, Noticed("import", REJECTED, "no name"): 1})
    intake.count(db, {Noticed("otlp", REJECTED, "no name"): 3})
    found = [(notice.source, notice.detail, notice.count) for notice in intake.since(db, HOUR_AGO)]
    assert found == [("otlp", "no name", 5), ("import", "no name", 1)]


def test_a_detail_holds_no_secret(db: Database) -> None:
    """Lost: the reason for a rejected span quotes a key, and the doctor prints it."""
    intake.count(db, {Noticed("otlp", REJECTED, "bad value AKIAIOSFODNN7EXAMPLE"): 1})
    [notice] = intake.since(db, HOUR_AGO)
    assert "AKIAIOSFODNN7EXAMPLE" not in notice.detail
