"""``leo-telemetry import``: store spans from files, with a progress bar on a terminal.

Belongs here: the command, and storing in batches. Does not: formats and admission (sources.files), SQL (store).
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import click

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources.files import admission, column_maps, parquet, reader
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import intake, spans
from leo_telemetry_pipeline.store.intake import IMPLAUSIBLE_TIMES, Noticed
from leo_telemetry_pipeline.store.retention import archive
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.spans import QuarantinedLine

SHOWN = 5
# Types and names in the summary, and different names that are counted.
SHOWN_TYPES, SHOWN_NAMES = 5, 3
MOST_NAMES = 10_000
QUARANTINE_BATCH = 1_000
STDIN = "-"
STDIN_NAME = "standard input"
# Exit status if a file is refused as a whole; the other files are still read.
REFUSED = 1


@dataclass
class Loaded:
    """Result of loading one file; ``bad`` holds the first bad lines, ``quarantined`` counts all of them.

    ``refused``: quarantined spans that the table rejected. ``completed``: spans that received their end. Spans start
    between ``first_ms`` and ``last_ms``. ``wrong``: implausible times by reason. ``types`` and ``names``: spans per
    type, and per type and name for at most MOST_NAMES names.
    """

    read: int = 0
    new: int = 0
    completed: int = 0
    quarantined: int = 0
    refused: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    bad: list[reader.BadLine] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    names: Counter[Dimension] = field(default_factory=Counter)

    def describe(self, batch: Sequence[Span]) -> None:
        """Extend the time range to these spans, and count their types and names."""
        starts = [span.start_time_ms for span in batch]
        self.first_ms = min(starts) if self.first_ms is None else min(self.first_ms, *starts)
        self.last_ms = max(starts) if self.last_ms is None else max(self.last_ms, *starts)
        self.types.update(span.span_type for span in batch)
        for name, count in Counter((span.span_type, span.span_name) for span in batch).items():
            if name in self.names or len(self.names) < MOST_NAMES:
                self.names[name] += count


class Options(NamedTuple):
    """Options that apply to all files."""

    columns: dict[str, str] | None
    preset: str | None
    project: str
    accept: bool
    settings: Settings
    policy: redact.Policy


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option("--map", "mapping", metavar="OURS=THEIRS,...", help="Column map; units are written as THEIRS:ns.")
@click.option("--preset", metavar="NAME", help=f"A predefined column map: {', '.join(sorted(column_maps.PRESETS))}.")
@click.option("--project", metavar="NAME", default="", help="The project of spans that do not name one.")
@click.option("--accept-times", is_flag=True, help="Store a file even if its times are implausible.")
def load(paths: tuple[str, ...], mapping: str | None, preset: str | None, project: str, accept_times: bool) -> None:
    """Store spans from files: JSON lines, OTLP/JSON, Zipkin v2, Jaeger JSON, CSV or Parquet.

    All but Parquet may be compressed by gzip, xz or zstd. FILE may be - for standard input. Spans that are already
    stored are not stored twice. A line that is not a span is quarantined with its reason, in telemetry_quarantine;
    all other lines are stored. A file is refused as a whole if it has no span, a hundred bad lines before the first
    span, or implausible times: years too old, in the future, or a duration that contradicts the end. With a preset,
    old times are accepted. Units of times are ns, us, ms, s, d (days) and excel (spreadsheet days). An archive of
    this database is restored exactly.
    """
    columns = column_maps.parse_map(mapping) if mapping else None
    for path in paths:  # check all files before reading any, so that a typo does not leave a partial import
        if path != STDIN and not _is_file(Path(path)):
            raise UserError(f"{path} is not a readable file: check its name")
    if paths.count(STDIN) > 1 or (STDIN in paths and sys.stdin is None):
        raise UserError("- is standard input, which can be read only once, and only if it is open: name files instead")
    settings = Settings()
    policy = redact.Policy(settings.keep_keys, settings.keep_identity)
    options = Options(columns, preset, project or settings.project, accept_times, settings, policy)
    refused = False
    with database.ready(settings) as target, closing(Database(target)) as connection:
        for path in paths:
            try:
                _load_one(connection, path, options)
            except UserError as error:
                if error.exit_code != REFUSED:
                    raise
                refused = True
                click.echo(f"leo-telemetry: {error.message}", err=True)
    if refused:
        raise SystemExit(REFUSED)


def _load_one(connection: Database, name: str, options: Options) -> None:
    from_stdin = name == STDIN
    path = Path(STDIN_NAME if from_stdin else name)
    archive_id = None if from_stdin else _archive_id(path)
    if archive_id is not None and archive.is_known(connection, archive_id):
        _restore(connection, path, archive_id)
        return
    # Archived and published spans are old, which is not worth a warning.
    is_history = archive_id is not None or options.preset is not None
    check = admission.FileCheck(
        str(path),
        admission.AdmissionRules(
            time.time_ns() // 1_000_000,
            options.settings.keep,
            accept=options.accept or is_history,
            end_wins=archive_id is None,
        ),
        column_map=options.columns,
        preset=options.preset,
    )
    removed: dict[str, int] = {}
    with _progress(None if from_stdin else path) as progress:
        read = reader.read(
            path,
            file=sys.stdin.buffer if from_stdin else None,
            column_map=options.columns,
            preset=options.preset,
            project=options.project,
            policy=options.policy,
            removed=removed,
            seen=check.seen,
            on_bytes=progress.update,
        )
        loaded = store(connection, check.admit(read), path, removed, None if is_history else check.wrong)
    _report(path, loaded)
    if loaded.read and loaded.refused == loaded.read:
        raise UserError(f"{path}: the table rejected all of its spans; telemetry_quarantine holds the reasons", REFUSED)


def _restore(connection: Database, path: Path, archive_id: str) -> None:
    settings = Settings()
    with _progress(path) as progress:
        total, restored = archive.restore(connection, path, archive_id, progress.update)
    known = f", {total - restored} were already stored" if restored < total else ""
    lasting = f" for {settings.keep} days" if restored else ""
    click.echo(f"{path}: {restored} span(s) restored{lasting}{known}")


def _archive_id(path: Path) -> str | None:
    """Return the archive id in a file's metadata, which any database may have written; None if it is not an archive."""
    if not path.stat().st_size or not parquet.is_parquet(path):
        return None
    return parquet.notes(path).get(parquet.ARCHIVE_ID) or None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long, or a folder is not accessible
        return False


def store(
    connection: Database,
    read: Iterator[Span | reader.BadLine],
    path: Path,
    removed: dict[str, int] | None = None,
    wrong: Counter[str] | None = None,
) -> Loaded:
    """Store the spans of a file, quarantine its bad lines, and record the attributes ``removed`` on reading.

    ``wrong`` counts implausible times so far by reason, recorded for the doctor.
    """
    removed = {} if removed is None else removed
    loaded, waiting = Loaded(), []
    source = STDIN_NAME if str(path) == STDIN_NAME else str(path.absolute())

    def good() -> Iterator[Span]:
        for entry in read:
            if isinstance(entry, Span):
                loaded.read += 1
                yield entry
            else:
                loaded.quarantined += 1
                loaded.bad += [entry] if len(loaded.bad) < SHOWN else []
                waiting.append(QuarantinedLine(entry.line, entry.reason, entry.text or _kept(entry), entry.project))
                if len(waiting) == QUARANTINE_BATCH:
                    spans.quarantine(connection, source, waiting)
                    waiting.clear()

    stream = good()
    while batch := list(islice(stream, spans.BATCH)):
        stored = spans.store(connection, batch, removed, source=source)
        removed.clear()
        loaded.new += stored.new
        loaded.completed += stored.completed
        loaded.quarantined += stored.quarantined
        loaded.refused += stored.quarantined
        loaded.describe(batch)
        if wrong:
            _notice(connection, loaded, wrong, is_new=bool(stored.new))
    spans.quarantine(connection, source, waiting)
    return loaded


def _kept(line: reader.BadLine) -> str:
    # A line that is not a span may hold private text, so only its keys are kept.
    return f"[not kept; keys: {line.keys}]" if line.keys else "[not kept]"


def _notice(connection: Database, loaded: Loaded, wrong: Counter[str], *, is_new: bool) -> None:
    loaded.wrong.update(wrong)
    if is_new:
        intake.count(connection, {Noticed("import", IMPLAUSIBLE_TIMES, text): times for text, times in wrong.items()})
    wrong.clear()


def _report(path: Path, loaded: Loaded) -> None:
    known = loaded.read - loaded.new - loaded.completed - loaded.refused
    completed = f", {loaded.completed} completed" if loaded.completed else ""
    stored_already = f", {known} were already stored" if known > 0 else ""
    quarantined = f", {loaded.quarantined} bad line(s) quarantined" if loaded.quarantined else ""
    click.echo(f"{path}: {loaded.new} span(s) stored{completed}{stored_already}{quarantined}{_range(loaded)}")
    for line in summary(loaded):
        click.echo(f"  {line}")
    for reason, count in loaded.wrong.most_common():
        click.echo(f"  {count} span(s) with an implausible time: {reason}", err=True)
    for line in loaded.bad:
        click.echo(f"  line {line.line}: {line.reason}", err=True)
    if more := loaded.quarantined - len(loaded.bad):
        click.echo(f"  ... and {more} more, all in telemetry_quarantine", err=True)


def summary(loaded: Loaded) -> Iterator[str]:
    """Yield a line per span type, the most frequent first, with its most frequent names."""
    for span_type, count in loaded.types.most_common(SHOWN_TYPES):
        names = [(number, name) for (of_type, name), number in loaded.names.items() if of_type == span_type]
        names.sort(key=lambda each: (-each[0], each[1]))
        shown = [f"{text.cut(text.in_a_line(name))} {number}" for number, name in names[:SHOWN_NAMES]]
        at_least = "at least " if len(loaded.names) == MOST_NAMES else ""
        more = [f"{at_least}{len(names) - SHOWN_NAMES} more names"] if len(names) > SHOWN_NAMES else []
        yield f"{span_type} {count}: {', '.join(shown + more)}"
    if len(loaded.types) > SHOWN_TYPES:
        yield f"... and {len(loaded.types) - SHOWN_TYPES} more span types"


def _range(loaded: Loaded) -> str:
    if loaded.first_ms is None or loaded.last_ms is None:
        return ""
    first, last = admission.moment(loaded.first_ms), admission.moment(loaded.last_ms)
    return f"; spans of {first}" if first == last else f"; spans from {first} to {last}"


def _progress(path: Path | None):
    from tqdm import tqdm

    make: Callable = tqdm
    total, name = (path.stat().st_size, path.name) if path else (None, STDIN_NAME)
    # disable=None shows the bar only on a terminal.
    return make(total=total, unit="B", unit_scale=True, desc=name, disable=None, leave=False)
