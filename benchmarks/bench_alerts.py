"""Delivery of 1,000 alerts to a local webhook, beside the bare HTTP posts of the same documents.

Belongs here: the measurement. Does not: what delivery guarantees (tests).
"""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from ipaddress import ip_network

from benchmarks import measure
from benchmarks.measure import Budget, Options, alternating, judge, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.delivery import messages
from leo_telemetry_pipeline.delivery.channels import Channels, WebhookChannel
from leo_telemetry_pipeline.delivery.deliver import Patience, deliver
from leo_telemetry_pipeline.delivery.reachable import Rules
from leo_telemetry_pipeline.delivery.webhook import parse
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store import outbox
from leo_telemetry_pipeline.store.outbox import Alert, Claimed
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.http_servers import web_server

BODY = {
    "name": "gate:GATE_PRD_REQUIRED",
    "ratio": 3.4,
    "p50_ms": 3400.0,
    "baseline_p50_ms": 1000.0,
    "since": "2026-02-09",
}


def measurements(options: Options) -> Iterator[Measured]:
    """Measure delivery, with its claims and acknowledgements, against posts alone."""
    count, rounds = (100, 3) if options.quick else (1_000, 5)
    with (
        measure.home() as home,
        database.ready(Settings({PREFIX + "HOME": str(home)})) as target,
        web_server() as web,
        closing(Database(target)) as connection,
    ):
        _write(connection, count)
        calls = {"ours": lambda: _deliver(connection, web.port, count), "posts": lambda: _post(web.port, count)}
        took = alternating(calls, rounds, between=lambda: _write(connection, count))
    what = f"delivery of alerts to a webhook, each claimed and acknowledged: {count:,} alerts"
    yield judge(what, took["ours"], "s", Budget(6), options, reference=("bare HTTP posts", took["posts"]))


def _write(connection: Database, count: int) -> None:
    """Fill the outbox, so that it holds exactly ``count`` alerts that wait."""
    alerts = [
        Alert(key=str(n), kind="new", severity="high", title="Slow: gate:GATE_PRD_REQUIRED", body=BODY)
        for n in range(count)
    ]
    with connection.transaction() as cursor:
        cursor.execute("TRUNCATE alert_outbox")
        outbox.write(cursor, alerts)


def _post(port: int, count: int) -> None:
    alert = Claimed("", "k", "new", "high", "Slow: gate:GATE_PRD_REQUIRED", BODY, datetime.now(UTC), 0, ())
    body = json.dumps(messages.of(alert).document)
    for _ in range(count):
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            connection.getresponse().read()


def _deliver(connection: Database, port: int, count: int) -> None:
    rules = Rules(networks=(ip_network("127.0.0.0/8"),))
    channel = WebhookChannel("webhook", parse(f"webhook+http://127.0.0.1:{port}/", rules))
    done = deliver(connection, Channels((channel,)), Patience())
    assert done.alerts == count, done


if __name__ == "__main__":
    raise SystemExit(run(measurements))
