"""``leo-telemetry running``: show operations in progress, of programs and of Claude Code.

Belongs here: the command's output. Does not: reading operations and their time-outs (actions.operations).
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict

import click

from leo_telemetry_pipeline.actions import operations as reading
from leo_telemetry_pipeline.actions.operations import RunningOperation
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database

_MOST_SHOWN = 50


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def running(as_json: bool) -> None:
    """Show operations in progress, also prompts and sub-agents of Claude Code, and which are overdue."""
    settings = Settings()
    with database.ready(settings) as target, closing(Database(target, read_only=True)) as connection:
        operations = reading.read(connection, settings, time.time())
    operations.sort(key=lambda operation: -operation.open_s)
    if as_json:
        text.as_json([asdict(operation) for operation in operations])
        return
    if not operations:
        click.echo(f"No operation has been running for longer than {text.lasted(settings.open_after)}.")
        return
    click.echo(table_of(operations))


def table_of(operations: Sequence[RunningOperation]) -> str:
    """Format operations as a table, truncated to a readable size."""
    header = ("RUNNING FOR", "TIME-OUT", "OPERATION", "SD", "PROJECT", "PROCESS", "HEARD FROM")
    lines = [
        (
            text.lasted(row.open_s),
            None if row.time_out_s is None else text.lasted(row.time_out_s) + (", overdue" if row.is_overdue else ""),
            text.cut(f"{row.span_type}:{row.span_name}"),
            text.cut(row.sd_id) if row.sd_id else None,
            text.cut(row.project) if row.project else None,
            text.cut(f"session {row.session}" if row.session is not None else f"{row.pid} on {row.host}"),
            f"{text.lasted(row.silent_s)} ago" + (", gone?" if row.seems_gone else ""),
        )
        for row in operations[:_MOST_SHOWN]
    ]
    more = len(operations) - len(lines)
    return text.table(header, lines) + (f"\n... and {more} more (--json)" if more else "")
