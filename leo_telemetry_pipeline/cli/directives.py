"""``leo-telemetry directives``: list, show, export directives, and decide on them.

Belongs here: options and output. Does not: drafting and steps (actions.directive_steps), formats
(actions.directive_exports).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from leo_telemetry_pipeline.actions import directive_exports, directive_steps
from leo_telemetry_pipeline.cli import decisions, text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import directives as store
from leo_telemetry_pipeline.store.directives import Directive
from leo_telemetry_pipeline.store.server.database import Database

NOTHING = "No directives yet: an analysis drafts one for an item that is slow enough for long enough."
_FORMATS: dict[str, Callable[[Directive], Any]] = {
    "md": directive_exports.as_markdown,
    "json": directive_exports.as_row,
    "leo-proposal": directive_exports.as_proposal,
    "leo-plan": directive_exports.as_plan,
}


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.pass_context
def directives(context: click.Context, as_json: bool) -> None:
    """List directives: work drafted from improvement items, live ones first."""
    if context.invoked_subcommand is None:
        _list(as_json)


@directives.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def list_all(as_json: bool) -> None:
    """List directives, live ones first."""
    _list(as_json)


@directives.command()
@click.argument("key", metavar="KEY")
def show(key: str) -> None:
    """Show one directive as Markdown, and who changed its status when and why."""
    with _named(key) as (connection, directive):
        changes = store.events(connection, directive.id)
    rows = [(text.moment(one.created_at), one.to_status, one.actor, one.reason) for one in changes]
    click.echo(directive_exports.as_markdown(directive))
    click.echo(text.table(("CHANGED AT (UTC)", "STATUS", "BY", "REASON"), rows))


@directives.command()
@click.argument("key", metavar="KEY")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMATS)),
    required=True,
    help="md: a page for people; json: the row; leo-proposal, leo-plan: what LEO's importer takes.",
)
def export(key: str, form: str) -> None:
    """Print one directive in a format for other programs."""
    with _named(key) as (_, directive):
        exported = _FORMATS[form](directive)
    if isinstance(exported, str):
        click.echo(exported, nl=False)
    else:
        text.as_json(exported)


def _list(as_json: bool) -> None:
    with connected() as connection:
        found = store.all_directives(connection)
    if as_json:
        text.as_json([directive_exports.as_row(directive) for directive in found])
    elif not found:
        click.echo(NOTHING)
    else:
        rows = [
            (one.sd_key, one.status, one.priority, len(one.item_ids), text.moment(one.created_at), one.title)
            for one in found
        ]
        click.echo(text.table(("DIRECTIVE", "STATUS", "PRIORITY", "ITEMS", "DRAFTED AT (UTC)", "TITLE"), rows))


@contextmanager
def _named(key: str) -> Iterator[tuple[Database, Directive]]:
    """Open the database and look up a directive. Raises UserError."""
    with connected() as connection:
        directive = store.get(connection, key)
        if directive is None:
            raise UserError(f"There is no directive {text.in_a_line(key)}: `leo-telemetry directives` lists them")
        yield connection, directive


@directives.command()
@decisions.options("key", "KEY")
def approve(**given: Any) -> None:
    """Approve a draft: work may begin, and its items are IN_PROGRESS."""
    _decide("approve", **given)


@directives.command()
@decisions.options("key", "KEY")
def start(**given: Any) -> None:
    """Say that the work of an approved directive has begun."""
    _decide("start", **given)


@directives.command()
@decisions.options("key", "KEY")
def done(**given: Any) -> None:
    """Say that the work is done: analyses verify it, and only they complete the directive."""
    _decide("done", **given)


@directives.command()
@decisions.options("key", "KEY")
def cancel(**given: Any) -> None:
    """Cancel a directive; its items stay as they are."""
    _decide("cancel", **given)


def _decide(name: str, *, key: str, reason: str, by: str | None, at: str | None) -> None:
    decision, person, moment = directive_steps.DECISIONS[name], decisions.actor(by), decisions.moment(at)
    with _named(key) as (connection, directive):
        directive_steps.decide(connection, directive, decision, person, reason, moment)
    click.echo(f"{directive.sd_key} is {decision.to}: {decision.means}.")
