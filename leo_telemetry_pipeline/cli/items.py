"""``leo-telemetry items``: list and show improvement items, and make the steps of their lives that people decide.

Belongs here: options and output. Does not: which bottlenecks get an item (actions.items), which steps analyses make
(actions.item_life), making steps
(actions.item_decisions), an item's page (item_page, item_markdown).
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click

from leo_telemetry_pipeline.actions import item_decisions, item_resolutions
from leo_telemetry_pipeline.actions.item_detail import known_of
from leo_telemetry_pipeline.actions.items import ratio_of
from leo_telemetry_pipeline.cli import decisions, item_markdown, item_page, text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import items as store
from leo_telemetry_pipeline.store.days import Window, midnight
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline.store.server.database import Database

# Days that the trend of a page shows, up to the last analysis that wrote the item.
TREND = timedelta(days=56)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.pass_context
def items(context: click.Context, as_json: bool) -> None:
    """List improvement items, show one, or say what became of it."""
    if context.invoked_subcommand is None:
        _list(as_json)


@items.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def list_items(as_json: bool) -> None:
    """List improvement items, active ones first."""
    _list(as_json)


def _list(as_json: bool) -> None:
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
                item.episode,
                ratio_of(known) if "ratio" in known else None,
                len(item_resolutions.dimensions_of(item.source_detail)),
                text.moment(item.status_since),
                item.title,
            )
            for item in all_items
            for known in [known_of(item)]
        ]
        click.echo(text.table(("ITEM", "STATUS", "EPISODE", "RATIO", "DIMENSIONS", "SINCE (UTC)", "TITLE"), rows))


@items.command()
@click.argument("item_id", metavar="ID")
@click.option("--format", "as_format", type=click.Choice(["text", "md"]), default="text", help="Text or Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print the row and its events as JSON.")
def show(item_id: str, as_format: str, as_json: bool) -> None:
    """Show one item: its onset, confidence, evidence, other dimensions slowed by it, history, and what to do next."""
    with _named(item_id) as (connection, item):
        events = store.events(connection, item.id)
        if as_json:
            text.as_json(asdict(item) | {"events": [asdict(event) for event in events]})
        elif as_format == "md":
            click.echo(item_markdown.render(item, events, _evidence(connection, item)))
        else:
            click.echo(item_page.render(item, events))


def _evidence(connection: Database, item: Item) -> item_markdown.Evidence:
    known = known_of(item)
    if item.dimension is None or "window" not in known:
        return item_markdown.Evidence()
    import numpy as np

    from leo_telemetry_pipeline.actions import item_steps
    from leo_telemetry_pipeline.cli.trends import spark
    from leo_telemetry_pipeline.store import trace_samples
    from leo_telemetry_pipeline.store.history import daily

    start, end = known["window"]
    window = Window(start, end, known.get("project") or None)
    seen = daily.scope(connection, window, [item.dimension[0]]).seen
    past = item_steps.read(connection, window, [item.dimension], TREND)
    slow = trace_samples.longest(connection, window, [item.dimension], seen, most=item_markdown.SLOW_TRACES)
    normal_ms = known.get("baseline_p50_ms", 0.0)
    typical = trace_samples.nearest(connection, window, item.dimension, seen, normal_ms, item_markdown.TYPICAL_TRACES)
    trend = spark(np.array(past.daily_p50s(item.dimension)))
    return item_markdown.Evidence(trend, slow.get(item.dimension, []), typical)


@items.command()
@decisions.options("item_id", "ID")
def ack(**given: Any) -> None:
    """Acknowledge an item: someone has seen it."""
    _make("ack", **given)


@items.command()
@decisions.options("item_id", "ID")
def start(**given: Any) -> None:
    """Say that someone works on an item."""
    _make("start", **given)


@items.command()
@decisions.options("item_id", "ID")
def fixed(**given: Any) -> None:
    """Say that an item is fixed: analyses verify it, and only they resolve it."""
    _make("fixed", **given)


@items.command()
@decisions.options("item_id", "ID")
def accept(**given: Any) -> None:
    """Accept an item's current level as normal: it becomes the baseline."""
    _make("accept", **given)


@items.command()
@decisions.options("item_id", "ID")
@click.option("--until", metavar="DATE", help="The item may return from this day on (default: a person reopens it).")
def dismiss(until: str | None, **given: Any) -> None:
    """Dismiss an item as noise, or until a date."""
    _make("dismiss", until=midnight(text.day(until, "--until")) if until else None, **given)


@items.command()
@decisions.options("item_id", "ID")
def reopen(**given: Any) -> None:
    """Reopen an item that is resolved, accepted, dismissed or stale."""
    _make("reopen", **given)


def _make(
    word: str, *, item_id: str, reason: str, by: str | None, at: str | None, until: datetime | None = None
) -> None:
    actor, moment = decisions.actor(by), decisions.moment(at)
    with _named(item_id) as (connection, item):
        click.echo(item_decisions.make(connection, item, word, actor, reason, moment, until))


@contextmanager
def _named(item_id: str) -> Iterator[tuple[Database, Item]]:
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
