"""``leo-telemetry import``: files into spans, with a progress bar on a terminal.

Belongs here: the command, and handing what was read to the store in batches.
Does not: reading a format (collect), whether a file may be stored (sources.files.admission), storing (store).
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import click

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources.files import admission, column_maps, parquet, reader
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import intake, spans
from leo_telemetry_pipeline.store.intake import IMPLAUSIBLE_TIMES, Noticed
from leo_telemetry_pipeline.store.retention import archive
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.spans import Aside

SHOWN = 5
ASIDE_AT_ONCE = 1_000
STDIN = "-"
STDIN_NAME = "standard input"
# A file that is refused as a whole, by its content or by the table; the others are read all the same.
REFUSED = 1


@dataclass
class Loaded:
    """What came of one file; ``bad`` are the first bad lines, ``aside`` is how many there were.

    ``refused`` of those could be read, but the table did not take them. ``completed`` gave a span its end. The spans
    start from ``first_ms`` to ``last_ms``; ``wrong`` counts those whose times cannot be true, by what is wrong with
    them.
    """

    read: int = 0
    new: int = 0
    completed: int = 0
    aside: int = 0
    refused: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    bad: list[reader.BadLine] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def extend_range(self, starts: list[int]) -> None:
        """Widen the range of times to these starts."""
        self.first_ms = min(starts) if self.first_ms is None else min(self.first_ms, *starts)
        self.last_ms = max(starts) if self.last_ms is None else max(self.last_ms, *starts)


class Asked(NamedTuple):
    """What the person asked for, the same for all files."""

    columns: dict[str, str] | None
    preset: str | None
    project: str
    accept: bool
    settings: Settings
    policy: redact.Policy


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option("--map", "mapping", metavar="OURS=THEIRS,...", help="Columns of rows; units as in THEIRS:ns.")
@click.option("--preset", metavar="NAME", help=f"A column map by name: {', '.join(sorted(column_maps.PRESETS))}.")
@click.option("--project", metavar="NAME", default="", help="The project of spans that name none.")
@click.option("--accept-times", is_flag=True, help="Store a file although its times look impossible.")
def load(paths: tuple[str, ...], mapping: str | None, preset: str | None, project: str, accept_times: bool) -> None:
    """Store spans from files: JSON lines, OTLP/JSON, Zipkin v2, Jaeger JSON or CSV, plain or gzip, or Parquet.

    FILE may be - for standard input. What is stored already is not stored twice. A line that cannot be a span is put
    aside with its reason, in telemetry_quarantine; every other line is kept. Nothing is stored of a file without one
    span, with a hundred bad lines before the first, or with times that cannot be true: years too old, in the future,
    or a duration that contradicts the end. A preset means that its old times are right. Units of times are ns, us, ms,
    s, d (days) and excel (the days of a spreadsheet). An archive of this database is put back as it was.
    """
    columns = column_maps.parse_map(mapping) if mapping else None
    for path in paths:  # before the first is read, so that nothing is half done over a typing error
        if path != STDIN and not _is_file(Path(path)):
            raise UserError(f"{path} is no file that can be read: check its name")
    if paths.count(STDIN) > 1 or (STDIN in paths and sys.stdin is None):
        raise UserError("- is standard input, which can be read once: name files, or open it")
    settings = Settings()
    policy = redact.Policy(settings.keep_keys, settings.keep_identity)
    asked = Asked(columns, preset, project or settings.project, accept_times, settings, policy)
    refused = False
    with database.ready(settings) as target, closing(Database(target)) as connection:
        for path in paths:
            try:
                _load_one(connection, path, asked)
            except UserError as error:
                if error.exit_code != REFUSED:
                    raise
                refused = True
                click.echo(f"leo-telemetry: {error.message}", err=True)
    if refused:
        raise SystemExit(REFUSED)


def _load_one(connection: Database, name: str, asked: Asked) -> None:
    from_stdin = name == STDIN
    path = Path(STDIN_NAME if from_stdin else name)
    archive_id = None if from_stdin else _archive_id(path)
    if archive_id is not None and archive.is_known(connection, archive_id):
        _restore(connection, path, archive_id)
        return
    # What somebody archived or published was measured long ago, and nobody needs to be told.
    is_history = archive_id is not None or asked.preset is not None
    check = admission.FileCheck(
        str(path),
        admission.Rules(
            time.time_ns() // 1_000_000,
            asked.settings.keep,
            accept=asked.accept or is_history,
            end_wins=archive_id is None,
        ),
        column_map=asked.columns,
        preset=asked.preset,
    )
    removed: dict[str, int] = {}
    with _progress(None if from_stdin else path) as progress:
        read = reader.read(
            path,
            file=sys.stdin.buffer if from_stdin else None,
            column_map=asked.columns,
            preset=asked.preset,
            project=asked.project,
            policy=asked.policy,
            removed=removed,
            seen=check.seen,
            on_bytes=progress.update,
        )
        done = store(connection, check.admit(read), path, removed, None if is_history else check.wrong)
    _report(path, done)
    if done.read and done.refused == done.read:
        raise UserError(f"{path}: the table took none of its spans; telemetry_quarantine says why", REFUSED)


def _restore(connection: Database, path: Path, archive_id: str) -> None:
    settings = Settings()
    with _progress(path) as progress:
        found, put_back = archive.restore(connection, path, archive_id, progress.update)
    there = f", {found - put_back} were stored already" if put_back < found else ""
    lasting = f" for {settings.keep} days" if put_back else ""
    click.echo(f"{path}: {put_back} span(s) put back{lasting}{there}")


def _archive_id(path: Path) -> str | None:
    """Return the id of an archive that this or another database made of spans that it sealed."""
    if not path.stat().st_size or not parquet.is_parquet(path):
        return None
    return parquet.notes(path).get(parquet.ARCHIVE_ID) or None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def store(
    connection: Database,
    read: Iterator[Span | reader.BadLine],
    path: Path,
    removed: dict[str, int] | None = None,
    wrong: Counter[str] | None = None,
) -> Loaded:
    """Store what was read from a file, put aside what could not be, and note what reading ``removed``.

    ``wrong`` counts what was wrong with the times of the spans so far, and is noted for the doctor.
    """
    removed = {} if removed is None else removed
    done, waiting = Loaded(), []
    source = STDIN_NAME if str(path) == STDIN_NAME else str(path.absolute())

    def good() -> Iterator[Span]:
        for one in read:
            if isinstance(one, Span):
                done.read += 1
                yield one
            else:
                done.aside += 1
                done.bad += [one] if len(done.bad) < SHOWN else []
                waiting.append(Aside(one.line, one.reason, one.text or _kept(one), one.project))
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
        done.extend_range([span.start_time_ms for span in batch])
        if wrong:
            _notice(connection, done, wrong, is_new=bool(stored.new))
    spans.quarantine(connection, source, waiting)
    return done


def _kept(line: reader.BadLine) -> str:
    # Of what is not a span only the names of its keys: the rest may be anybody's words.
    return f"[not kept; keys: {line.keys}]" if line.keys else "[not kept]"


def _notice(connection: Database, done: Loaded, wrong: Counter[str], *, is_new: bool) -> None:
    done.wrong.update(wrong)
    if is_new:
        intake.count(connection, {Noticed("import", IMPLAUSIBLE_TIMES, text): times for text, times in wrong.items()})
    wrong.clear()


def _report(path: Path, done: Loaded) -> None:
    known = done.read - done.new - done.completed - done.refused
    ended = f", {done.completed} got their end" if done.completed else ""
    there = f", {known} were stored already" if known > 0 else ""
    aside = f", {done.aside} bad line(s) put aside" if done.aside else ""
    click.echo(f"{path}: {done.new} span(s) stored{ended}{there}{aside}{_range(done)}")
    for text, times in done.wrong.most_common():
        click.echo(f"  {times} span(s) with a time that cannot be true: {text}", err=True)
    for line in done.bad:
        click.echo(f"  line {line.line}: {line.reason}", err=True)
    if more := done.aside - len(done.bad):
        click.echo(f"  ... and {more} more, all in telemetry_quarantine", err=True)


def _range(done: Loaded) -> str:
    if done.first_ms is None or done.last_ms is None:
        return ""
    first, last = admission.moment(done.first_ms), admission.moment(done.last_ms)
    return f"; spans of {first}" if first == last else f"; spans from {first} to {last}"


def _progress(path: Path | None):
    from tqdm import tqdm

    make: Callable = tqdm
    total, name = (path.stat().st_size, path.name) if path else (None, STDIN_NAME)
    # None: shown only where the output is a terminal.
    return make(total=total, unit="B", unit_scale=True, desc=name, disable=None, leave=False)
