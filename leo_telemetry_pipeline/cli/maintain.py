"""``leo-telemetry maintain``: run the daily maintenance now, or recount daily history.

Belongs here: the command and the text of its report. Does not: the work itself (store.retention, store.history).
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import date

import click

from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.history import recount
from leo_telemetry_pipeline.store.history.recount import Recount
from leo_telemetry_pipeline.store.retention import maintenance
from leo_telemetry_pipeline.store.retention.rules import Report
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database

_MOST_SHOWN = 10


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would be done, and write nothing.")
@click.option("--recount", "counts_again", is_flag=True, help="Recount daily history from spans instead.")
@click.option("--from", "first", metavar="DAY", help="With --recount: the first UTC day (default: all).")
@click.option("--to", "last", metavar="DAY", help="With --recount: the last UTC day (default: all).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def maintain(dry_run: bool, counts_again: bool, first: str | None, last: str | None, as_json: bool) -> None:
    """Create partitions, and drop spans older than LEO_TELEMETRY_KEEP.

    The daemon does this daily, and `worker --once` if the last maintenance was over 20 hours ago. The exit status is 1
    if something could not be done.

    The next analysis counts spans that arrive or end late, unless their day is sealed. After any other change to
    stored spans, such as an UPDATE of a duration, --recount brings daily history up to date.
    """
    settings = Settings()
    if counts_again:
        begin, end = (None if day is None else text.day(day, name) for day, name in ((first, "--from"), (last, "--to")))
        _recount(settings, begin, end, dry_run=dry_run, as_json=as_json)
        return
    if first or last:
        raise UserError("--from and --to need --recount")
    with database.ready(settings) as target, closing(Database(target, read_only=dry_run)) as connection:
        report = maintenance.maintain(connection, settings, dry_run=dry_run)
    if as_json:
        text.as_json(asdict(report))
    else:
        click.echo(rendered(report))
    raise SystemExit(1 if report.problems else 0)


def _recount(settings: Settings, first: date | None, last: date | None, *, dry_run: bool, as_json: bool) -> None:
    from tqdm import tqdm

    with database.ready(settings) as target, closing(Database(target, read_only=dry_run)) as connection:
        open_days, sealed = recount.days(connection, first, last)
        report = Recount(dry_run, tuple(open_days), tuple(sealed))
        if not dry_run:
            with tqdm(total=len(open_days) + len(sealed), unit=" days", disable=None, leave=False) as progress:
                recount.recount(connection, [*open_days, *sealed], progress.update)
    if as_json:
        text.as_json(asdict(report))
    else:
        click.echo(recounted(report))


def recounted(report: Recount) -> str:
    """Format the report of a recount."""
    if not report.days and not report.sealed:
        return "Daily history has no day that has ended: nothing to recount."
    lines = ["Dry run: this is what would be done."] if report.dry_run else []
    lines.append(f"Recounted: {len(report.days)} day(s)" + (f", {_in_short(report.days)}" if report.days else ""))
    if report.sealed:
        lines.append(
            f"Sealed, so only spans that arrived later were recounted: {len(report.sealed)} day(s),"
            f" {_in_short(report.sealed)}. Their sealed parts stay as they are."
        )
    if report.days and not report.dry_run:
        lines.append("`leo-telemetry analyze` judges by the new counts.")
    return "\n".join(lines)


def rendered(report: Report) -> str:
    """Format a report: one line per action, then what could not be done."""
    lines = [*_partitions(report), *_days(report), *_notes(report)]
    if not lines:
        lines = ["Nothing to do."]
    if report.dry_run:
        lines = ["Dry run: this is what would be done.", *lines]
    lines.append(
        f"Spans are kept for {report.keep_days} days ({PREFIX}KEEP): from {report.kept_from}, and those imported"
        " or restored since."
    )
    if report.left_to_others:
        lines.append(f"{report.left_to_others} step(s) were left to another maintenance run, which is in progress.")
    if report.waiting:
        lines.append(f"Not dropped yet, since they or adjacent days still change: {_in_short(report.waiting)}.")
    return "\n".join([*lines, *[f"Not done: {problem}" for problem in report.problems]])


def _partitions(report: Report) -> list[str]:
    lines = [f"Partitions created: {report.partitions_made}"] if report.partitions_made else []
    if report.moved:
        spans = sum(report.moved.values())
        days = [date.fromisoformat(day) for day in report.moved]
        lines.append(f"Moved out of the default partition: {spans:,} span(s) of {_in_short(days)}")
    return lines


def _days(report: Report) -> list[str]:
    lines = []
    if report.sealed:
        lines.append(f"Sealed: {_in_short([day for day, _ in report.sealed])}")
    if report.archived:
        lines.append(f"Archived: {sum(part.spans for part in report.archived):,} span(s)")
        lines += [f"  {part.file}  {part.spans:,} span(s)" for part in report.archived[:_MOST_SHOWN]]
        if more := len(report.archived) - _MOST_SHOWN:
            lines += [f"  ... and {more} more file(s) (--json)"] if more > 0 else []
    if report.dropped:
        spans, freed = sum(part.spans for part in report.dropped), sum(part.bytes for part in report.dropped)
        lines.append(
            f"Dropped: {spans:,} span(s) of {_in_short([part.day for part in report.dropped])}"
            f" ({freed / 1e6:,.1f} MB freed)"
        )
    return lines


def _notes(report: Report) -> list[str]:
    removed = (
        (report.p50_rows, "P50(s) of analyses older than 400 days"),
        (report.quarantined, "quarantined line(s)"),
        (report.drains, "record(s) of drained spools"),
    )
    return [f"Removed: {count:,} {what}" for count, what in removed if count]


def _in_short(days: Sequence[date]) -> str:
    """Format days as ``2026-08-01 to 2026-08-07 (7 days)``, or list them where there are gaps."""
    days = sorted(set(days))
    if len(days) == 1:
        return str(days[0])
    if days[-1] - days[0] == (len(days) - 1) * DAY:
        return f"{days[0]} to {days[-1]} ({len(days)} days)"
    if len(days) <= _MOST_SHOWN:
        return ", ".join(map(str, days))
    return f"{len(days)} days between {days[0]} and {days[-1]}"
