"""``leo-telemetry doctor``: one screen on what works, what does not, and how to fix it.

Belongs here: gathering facts, and a pure verdict on each. Does not: repairing anything.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from leo_telemetry_pipeline.cli import alert_verdicts, text, verdicts
from leo_telemetry_pipeline.cli.claude import installed_hooks
from leo_telemetry_pipeline.cli.claude.installed_hooks import Hooks
from leo_telemetry_pipeline.cli.verdicts import Verdict
from leo_telemetry_pipeline.delivery import channels
from leo_telemetry_pipeline.delivery.channels import Channels
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.store import collection_stats, folded_names, intake, outbox, runs, spans
from leo_telemetry_pipeline.store.intake import Notice
from leo_telemetry_pipeline.store.outbox import Backlog
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server import access, addresses, dagster_home, database
from leo_telemetry_pipeline.store.server.dagster_home import Daemon
from leo_telemetry_pipeline.store.server.database import Database, Target

LEAST_FREE = 1_000_000_000
# How many of the newest runs are searched for one that a worker claimed.
SEARCHED_RUNS = 20
LONG_QUEUE = timedelta(minutes=10)
FEW_DAYS = timedelta(days=2)
WEEK = timedelta(days=7)
SHOWN_KEYS = 8
SHOWN_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class LocalFacts:
    """Facts available without a database; sizes in bytes."""

    enabled: bool
    free: int
    home: str
    spooled: int
    spool_refused: bool
    hooks: Hooks
    channels: Channels


@dataclass(frozen=True, kw_only=True)
class Facts(LocalFacts):
    """All facts that the verdicts depend on; times in UTC."""

    now: datetime
    database: str
    opened: dict[str, list[str]]
    daemon: Daemon
    executed_elsewhere: bool
    waiting: tuple[Run, ...]
    last: Run | None
    newest: Run | None
    newest_span: datetime | None
    quarantined: int
    losses: dict[str, int]
    removed: tuple[tuple[str, int], ...]
    notices: tuple[Notice, ...]
    folded: tuple[str, ...]
    backlog: Backlog
    stale_after: timedelta


@click.command()
def doctor() -> None:
    """Check that everything works, and say what to do if not. Exit status 1 if something fails."""
    settings = Settings()
    local, status = look(settings), 1
    try:
        checked = judge(_gather(settings, local))
    except UserError as error:
        checked, status = judge_without(local, error.message), error.exit_code
    for verdict in checked:
        click.echo(verdicts.line(verdict))
    if any(verdict.remedy for verdict in checked):
        raise SystemExit(status)


def judge(facts: Facts) -> list[Verdict]:
    """Return a verdict on each part, in order of dependency."""
    return [
        _switch(facts),
        Verdict("database", facts.database),
        *_access(facts),
        _disk(facts),
        _collection(facts),
        _spool(facts),
        _losses(facts),
        *_removed(facts),
        *_intake(facts),
        *_folded(facts),
        *installed_hooks.judge(facts.hooks, facts.daemon.checks_queue or facts.executed_elsewhere),
        _queue(facts),
        _worker(facts),
        _last_analysis(facts),
        *alert_verdicts.judge(facts.channels, facts.backlog, facts.now),
    ]


def judge_without(local: LocalFacts, remedy: str) -> list[Verdict]:
    """Return a verdict on each part that can be judged without the database."""
    spool = _spool(local)
    if local.spooled:
        spool = Verdict("spool", f"{local.spooled} segment(s) wait for the database")
    # Whether a daemon makes the hook unnecessary is unknown.
    hooks = installed_hooks.judge(local.hooks, daemon_lives=True)
    return [_switch(local), Verdict("database", "cannot be used", remedy), _disk(local), spool, *hooks]


def _switch(local: LocalFacts) -> Verdict:
    if local.enabled:
        return Verdict("switch", "on")
    return Verdict("switch", "off", "LEO_TELEMETRY_ENABLED is false: unset it")


def _access(facts: Facts) -> list[Verdict]:
    if not facts.opened:
        return []
    names = sorted({name for names in facts.opened.values() for name in names})
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    state = f"{', '.join(facts.opened)} may use {', '.join(names[:SHOWN_NAMES])}{more}"
    return [Verdict("access", state, "REVOKE ALL on them: see docs/deployment.md, On Supabase")]


def _disk(local: LocalFacts) -> Verdict:
    state = f"{local.free / 1e9:.1f} GB free in {local.home}"
    return Verdict("disk", state, "" if local.free >= LEAST_FREE else "make room, or move LEO_TELEMETRY_HOME")


def _collection(facts: Facts) -> Verdict:
    quarantined = f"; {facts.quarantined} quarantined line(s): {_QUARANTINE_QUERY}" if facts.quarantined else ""
    if facts.newest_span is None:
        return Verdict("collection", f"no spans yet{quarantined}", "leo-telemetry import FILE...")
    age = facts.now - facts.newest_span
    state = f"newest span stored {text.lasted(age.total_seconds())} ago{quarantined}"
    return Verdict("collection", state, "" if age < FEW_DAYS else "check that the programs that record spans still run")


_QUARANTINE_QUERY = 'leo-telemetry psql -c "SELECT source, line, reason FROM telemetry_quarantine"'


def _spool(local: LocalFacts) -> Verdict:
    if local.spool_refused:
        folder = spool.folder_of(local.home)
        state = f"{folder} cannot be used: it must be a folder of yours that nobody else may write to"
        return Verdict("spool", state, f"chmod 700 {folder}, or move it away")
    if not local.spooled:
        return Verdict("spool", "empty")
    return Verdict("spool", f"{local.spooled} segment(s) wait to be stored", "leo-telemetry drain")


_AGAINST = {
    "queue_full": "raise LEO_TELEMETRY_QUEUE_SPANS, or record fewer spans",
    "spool_full": "raise LEO_TELEMETRY_SPOOL_BYTES, or find out why the database was unavailable",
    "spool_disk_full": "make room on the disk of LEO_TELEMETRY_HOME",
    "spool_unavailable": "let the programs that record spans write to LEO_TELEMETRY_HOME",
    "invalid": "check which attributes the program passes",
}
# Losses without a remedy, and their cause.
_BECAUSE = {
    "torn": " (a program was killed while writing)",
    "out_of_time": " (a program ended before a slow disk accepted them)",
    "refused": " (by the table; they are in telemetry_quarantine)",
}


def _losses(facts: Facts) -> Verdict:
    if not facts.losses:
        return Verdict("losses", "none known")
    counts = ", ".join(f"{count} {reason}{_BECAUSE.get(reason, '')}" for reason, count in facts.losses.items())
    remedies = [_AGAINST[reason] for reason in facts.losses if reason in _AGAINST]
    return Verdict("losses", f"span(s) lost in the last 7 days: {counts}", "; ".join(remedies))


def _removed(facts: Facts) -> list[Verdict]:
    if not facts.removed:
        return []
    counts = ", ".join(f"{key} ({count})" for key, count in facts.removed)
    return [Verdict("redaction", f"attributes not kept: {counts}; to keep one, name it in LEO_TELEMETRY_KEEP_KEYS")]


# Per kind of notice: its text and remedy; no remedy where the notice only informs.
_NOTICED = {
    intake.REJECTED: ("span(s) rejected", "check their sender: docs/opentelemetry.md, Limits and answers"),
    intake.REFUSED: ("request(s) refused", "check their sender: docs/opentelemetry.md, Limits and answers"),
    intake.IMPLAUSIBLE_TIMES: (
        "span(s) with implausible times",
        "check the time units and the clock of their sender",
    ),
    intake.WRONG_PROTOCOL: ("request(s) in an unsupported protocol", "use OTLP over HTTP: docs/opentelemetry.md"),
    intake.TOO_MANY_CLIENTS: ("client(s) turned away", "raise LEO_TELEMETRY_SERVE_CLIENTS, or run a second receiver"),
    intake.UNTESTED_VERSION: ("span(s) of a version newer than tested", ""),
    intake.KEY_CONFLICT: (
        "span(s) not stored, since another span has the same ids and start",
        "make their sender give each span an id of its own",
    ),
}
SHOWN_NOTICES = 5


def _intake(facts: Facts) -> list[Verdict]:
    verdicts = []
    for kind, (words, remedy) in _NOTICED.items():
        notices = [notice for notice in facts.notices if notice.kind == kind]
        if not notices:
            continue
        shown = [f"{notice.source} {notice.detail} ({notice.count})" for notice in notices[:SHOWN_NOTICES]]
        more = [f"{len(notices) - len(shown)} more"] if len(notices) > len(shown) else []
        total = sum(notice.count for notice in notices)
        verdicts.append(Verdict("intake", f"{total} {words}: {', '.join(shown + more)}", remedy))
    return verdicts


def _folded(facts: Facts) -> list[Verdict]:
    if not facts.folded:
        return []
    more = f" and {len(facts.folded) - SHOWN_KEYS} more" if len(facts.folded) > SHOWN_KEYS else ""
    return [Verdict("names", f"those that hold ids are judged together: {', '.join(facts.folded[:SHOWN_KEYS])}{more}")]


def _queue(facts: Facts) -> Verdict:
    queued = [run for run in facts.waiting if run.status == "QUEUED"]
    if not queued:
        running = [run for run in facts.waiting if run.status == "RUNNING"]
        return Verdict("queue", "an analysis is running" if running else "empty")
    waited = facts.now - queued[0].triggered_at
    state = f"{len(queued)} queued, the oldest for {text.lasted(waited.total_seconds())}"
    return Verdict("queue", state, "" if waited < LONG_QUEUE else "leo-telemetry worker --once")


def _worker(facts: Facts) -> Verdict:
    if facts.daemon.failing:
        name, why = facts.daemon.failing[0]
        state = f"a Dagster daemon is running, but {name} fails: {text.cut(text.in_a_line(why), 120)}"
        return Verdict(
            "worker", state, "restart `leo-telemetry dev` or `worker`; if it fails again, see what it prints"
        )
    if facts.daemon.checks_queue:
        return Verdict("worker", "a Dagster daemon is running")
    if facts.daemon.beats:
        state = "a Dagster daemon is running, but has not checked the queue for two minutes"
        return Verdict(
            "worker", state, "wait if it has just started; else see what it prints, and whether a sensor is off"
        )
    if facts.executed_elsewhere:
        return Verdict("worker", "no daemon in this home; another Dagster instance executed the last analysis")
    if facts.hooks.run:
        return Verdict("worker", "no daemon; the hook starts a worker when one is needed")
    return Verdict("worker", "no daemon, and no hook to start a worker", "leo-telemetry service install")


def _last_analysis(facts: Facts) -> Verdict:
    failed = facts.newest if facts.newest and facts.newest.status in ("FAILED", "TIMED_OUT") else None
    if failed is not None:
        why = (failed.error_detail or failed.reason_code or "no reason given").splitlines()[0][:120]
        return Verdict("analysis", f"the last one {failed.status}: {why}", f"leo-telemetry runs show {failed.run_id}")
    if facts.last is None or facts.last.window_end is None:
        return Verdict("analysis", "none yet", "leo-telemetry analyze")
    age = facts.now - facts.last.window_end
    found = f"{facts.last.findings_count} bottleneck(s)"
    if facts.last.reason_code == "INSUFFICIENT_DATA":
        found = "not enough data yet, see `leo-telemetry findings`"
    state = f"the last one covers up to {text.lasted(age.total_seconds())} ago: {found}"
    return Verdict("analysis", state, "" if age < facts.stale_after else "leo-telemetry analyze")


def look(settings: Settings) -> LocalFacts:
    """Gather the facts that need no database."""
    nearest = next(path for path in (settings.home, *settings.home.parents) if os.access(path, os.F_OK))
    spooled, refused = 0, not os.access(nearest, os.W_OK | os.X_OK)
    folder = spool.folder_of(str(settings.home))
    if os.path.lexists(folder):
        try:
            spool.Spool(folder, settings.spool_bytes).check_folder()
            spooled, refused = spool.waiting(folder)[0], not os.access(folder, os.W_OK | os.X_OK)
        except (OSError, spool.SpoolError):
            refused = True
    return LocalFacts(
        enabled=settings.enabled,
        free=shutil.disk_usage(nearest).free,
        home=str(settings.home),
        spooled=spooled,
        spool_refused=refused,
        hooks=installed_hooks.look(Path.cwd()),
        channels=channels.configured(settings),
    )


def _gather(settings: Settings, local: LocalFacts) -> Facts:
    with database.ready(settings) as target, closing(Database(target)) as connection:
        runs.reap(connection)
        newest = runs.latest(connection, SEARCHED_RUNS)
        (size, version) = connection.rows(
            "SELECT pg_size_pretty(pg_database_size(current_database())), split_part(version(), ' ', 2)"
        )[0]
        now = datetime.now(UTC)
        remarks = addresses.remarks(settings.database_url, os.environ) if settings.database_url else ""
        return Facts(
            **vars(local),
            now=now,
            database=f"{target.shown}: PostgreSQL {version}, {size}, tables up to date{remarks}",
            opened=access.open_to_strangers(connection),
            daemon=dagster_home.daemon(target),
            executed_elsewhere=_is_elsewhere(target, newest),
            waiting=tuple(runs.waiting(connection)),
            last=runs.last_succeeded(connection),
            newest=newest[0] if newest else None,
            newest_span=spans.newest(connection),
            quarantined=spans.count_quarantined(connection, now - WEEK),
            losses=collection_stats.losses(connection, now - WEEK),
            removed=tuple(collection_stats.removed_keys(connection, now - WEEK, SHOWN_KEYS)),
            notices=tuple(intake.since(connection, now - WEEK)),
            folded=tuple(sorted(map(":".join, folded_names.of(connection).templates))),
            backlog=outbox.backlog(connection),
            stale_after=timedelta(seconds=settings.stale_after),
        )


def _is_elsewhere(target: Target, newest: Sequence[Run]) -> bool:
    """Return whether the last run that a worker claimed is unknown to this home's Dagster."""
    taken = next((run.dagster_run_id for run in newest if run.dagster_run_id), None)
    return taken is not None and not dagster_home.has_run(target, taken)
