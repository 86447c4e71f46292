"""``leo-telemetry demo``: run the whole loop on sample data, in a separate home and database.

Belongs here: the steps, explained for a newcomer. Does not: shortcuts; as in real use, Dagster's daemon executes a
queued analysis.
"""

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import click

from leo_telemetry_pipeline.actions import directive_steps, item_resolutions
from leo_telemetry_pipeline.actions.items import duration
from leo_telemetry_pipeline.cli import findings, text
from leo_telemetry_pipeline.cli.import_files import store
from leo_telemetry_pipeline.cli.processes import home_owner, supervise
from leo_telemetry_pipeline.cli.processes.commands import prepared
from leo_telemetry_pipeline.errors import NOT_SUCCEEDED, UserError
from leo_telemetry_pipeline.sample import generated
from leo_telemetry_pipeline.sample.expected import manifest
from leo_telemetry_pipeline.settings import PREFIX, Settings, bundled
from leo_telemetry_pipeline.sources.files import reader
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import directives, items, outbox, runs, span_totals, spans
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.directives import Directive
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline.store.outbox import Stored
from leo_telemetry_pipeline.store.retention.purge import Selection, purge
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server import dagster_home, database, migrations
from leo_telemetry_pipeline.store.server.database import Database, Target

PATIENCE_S = 180
MOST_ALERTS = 100


@click.command()
def demo() -> None:
    """Find planted slowdowns in sample data, in a separate home; your own data is not touched."""
    home = Settings().home / "demo"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment[PREFIX + "HOME"] = str(home)
    settings = Settings(environment)
    click.echo(f"The demo lives in {home}, with a PostgreSQL of its own.")
    with _database(settings) as target, closing(Database(target)) as connection:
        click.echo("1. Spans")
        load(connection, home)
        click.echo("2. One analysis, queued for Dagster's daemon")
        run_id, _, _ = runs.enqueue(connection)
        assert run_id is not None
        run = _execute(connection, target, settings, environment, run_id)
        if run.status != "SUCCEEDED":
            raise UserError(f"The analysis ended as {run.status}: {run.error_detail}", NOT_SUCCEEDED)
        click.echo("3. What it found\n")
        click.echo(findings.render(replace(findings.read(connection), last_span=None)))
        open_items = [item for item in items.all_items(connection) if item.is_active]
        click.echo(f"\n4. What to do about it\n{conclusion(open_items, json.loads(_manifest(home).read_text()))}")
        # A directive usually waits for analyses of two days; the demo has one.
        directive_steps.follow(connection, Settings(environment | {PREFIX + "DIRECTIVE_ANALYSES": "1"}))
        known = (open_items, directives.live(connection), outbox.newest(connection, MOST_ALERTS))
        click.echo(f"\n5. Who does it, and who is told\n{handed_over(*known, _with_home(home))}")
        _say_where(home)


@contextmanager
def _database(settings: Settings) -> Iterator[Target]:
    # The database stays open during both steps, so that the server does not stop and start again between them.
    with database.opened(settings) as target:
        replace_unreleased(target, settings.home)
        with database.ready(settings):
            yield target


def replace_unreleased(target: Target, home: Path) -> None:
    """Replace a demo database of an unreleased version. Raises UserError if it holds other spans."""
    with closing(Database(target)) as connection, connection.transaction() as cursor:
        if not migrations.is_unreleased(migrations.version(cursor.connection)):
            return
        cursor.execute(
            "SELECT count(*) FROM workflow_trace_log"
            " WHERE coalesce(project, '') <> %s AND NOT trace_id = ANY(%s::uuid[])",
            (generated.PROJECT, list({span.trace_id for span in reader.read(_sample()) if isinstance(span, Span)})),
        )
        (others,) = cursor.fetchone() or (0,)
    if others:
        raise UserError(
            f"{home} has {others} span(s) that are not the demo's, stored by an unreleased version: run"
            f" `{PREFIX}HOME={shlex.quote(str(home))} leo-telemetry migrate --carry-over` first"
        )
    database.replace_own(target)
    _manifest(home).unlink(missing_ok=True)
    click.echo("   replacing the database of an unreleased version")


def load(connection: Database, home: Path) -> None:
    """Store the generated history, unless today's is there already, and the sample."""
    _load_history(connection, home)
    loaded = store(connection, reader.read(_sample()), _sample())
    click.echo(f"   {loaded.read} real spans of a Claude Code session, exported by OpenTelemetry")


def conclusion(open_items: Sequence[Item], planted: Mapping[str, Any]) -> str:
    """Describe the open items, and whether they match the manifest of planted slowdowns."""
    lines = [f"   {len(open_items)} improvement item(s) are open, one per cause, not one per bottleneck:"]
    named = set()
    for item in sorted(open_items, key=lambda item: -item.source_detail["ratio"]):
        name, *members = [":".join(dimension) for dimension in item_resolutions.dimensions_of(item.source_detail)]
        named.add(name)
        lines.append(f"   - {item.title}")
        if members:
            lines.append(f"     which also slows {', '.join(members)}")
    causes = {f"{row['dimension_type']}:{row['dimension_key']}": row["cause"] for row in planted["planted"]}
    if named == set(causes):
        lines.append(f"   These are exactly the {len(causes)} slowdowns that were planted.")
    else:
        lines.append(f"   These are not the slowdowns that were planted: {'; '.join(causes.values())}.")
    return "\n".join(lines)


def handed_over(open_items: Sequence[Item], live: Sequence[Directive], written: Sequence[Stored], command: str) -> str:
    """Describe the item that costs the most time, its directive and its alert, with the commands that go on."""
    if not open_items:
        return "   Nothing, as no item is open."
    item = max(open_items, key=lambda item: item.source_detail.get("lost_ms_a_week") or 0)
    directive = next((one for one in live if item.id in one.item_ids), None)
    alert = next((one for one in written if one.key.startswith(item.id) and one.state == "waiting"), None)
    lost = duration(item.source_detail.get("lost_ms_a_week") or 0)
    lines = [
        f"   The item that costs the most time, {lost} per week: {item.title}",
        f"      {command} items show {item.id}",
    ]
    if directive:
        lines += [
            f"   The work, drafted as directive {directive.sd_key}:",
            f"      {command} directives show {directive.sd_key}",
        ]
    if alert:
        lines += [
            f'   The alert, which waits for a channel: "[{alert.severity}] {alert.title}". To send it to a webhook:',
            f"      {PREFIX}ALERT_URLS=webhook+https://HOST/PATH {command} alerts retry",
        ]
    return "\n".join(text.in_a_line(line.rstrip()) for line in lines)


def _manifest(home: Path) -> Path:
    return home / "manifest.json"


def _load_history(connection: Database, home: Path) -> None:
    (now,) = connection.rows("SELECT now()")[0]
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = _manifest(home)
    last_days = Window(midnight - timedelta(days=generated.DAYS), midnight, generated.PROJECT)
    if made.exists() and json.loads(made.read_text())["generated"] == midnight.isoformat():
        click.echo(f"   {span_totals.count(connection, last_days)[0]} generated spans remain from an earlier run today")
        return
    if purge(connection, Selection(project=generated.PROJECT)).spans:
        click.echo("   replacing the generated history of an earlier day")
    spans.ensure_partitions(connection, last_days.start, now)
    history = list(generated.generate(midnight))
    stored = spans.insert(connection, history)
    planted = manifest(midnight, history)
    made.touch(mode=0o600)
    made.write_text(json.dumps(planted, indent=2) + "\n")
    click.echo(f"   {stored} generated spans: {generated.DAYS} days of a LEO-like workflow, seed {generated.SEED}")
    click.echo(f"   {len(generated.SLOWDOWNS)} slowdowns were planted in the last {generated.WINDOW_DAYS} days:")
    for slowdown in generated.SLOWDOWNS:
        click.echo(f"   - {slowdown.cause}")
    click.echo(f"   ({made} lists every dimension that they slow down)")


def _sample() -> Path:
    return bundled("examples") / "data" / "claude_code_otlp_sample.jsonl"


def _execute(connection: Database, target: Target, settings: Settings, environment: dict[str, str], run_id: str) -> Run:
    variables = dagster_home.inherited(environment, target) | prepared(target, settings)
    command = [sys.executable, "-P", "-m", "dagster._daemon", "run", "-w", str(bundled("workspace.yaml"))]
    began = time.monotonic()
    with (
        home_owner.held(settings.home, home_owner.DAEMON, home_owner.this_process("demo")) as lock,
        supervise.log_file(settings.home, "daemon.log") as log,
        supervise.temporary(settings.home, home_owner.DAEMON) as folder,
        supervise.group(command, variables | {"TMPDIR": str(folder)}, target, log, holds=[lock]) as daemon,
    ):
        status = None
        while time.monotonic() - began < PATIENCE_S and daemon.poll() is None:
            run = runs.get(connection, run_id)
            assert run is not None
            if run.status != status:
                click.echo(f"   {time.monotonic() - began:4.1f} s  {run.status}")
                status = run.status
            if run.status in runs.FINAL and dagster_home.has_ended(target, run.dagster_run_id or ""):
                return run
            time.sleep(0.2)
    raise UserError(
        f"Dagster's daemon did not finish the analysis: see {settings.home / 'logs' / 'daemon.log'}", NOT_SUCCEEDED
    )


def _ours() -> str:
    """Return the command as the user can type it."""
    if shutil.which("leo-telemetry") or not sys.argv[0].endswith("/leo-telemetry"):
        return "leo-telemetry"
    return shlex.quote(sys.argv[0])


def _with_home(home: Path) -> str:
    return f"{PREFIX}HOME={shlex.quote(str(home))} {_ours()}"


def _say_where(home: Path) -> None:
    click.echo(
        f"\nItems:          {_with_home(home)} items"
        f"\nWith evidence:  {_with_home(home)} findings --verbose"
        f"\nDashboard:      {_with_home(home)} dev    (http://127.0.0.1:{Settings().serve_port})"
        f"\nYour own spans: {_ours()} import FILE..., then {_ours()} analyze"
    )
