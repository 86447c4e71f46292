"""Asset ``delivered_alerts``: delivers the alerts that wait in the outbox.

Belongs here: the asset and its check. Does not: delivering (delivery). No analysis depends on it.
"""

from collections.abc import Iterator

import dagster as dg

from leo_telemetry_pipeline.actions.inert import markdown
from leo_telemetry_pipeline.defs.assets.asset import OWNERS
from leo_telemetry_pipeline.defs.names import OURS, PREFIX, asset_key
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.delivery import deliver
from leo_telemetry_pipeline.store import outbox

ALERTS = OURS + "alerts"
_ASSET, _CHECK = "delivered_alerts", "every_alert_is_delivered"


@dg.asset(
    name=_ASSET,
    key_prefix=PREFIX,
    group_name=ALERTS,
    description="Delivers the alerts that wait in alert_outbox to the channels of LEO_TELEMETRY_ALERT_URLS.",
    kinds={"postgres"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(_CHECK, asset=asset_key(_ASSET), description="No alert was given up, and no channel fails.")
    ],
)
def delivered_alerts(
    context: dg.AssetExecutionContext, telemetry_database: TelemetryDatabase
) -> Iterator[dg.MaterializeResult]:
    """Deliver what is due."""
    with telemetry_database.session() as (database, settings):
        done = deliver.deliver_due(database, settings)
        backlog = outbox.backlog(database)
    problems = [f"{markdown(name)}: {markdown(error)}" for name, error in sorted(done.errors.items())]
    yield dg.MaterializeResult(
        metadata={"delivered": done.alerts, "waiting": backlog.waiting, "dead letters": backlog.dead},
        check_results=[
            dg.AssetCheckResult(
                check_name=_CHECK,
                passed=not problems and not backlog.dead,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(problems) or f"{backlog.dead} dead letter(s)",
            )
        ],
    )
