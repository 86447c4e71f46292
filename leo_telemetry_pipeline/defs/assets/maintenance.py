"""Upkeep as an asset: what a round of maintenance did is its metadata.

Belongs here: the asset of the group ``upkeep``, which no analysis needs. Does not: the work itself (store.retention.maintenance).
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg

from leo_telemetry_pipeline.actions.inert import markdown
from leo_telemetry_pipeline.defs.names import PREFIX
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.store.retention import maintenance
from leo_telemetry_pipeline.store.retention.rules import Report

UPKEEP = "upkeep"


@dg.asset(
    key_prefix=PREFIX,
    group_name=UPKEEP,
    description="Partitions of the span table made, and spans older than LEO_TELEMETRY_KEEP archived and dropped.",
    kinds={"postgres"},
    owners=["team:workflow-telemetry"],
)
def trace_maintenance(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Do all upkeep once; fail when something could not be done, after all else was."""
    with telemetry_database.session() as (database, settings):
        report = maintenance.maintain(database, settings)
    yield dg.MaterializeResult(metadata=_metadata(report))
    if report.problems:
        raise dg.Failure("; ".join(report.problems)[:4000], allow_retries=False)


def _metadata(report: Report) -> dict[str, Any]:
    return {
        "partitions made": report.partitions_made,
        "spans moved out of the default partition": sum(report.moved.values()),
        "days sealed": len(report.sealed),
        "spans archived": sum(one.spans for one in report.archived),
        "files": dg.MetadataValue.md("\n".join(f"- {markdown(one.file)}" for one in report.archived) or "none"),
        "days dropped": len(report.dropped),
        "spans dropped": sum(one.spans for one in report.dropped),
        "bytes freed": sum(one.bytes for one in report.dropped),
        "spans kept from": str(report.kept_from),
        "report": dg.MetadataValue.json({name: _plain(value) for name, value in asdict(report).items()}),
    }


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | str | None) else str(value)
