"""Asset ``trace_maintenance``: runs daily maintenance, with its report as metadata.

Belongs here: the asset, on which no analysis depends. Does not: the work itself (store.retention.maintenance).
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg

from leo_telemetry_pipeline.actions.inert import markdown
from leo_telemetry_pipeline.defs.names import OURS, PREFIX
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.store.retention import maintenance
from leo_telemetry_pipeline.store.retention.rules import Report

MAINTENANCE = OURS + "maintenance"


@dg.asset(
    key_prefix=PREFIX,
    group_name=MAINTENANCE,
    description="Creates partitions of the span table; archives and drops spans older than LEO_TELEMETRY_KEEP.",
    kinds={"postgres"},
    owners=["team:workflow-telemetry"],
)
def trace_maintenance(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Run all steps of maintenance, then fail if one of them failed."""
    with telemetry_database.session() as (database, settings):
        report = maintenance.maintain(database, settings)
    yield dg.MaterializeResult(metadata=_metadata(report))
    if report.problems:
        raise dg.Failure("; ".join(report.problems)[:4000], allow_retries=False)


def _metadata(report: Report) -> dict[str, Any]:
    return {
        "partitions created": report.partitions_made,
        "spans moved out of the default partition": sum(report.moved.values()),
        "days sealed": len(report.sealed),
        "spans archived": sum(part.spans for part in report.archived),
        "files": dg.MetadataValue.md("\n".join(f"- {markdown(part.file)}" for part in report.archived) or "none"),
        "days dropped": len(report.dropped),
        "spans dropped": sum(part.spans for part in report.dropped),
        "bytes freed": sum(part.bytes for part in report.dropped),
        "spans kept from": str(report.kept_from),
        "report": dg.MetadataValue.json({name: _plain(value) for name, value in asdict(report).items()}),
    }


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | str | None) else str(value)
