"""``leo-telemetry import``: files into spans, with a progress bar on a terminal.

Belongs here: the command, and handing what was read to the store in batches.
Does not: reading a format (collect), storing (store).
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import click

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.collect import csvmap, files, parquet
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import archive, database, spans
from leo_telemetry_pipeline.store.database import Database

SHOWN = 5
ASIDE_AT_ONCE = 1_000


@dataclass
class Loaded:
    """What came of one file; ``bad`` are the first bad lines, ``aside`` is how many there were.

    ``refused`` of those could be read, but the table did not take them. ``completed`` gave a span its end.
    """

    read: int = 0
    new: int = 0
    completed: int = 0
    aside: int = 0
    refused: int = 0
    bad: list[files.BadLine] = field(default_factory=list)


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--map", "mapping", metavar="OURS=THEIRS,...", help="Columns of a CSV file; units as in THEIRS:ns.")
@click.option("--preset", metavar="NAME", help=f"A column map by name: {', '.join(sorted(csvmap.PRESETS))}.")
@click.option("--project", metavar="NAME", default="", help="The project of spans that name none.")
def load(paths: tuple[Path, ...], mapping: str | None, preset: str | None, project: str) -> None:
    """Store spans from files: JSON lines, OTLP/JSON or CSV, plain or gzip, or Parquet.

    What is stored already is not stored twice. A line that cannot be a span is put aside with its reason, in
    telemetry_quarantine; every other line is kept. An archive of this database is put back as it was.
    """
    column_map = csvmap.parse_map(mapping) if mapping else None
    for path in paths:  # before the first is read, so that nothing is half done over a typing error
        if not _is_file(path):
            raise UserError(f"{path} is no file that can be read: check its name")
    settings, removed = Settings(), {}
    policy = redact.Policy(settings.keep_keys, settings.keep_identity)
    with database.ready(settings) as target, closing(Database(target)) as connection:
        for path in paths:
            archive_id = _own_archive(connection, path)
            if archive_id is not None:
                with _progress(path) as progress:
                    found, put_back = archive.restore(connection, path, archive_id, progress.update)
                there = f", {found - put_back} were stored already" if put_back < found else ""
                lasting = f" for {settings.keep} days" if put_back else ""
                click.echo(f"{path}: {put_back} span(s) put back{lasting}{there}")
                continue
            with _progress(path) as progress:
                read = files.read(
                    path,
                    column_map=column_map,
                    preset=preset,
                    project=project or settings.project,
                    policy=policy,
                    removed=removed,
                    on_bytes=progress.update,
                )
                done = store(connection, read, path, removed)
            _report(path, done)


def _own_archive(connection: Database, path: Path) -> str | None:
    """Return the id of an archive whose spans this database has sealed and may have dropped."""
    if not path.stat().st_size or not parquet.is_parquet(path):
        return None
    archive_id = parquet.notes(path).get(parquet.ARCHIVE_ID)
    return archive_id if archive_id and archive.is_known(connection, archive_id) else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def store(
    connection: Database, read: Iterator[Span | files.BadLine], path: Path, removed: dict[str, int] | None = None
) -> Loaded:
    """Store what was read from a file, put aside what could not be, and note what reading ``removed``."""
    removed = {} if removed is None else removed
    done, waiting = Loaded(), []
    source = str(path.absolute())

    def good() -> Iterator[Span]:
        for one in read:
            if isinstance(one, Span):
                done.read += 1
                yield one
            else:
                done.aside += 1
                done.bad += [one] if len(done.bad) < SHOWN else []
                waiting.append((one.line, one.reason, one.text))
                if len(waiting) == ASIDE_AT_ONCE:
                    spans.quarantine(connection, source, waiting)
                    waiting.clear()

    stream = good()
    while batch := list(islice(stream, spans.BATCH)):
        stored = spans.store(connection, batch, removed, source=source)
        removed.clear()
        done.new += stored.new
        done.completed += stored.completed
        done.aside += stored.quarantined
        done.refused += stored.quarantined
    spans.quarantine(connection, source, waiting)
    return done


def _report(path: Path, done: Loaded) -> None:
    known = done.read - done.new - done.completed - done.refused
    ended = f", {done.completed} got their end" if done.completed else ""
    there = f", {known} were stored already" if known > 0 else ""
    aside = f", {done.aside} bad line(s) put aside" if done.aside else ""
    click.echo(f"{path}: {done.new} span(s) stored{ended}{there}{aside}")
    for line in done.bad:
        click.echo(f"  line {line.line}: {line.reason}", err=True)
    if more := done.aside - len(done.bad):
        click.echo(f"  ... and {more} more, all in telemetry_quarantine", err=True)


def _progress(path: Path):
    from tqdm import tqdm

    make: Callable = tqdm
    # None: shown only where the output is a terminal.
    return make(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, disable=None, leave=False)
