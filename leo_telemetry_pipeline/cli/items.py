"""``leo-telemetry items``: list, show and close improvement items.

Belongs here: options and output. Does not: which bottlenecks get an item (actions.items), an item's page (item_page).
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from leo_telemetry_pipeline.actions import item_resolutions
from leo_telemetry_pipeline.actions.item_detail import known_of
from leo_telemetry_pipeline.actions.items import ratio_of
from leo_telemetry_pipeline.cli import item_page, text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import items as store
from leo_telemetry_pipeline.store.server.database import Database

_MEANS = {
    "fixed": "its current level may become the baseline",
    "noise": "flagging it again takes stronger evidence",
    "expected": "its current level becomes the baseline",
}


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.pass_context
def items(context: click.Context, as_json: bool) -> None:
    """List improvement items, open ones first."""
    if context.invoked_subcommand is not None:
        return
    with connected() as connection:
        all_items = store.all_items(connection)
    if as_json:
        text.as_json([asdict(item) for item in all_items])
    elif not all_items:
        click.echo("No improvement items yet: an analysis that finds a bottleneck opens one.")
    else:
        rows = [
            (
                item.id,
                item.status,
                item.resolution,
                ratio_of(known) if "ratio" in known else None,
                len(item_resolutions.dimensions_of(item.source_detail)),
                text.moment(item.created_at),
                item.title,
            )
            for item in all_items
            for known in [known_of(item)]
        ]
        click.echo(text.table(("ITEM", "STATUS", "CLOSED AS", "RATIO", "DIMENSIONS", "OPENED AT (UTC)", "TITLE"), rows))


@items.command()
@click.argument("item_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the row as JSON.")
def show(item_id: str, as_json: bool) -> None:
    """Show one item: its onset, confidence, evidence, other dimensions slowed by it, and what to do next."""
    with _named(item_id) as (_, item):
        if as_json:
            text.as_json(asdict(item))
        else:
            click.echo(item_page.render(item))


@items.command()
@click.argument("item_id", metavar="ID")
@click.option(
    "--as", "resolution", type=click.Choice(list(store.RESOLUTIONS)), required=True, help="How it was resolved."
)
def close(item_id: str, resolution: str) -> None:
    """Close an item as fixed, as noise (nothing had changed), or as expected (this is its normal speed)."""
    with _named(item_id) as (connection, item):
        if not store.close(connection, item.id, resolution):
            raise UserError(f"Item {item_id} is already closed, as {item.resolution or item.status.lower()}")
    about = item_resolutions.dimensions_of(item.source_detail)
    name = text.in_a_line(":".join(about[0]) if about else item.title)
    more = f" and {len(about) - 1} more" if len(about) > 1 else ""
    click.echo(f"Closed as {resolution}. {name}{more}: {_MEANS[resolution]}.")


@contextmanager
def _named(item_id: str) -> Iterator[tuple[Database, store.Item]]:
    """Open the database and look up an item. Raises UserError."""
    try:
        wanted = str(uuid.UUID(item_id))
    except ValueError:
        raise UserError(f"{item_id!r} is not an item id: `leo-telemetry items` lists them") from None
    with connected() as connection:
        item = store.get(connection, wanted)
        if item is None:
            raise UserError(f"There is no item {item_id}: `leo-telemetry items` lists them")
        yield connection, item
