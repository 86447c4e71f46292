"""``leo-telemetry look``: read the past that is already on this machine, and show what got slower.

Belongs here: the command, its question and its report. Does not: finding and reading a past (sources), storing (store).
"""

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.actions import analysis_requests
from leo_telemetry_pipeline.cli import findings, text
from leo_telemetry_pipeline.cli.analysis import executed
from leo_telemetry_pipeline.cli.import_files import SHOWN, Loaded, summary
from leo_telemetry_pipeline.errors import USAGE, UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources import known
from leo_telemetry_pipeline.sources.files.admission import moment
from leo_telemetry_pipeline.sources.past import Cursor, LeftOut, Past, Source, Unread
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import cursors, spans
from leo_telemetry_pipeline.store.dagster_runs import DagsterDatabases
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.spans import QuarantinedLine

NOTHING_FOUND = 1
# An analysis covers this many days up to now.
WINDOW = timedelta(days=7)


@dataclass(frozen=True)
class Place:
    """Past of a source, and how far it was read before."""

    source: Source
    past: Past
    cursor: Cursor | None


@dataclass
class Looked:
    """Result of reading one place; ``unread`` holds the first entries that could not be read."""

    loaded: Loaded = field(default_factory=Loaded)
    left_out: Counter[str] = field(default_factory=Counter)
    unread: list[Unread] = field(default_factory=list)


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--yes", is_flag=True, help="Read what is found without asking, for scripts.")
@click.option("--again", is_flag=True, help="Read all of it again, not only what is new.")
def look(paths: tuple[Path, ...], yes: bool, again: bool) -> None:
    """Read the past that is already on this machine, analyze it, and show what got slower.

    PATH is a file or a folder; without one, the usual places of each source are searched. What is found is shown
    first, and read once you agree. Nothing leaves this machine. Running the command again reads only what is new.
    """
    settings = Settings()
    analysis_requests.refuse_if_off(settings)
    # The database's own source cannot be in the registry, which knows no database.
    sources = [*known.sources(), DagsterDatabases()]
    discovered = [(source, each) for source in sources for each in source.discover(paths)]
    for _, each in discovered:
        if isinstance(each, Unread):
            click.echo(text.in_a_line(f"Found, but {each.file}: {each.reason}"), err=True)
    found = [(source, each) for source, each in discovered if isinstance(each, Past)]
    if not found:
        click.echo("\n".join(["Looked for:", *(f"  {source.title}: {source.where}" for source in sources)]))
        raise UserError(_nothing_found(paths), NOTHING_FOUND)
    with database.ready(settings) as target, closing(Database(target)) as connection:
        places = [Place(source, past, _cursor(connection, source, past)) for source, past in found]
        click.echo("\n".join(["Found:", *(f"  {line}" for line in map(described, places))]))
        _ask(places, target.shown, yes=yes, command=_command(paths))
        policy = redact.Policy(settings.keep_keys, settings.keep_identity)
        for place in places:
            looked = read(connection, place if not again else Place(place.source, place.past, None), policy)
            click.echo("\n".join(reported(place, looked)))
        click.echo("Analyzing ...", err=True)
        run = executed(target, connection, settings, {})
        state = findings.read(connection)
    click.echo(findings.render(findings.FindingsInputs(state.now, run, run, (), state.last_span), verbose=True))
    click.echo("\n".join(["", *_next([place.past for place in places], _command(paths), state.now)]))


def _cursor(connection: Database, source: Source, past: Past) -> Cursor | None:
    position = cursors.get(connection, source.name, past.place)
    return None if position is None else Cursor(position)


def _nothing_found(paths: Sequence[Path]) -> str:
    at = f"at {', '.join(map(str, paths))}" if paths else "in the usual places"
    return (
        f"Found no past {at}: name a folder that has one (docs/look.md says how to make one from GitHub), store"
        " spans of another tool with `leo-telemetry import FILE`, or see what there is to see with `leo-telemetry demo`"
    )


def described(place: Place) -> str:
    """Describe a place in one line: how much there is, how old it is, and how large."""
    past = place.past
    days = ""
    if past.first_ms is not None and past.last_ms is not None:
        days = f", {moment(past.first_ms)} to {moment(past.last_ms)}"
    before = ", read before: only what is new is read" if place.cursor else ""
    line = f"{place.source.title} in {past.place}: {past.contents}, {_size(past.size_bytes)}{days}{before}"
    return text.in_a_line(line)


def _ask(places: Sequence[Place], shown: str, *, yes: bool, command: str) -> None:
    if yes or all(place.cursor for place in places):
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise UserError(
            f"Nothing was read, since there is nobody to ask without a terminal: run `{command} --yes`", USAGE
        )
    click.echo(f"The spans go into {shown}, without secrets. Nothing leaves this machine.")
    if not click.confirm("Read it?", default=True):
        raise UserError("Nothing was read", 0)


def read(connection: Database, place: Place, policy: redact.Policy) -> Looked:
    """Store what is new at a place; a cursor is kept once all that it covers is stored."""
    from tqdm import tqdm

    looked, batch, unread = Looked(), [], []

    def flush() -> None:
        if batch:
            stored = spans.store(connection, batch, source=place.past.place)
            looked.loaded.new += stored.new
            looked.loaded.completed += stored.completed
            looked.loaded.refused += stored.quarantined
            looked.loaded.describe(batch)
            batch.clear()
        _quarantine(connection, unread)
        unread.clear()

    with tqdm(desc=place.source.title, unit=" spans", disable=None, leave=False) as progress:
        for entry in place.source.read(place.past, place.cursor, policy):
            if isinstance(entry, Span):
                batch.append(entry)
                looked.loaded.read += 1
                progress.update()
            elif isinstance(entry, Unread):
                unread.append(entry)
                looked.loaded.quarantined += 1
                looked.unread += [entry] if len(looked.unread) < SHOWN else []
            elif isinstance(entry, LeftOut):
                looked.left_out[entry.what] += entry.count
            if isinstance(entry, Cursor) or len(batch) + len(unread) >= spans.BATCH:
                flush()
            if isinstance(entry, Cursor):
                cursors.put(connection, place.source.name, place.past.place, entry.position)
    flush()
    return looked


def _quarantine(connection: Database, unread: Sequence[Unread]) -> None:
    by_file: dict[str, list[QuarantinedLine]] = {}
    for entry in unread:
        by_file.setdefault(entry.file, []).append(QuarantinedLine(entry.line, entry.reason, "[not kept]"))
    for file, lines in by_file.items():
        spans.quarantine(connection, file, lines)


def reported(place: Place, looked: Looked) -> Iterator[str]:
    """Yield the lines of the report on one place."""
    loaded = looked.loaded
    known_before = loaded.read - loaded.new - loaded.completed - loaded.refused
    if not loaded.read and not looked.left_out and not loaded.quarantined:
        yield f"{place.source.title}: nothing new"
        return
    stored_before = f", {known_before:,} were already stored" if known_before > 0 else ""
    yield f"{place.source.title}: {loaded.new:,} span(s) stored{stored_before}"
    for line in summary(loaded) if loaded.new else ():
        yield f"  {line}"
    for what, count in looked.left_out.most_common():
        yield f"  left out: {count:,} {what}"
    if loaded.refused:
        yield f"  the table refused {loaded.refused:,} span(s): see telemetry_quarantine"
    for entry in looked.unread:
        yield text.in_a_line(f"  not read: {entry.file}, line {entry.line}: {entry.reason}")
    if (more := loaded.quarantined - len(looked.unread)) > 0:
        yield f"  ... and {more:,} more that could not be read, all in telemetry_quarantine"


def _next(pasts: Sequence[Past], command: str, now: datetime) -> Iterator[str]:
    newest = max((past.last_ms for past in pasts if past.last_ms is not None), default=None)
    if newest is not None:
        then = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=newest)
        if now - then > WINDOW:
            yield (
                f"The newest work began {text.age(then, now)}, but an analysis covers the last {WINDOW.days} days:"
                f" run `leo-telemetry analyze --window-end {then + timedelta(days=1):%Y-%m-%d}`"
            )
    yield f"To keep following: run `{command}` again, for instance daily. It reads only what is new."
    yield "To see more:       leo-telemetry items, leo-telemetry why DIMENSION, leo-telemetry dev (a dashboard)"
    yield "To delete it:      leo-telemetry purge --help"


def _command(paths: Sequence[Path]) -> str:
    return shlex.join(["leo-telemetry", "look", *map(str, paths)])


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{max(1, round(size / 1e3)):,} kB"
