"""``leo-telemetry alerts``: list alerts, test channels, retry what failed.

Belongs here: options and output. Does not: delivering (delivery), which events make alerts (actions.alerts).
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from leo_telemetry_pipeline.actions import inert
from leo_telemetry_pipeline.cli import signals, text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.errors import NOT_SUCCEEDED, UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import outbox
from leo_telemetry_pipeline.store.outbox import Stored

_HEADER = ("ALERT", "STATE", "KIND", "SEVERITY", "WRITTEN AT (UTC)", "TRIES", "TITLE", "LAST ERROR")


@click.group(invoke_without_command=True)
@click.pass_context
def alerts(context: click.Context) -> None:
    """List alerts, undelivered ones first. Channels: LEO_TELEMETRY_ALERT_URLS, see docs/alerts.md."""
    if context.invoked_subcommand is None:
        context.invoke(list_alerts)


@alerts.command("list")
@click.option("--most", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many to list.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", help="How to print them."
)
def list_alerts(most: int, form: str) -> None:
    """List the newest alerts, undelivered ones first."""
    with connected() as connection:
        found = outbox.newest(connection, most)
    if form == "json":
        text.as_json([asdict(one) | {"state": one.state} for one in found])
    elif form == "csv":
        rows = csv.writer(sys.stdout, lineterminator="\n")
        rows.writerow([name.lower() for name in _HEADER])
        rows.writerows([inert.csv("" if cell is None else str(cell)) for cell in _cells(one)] for one in found)
    elif not found:
        click.echo("No alerts yet: an analysis that opens an item writes one.")
    else:
        click.echo(text.table(_HEADER, [_cells(one) for one in found]))


@alerts.command()
def test() -> None:
    """Send a test message to every channel now. Exit status 4 if one does not take it."""
    from leo_telemetry_pipeline.delivery import messages
    from leo_telemetry_pipeline.delivery.channels import configured
    from leo_telemetry_pipeline.delivery.reachable import Refused
    from leo_telemetry_pipeline.delivery.webhook import Failed

    channels = configured(Settings())
    if not channels.usable and not channels.refused:
        raise UserError("No channel is configured: set LEO_TELEMETRY_ALERT_URLS, see docs/alerts.md")
    failures = list(channels.refused)
    message = messages.example(datetime.now(UTC))
    for channel in channels.usable:
        try:
            channel.send(message)
        except (Refused, Failed) as error:
            failures.append((channel.name, str(error)))
        else:
            click.echo(f"{channel.name}: sent")
    _report(failures)


@alerts.command()
def retry() -> None:
    """Deliver dead letters and waiting alerts now. Exit status 4 if a channel fails."""
    from leo_telemetry_pipeline.delivery import deliver

    with connected() as connection:
        count = outbox.retry(connection)
        done = deliver.deliver_due(connection, Settings(), signals.check)
        backlog = outbox.backlog(connection)
    click.echo(f"{count} to try again; {done.alerts} delivered, {backlog.waiting} waiting, {backlog.dead} given up")
    _report(list(done.errors.items()))


def _report(failures: Sequence[tuple[str, str]]) -> None:
    for name, reason in failures:
        click.echo(text.in_a_line(f"{name}: {reason}"), err=True)
    if failures:
        raise SystemExit(NOT_SUCCEEDED)


def _cells(one: Stored) -> tuple[object, ...]:
    return (
        one.id,
        one.state,
        one.kind,
        one.severity,
        text.moment(one.created_at),
        one.attempts,
        one.title,
        one.last_error,
    )
