"""Commands on stored spans: ``drain`` and ``purge``.

Belongs here: their options, prompts and output. Does not: storing, finding and deleting spans (store).
"""

import sys
from contextlib import closing
from datetime import UTC, date, datetime

import click

from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources.rows import canonical_id
from leo_telemetry_pipeline.span import InvalidSpan
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.store import spool_drain
from leo_telemetry_pipeline.store.retention.purge import Purged, Selection, count
from leo_telemetry_pipeline.store.retention.purge import purge as delete
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database


@click.command()
def drain() -> None:
    """Store spans spooled to disk while the database was unavailable."""
    settings = Settings()
    with database.ready(settings) as target, closing(Database(target)) as connection:
        drained = spool_drain.drain(connection, settings.home, "CLI")
    if drained.busy:
        click.echo("Another process is draining the spool.")
        return
    if not drained.segments and not drained.torn:
        click.echo("The spool is empty." + _left(drained))
        return
    known = drained.spans - drained.new - drained.completed - drained.quarantined
    click.echo(
        f"{drained.new} span(s) stored from {drained.segments} segment(s)"
        + (f", {drained.completed} completed" if drained.completed else "")
        + (f", {known} were already stored" if known > 0 else "")
        + (f", {drained.quarantined} quarantined" if drained.quarantined else "")
        + (f", {drained.torn} torn record(s) lost" if drained.torn else "")
        + "."
        + _left(drained)
    )


def _left(drained: Drained) -> str:
    return f" {drained.left} segment(s) belong to programs that are still running." if drained.left else ""


@click.command()
@click.option("--before", "before", metavar="DATE", help="Spans that started before this UTC day, such as 2026-02-09.")
@click.option("--project", metavar="NAME", help="Spans of this project.")
@click.option("--trace", "trace_id", metavar="ID", help="Spans of this trace.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(before: str | None, project: str | None, trace_id: str | None, yes: bool) -> None:
    """Permanently delete spans, and the history derived from them.

    Give exactly one of --before, --project and --trace. The spool is drained first, so that spans waiting in it are
    deleted too.
    """
    what = _what(before, project, trace_id)
    settings = Settings()
    with database.ready(settings) as target, closing(Database(target)) as connection:
        drained = spool_drain.drain(connection, settings.home, "CLI")
        if drained.busy:
            raise UserError("Another process is draining the spool: try again in a moment", 1)
        if drained.left:
            click.echo(f"Skipping {drained.left} segment(s) of programs that are still running.", err=True)
        matching = count(connection, what)
        if matching == Purged(0, 0, 0):
            click.echo("No such spans are stored.")
            return
        if not yes:
            _ask(what, matching)
        gone = _with_progress(connection, what, matching)
    click.echo(f"Deleted {gone.spans} span(s) and {gone.quarantined} quarantined line(s).")


def _what(before: str | None, project: str | None, trace_id: str | None) -> Selection:
    if sum(option is not None for option in (before, project, trace_id)) != 1:
        raise UserError("Give one of --before DATE, --project NAME and --trace ID")
    if before is not None:
        return Selection(before=_day(before))
    if project is not None:
        return Selection(project=project)
    try:
        return Selection(trace_id=canonical_id(trace_id, "--trace"))
    except InvalidSpan as error:
        raise UserError(f"{error}: `leo-telemetry findings --verbose` lists trace ids") from None


def _day(value: str) -> date:
    day = text.day(value, "--before")
    if day > datetime.now(UTC).date():
        raise UserError(f"--before {value} is in the future: give a day up to today ({datetime.now(UTC):%Y-%m-%d})")
    return day


def _ask(what: Selection, matching: Purged) -> None:
    spans = f"{matching.spans} span(s) {_named(what)}"
    if not sys.stdin.isatty():
        raise UserError(f"{spans} would be permanently deleted: add --yes")
    click.confirm(f"Permanently delete {spans}, and {matching.quarantined} quarantined line(s)?", abort=True)


def _named(what: Selection) -> str:
    if what.before is not None:
        return f"that started before {what.before}"
    if what.trace_id is not None:
        return f"of trace {what.trace_id}"
    return f"of project {what.project!r}" if what.project else "without a project"


def _with_progress(connection: Database, what: Selection, matching: Purged) -> Purged:
    from tqdm import tqdm

    with tqdm(total=matching.spans, unit=" spans", disable=None, leave=False) as progress:
        return delete(connection, what, progress.update)
