"""Commands around collecting: ``drain`` and ``purge``.

Belongs here: what they take, ask and print. Does not: how spans are stored, found and deleted (store).
"""

import re
import sys
from contextlib import closing
from datetime import UTC, date, datetime

import click

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources.rows import canonical_id
from leo_telemetry_pipeline.span import InvalidSpan
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.store import spool_drain
from leo_telemetry_pipeline.store.retention.purge import Purged, What, count
from leo_telemetry_pipeline.store.retention.purge import purge as delete
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database


@click.command()
def drain() -> None:
    """Store the spans that wait on disk since the database was away."""
    settings = Settings()
    with database.ready(settings) as target, closing(Database(target)) as connection:
        done = spool_drain.drain(connection, settings.home, "CLI")
    if done.busy:
        click.echo("Another process is draining the spool.")
        return
    if not done.segments and not done.torn:
        click.echo("Nothing waits in the spool." + _left(done))
        return
    there = done.spans - done.new - done.completed - done.quarantined
    click.echo(
        f"{done.new} span(s) stored from {done.segments} segment(s)"
        + (f", {done.completed} got their end" if done.completed else "")
        + (f", {there} were stored already" if there > 0 else "")
        + (f", {done.quarantined} put aside" if done.quarantined else "")
        + (f", {done.torn} torn record(s) lost" if done.torn else "")
        + "."
        + _left(done)
    )


def _left(done: Drained) -> str:
    return f" {done.left} segment(s) belong to programs that still run." if done.left else ""


@click.command()
@click.option("--before", "before", metavar="DATE", help="Spans that started before this UTC day: 2026-02-09.")
@click.option("--project", metavar="NAME", help="Spans of a project.")
@click.option("--trace", "trace_id", metavar="ID", help="Spans of a trace.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(before: str | None, project: str | None, trace_id: str | None, yes: bool) -> None:
    """Delete spans for good, and the history that was made of them.

    Give exactly one of --before, --project and --trace. What waits in the spool is stored first, so that it goes too.
    """
    what = _what(before, project, trace_id)
    settings = Settings()
    with database.ready(settings) as target, closing(Database(target)) as connection:
        done = spool_drain.drain(connection, settings.home, "CLI")
        if done.busy:
            raise UserError("Another process is draining the spool: try again in a moment", 1)
        if done.left:
            click.echo(f"{done.left} segment(s) of programs that still run are not looked into.", err=True)
        found = count(connection, what)
        if found == Purged(0, 0, 0):
            click.echo("Nothing of it is stored.")
            return
        if not yes:
            _ask(what, found)
        gone = _with_progress(connection, what, found)
    click.echo(f"Deleted {gone.spans} span(s) and {gone.quarantined} line(s) that had been put aside.")


def _what(before: str | None, project: str | None, trace_id: str | None) -> What:
    if sum(one is not None for one in (before, project, trace_id)) != 1:
        raise UserError("Give one of --before DATE, --project NAME and --trace ID")
    if before is not None:
        return What(before=_day(before))
    if project is not None:
        return What(project=project)
    try:
        return What(trace_id=canonical_id(trace_id, "--trace"))
    except InvalidSpan as error:
        raise UserError(f"{error}: `leo-telemetry findings --verbose` names traces") from None


def _day(value: str) -> date:
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            raise ValueError
        day = date.fromisoformat(value)
    except ValueError:
        raise UserError(f"--before {value!r} is no day: write it like 2026-02-09") from None
    if day > datetime.now(UTC).date():
        raise UserError(
            f"--before {value} lies in the future: give today's date ({datetime.now(UTC):%Y-%m-%d}) at most"
        )
    return day


def _ask(what: What, found: Purged) -> None:
    spans = f"{found.spans} span(s) {_named(what)}"
    if not sys.stdin.isatty():
        raise UserError(f"{spans} would be deleted for good: add --yes")
    click.confirm(f"Delete {spans}, and {found.quarantined} line(s) put aside, for good?", abort=True)


def _named(what: What) -> str:
    if what.before is not None:
        return f"that started before {what.before}"
    if what.trace_id is not None:
        return f"of trace {what.trace_id}"
    return f"of project {what.project!r}" if what.project else "without a project"


def _with_progress(connection: Database, what: What, found: Purged) -> Purged:
    from tqdm import tqdm

    with tqdm(total=found.spans, unit=" spans", disable=None, leave=False) as progress:
        return delete(connection, what, progress.update)
