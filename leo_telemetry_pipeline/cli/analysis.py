"""``leo-telemetry analyze``, ``enqueue`` and ``runs``: request analyses, and show their runs.

Belongs here: these commands' options and output. Does not: executing (execution), the findings block (findings).
"""

import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from leo_telemetry_pipeline.actions import analysis_requests, directive_steps
from leo_telemetry_pipeline.cli import findings, text
from leo_telemetry_pipeline.errors import NOT_SUCCEEDED, UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs as run_store
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server import database, migrations


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the findings, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print only the run's output_ref and run_id, as JSON.")
@click.option("--verbose", is_flag=True, help="Print every bottleneck, with its evidence.")
@click.option(
    "--window-days", type=click.IntRange(1, 365), help="Number of whole days in the window before its last day (7)."
)
@click.option("--window-end", metavar="TIME", help="End of the window (default: now), UTC.")
@click.option("--project", metavar="NAME", help="Only spans of this project.")
def analyze(
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    window_days: int | None,
    window_end: str | None,
    project: str | None,
) -> None:
    """Run an analysis now, in this process, and print its findings.

    Exit status: 0 SUCCEEDED; 1 SUCCEEDED, but a dimension type could not be measured; 2 wrong usage;
    3 no database; 4 FAILED, TIMED_OUT or CANCELLED.
    """
    settings, end = Settings(), text.moment_of(window_end, "--window-end") if window_end else None
    analysis_requests.refuse_if_off(settings)
    if dry_run:
        _dry(settings, as_json, verbose, window_days, end, project)
        return
    tags = {"window_days": window_days, "window_end": end.isoformat() if end else None, "project": project}
    with database.ready(settings) as target, closing(database.Database(target)) as connection:
        run = executed(target, connection, settings, tags)
        state = findings.read(connection)
    output = run.output_ref or {}
    if as_json:
        text.as_json({"run_id": run.run_id, **output})
    else:
        shown = findings.FindingsInputs(state.now, run, run, (), state.last_span)
        click.echo(findings.render(shown, verbose=verbose))
    click.get_current_context().exit(1 if output["errors"] else 0)


def executed(
    target: database.Target, connection: database.Database, settings: Settings, tags: Mapping[str, object]
) -> Run:
    """Run an analysis in this process and return its row. Raises UserError unless it SUCCEEDED."""
    # Heavy imports wait until the database has answered, so that a database error appears at once.
    from leo_telemetry_pipeline import execution
    from leo_telemetry_pipeline.defs.names import TAG

    scope = tags.get("project") or ""
    if any(run.status == "RUNNING" and run.scope_id == scope for run in run_store.waiting(connection)):
        click.echo("Another analysis is running: waiting for it to end.", err=True)
    connection.close()
    with execution.instance(target, settings) as dagster:
        dagster_run_id = execution.analyse(
            dagster, {TAG + name: str(value) for name, value in tags.items() if value is not None}
        )
        failure = execution.why_not_started(dagster, dagster_run_id)
    run = run_store.of_dagster_run(connection, dagster_run_id)
    if run is None:
        why = f"The analysis could not start: {failure}" if failure else "Another analysis of this scope kept running"
        raise UserError(f"{why}: see `leo-telemetry runs`", NOT_SUCCEEDED)
    if run.status != "SUCCEEDED" or run.output_ref is None:
        why = (run.error_detail or run.reason_code or "no reason given").splitlines()[0]
        raise UserError(f"The analysis ended as {run.status}: {why}", NOT_SUCCEEDED)
    _follow(connection, settings)
    return run


def _follow(connection: database.Database, settings: Settings) -> None:
    """Draft and settle directives, as the insights of the daemon do; a failure does not affect the analysis."""
    try:
        directive_steps.follow(connection, settings)
    except Exception as error:  # noqa: BLE001  # no failure of this optional step may end the command
        click.echo(f"leo-telemetry: directives not drafted: {' '.join(str(error).split())}", err=True)


def _dry(
    settings: Settings,
    as_json: bool,
    verbose: bool,
    days: int | None,
    end: datetime | None,
    project: str | None,
) -> None:
    with database.opened(settings) as target:
        with closing(target.connect()) as connection:
            migrations.require_newest(connection)
        # Heavy imports wait until the database has answered, so that a database error appears at once.
        from leo_telemetry_pipeline import execution

        end = end or datetime.now(UTC)
        midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
        window = Window(midnight - timedelta(days=days or 7), end, project)
        output = execution.dry_run(target, settings, window)
    if as_json:
        text.as_json({"run_id": None, **output})
    else:
        click.echo(findings.render_dry(output, end, verbose=verbose))
    click.get_current_context().exit(1 if output["errors"] else 0)


@click.command()
@click.option("--if-stale", is_flag=True, help="Only if no analysis succeeded within LEO_TELEMETRY_STALE_AFTER.")
def enqueue(if_stale: bool) -> None:
    """Queue an analysis. A running `leo-telemetry dev` or `worker` starts it within seconds."""
    settings = Settings()
    analysis_requests.refuse_if_off(settings)
    with database.ready(settings) as target, closing(database.Database(target)) as connection:
        requested = analysis_requests.enqueue(connection, settings, if_stale=if_stale, triggered_by="CLI")
    click.echo(requested.sentence)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many rows.")
@click.pass_context
def runs(context: click.Context, as_json: bool, limit: int) -> None:
    """List analysis runs, newest first."""
    if context.invoked_subcommand is not None:
        return
    with database.ready(Settings()) as target, closing(database.Database(target)) as connection:
        run_store.reap(connection)
        listed = run_store.latest(connection, limit)
    if as_json:
        text.as_json([asdict(run) for run in listed])
    elif not listed:
        click.echo("No analysis has been requested yet: `leo-telemetry analyze` runs one now.")
    else:
        header = ("RUN", "STATUS", "REASON", "TRIGGERED BY", "TRIGGERED AT (UTC)", "TOOK", "FINDINGS")
        rows = [
            (
                run.run_id,
                run.status,
                run.reason_code,
                run.triggered_by,
                text.moment(run.triggered_at),
                None if run.duration_ms is None else f"{run.duration_ms}ms",
                run.findings_count,
            )
            for run in listed
        ]
        click.echo(text.table(header, rows))


@runs.command()
@click.argument("run_id", metavar="ID")
def show(run_id: str) -> None:
    """Print all columns of one run as JSON."""
    with database.ready(Settings()) as target, closing(database.Database(target)) as connection:
        run_store.reap(connection)
        run = run_store.get(connection, _uuid(run_id))
    if run is None:
        raise analysis_requests.unknown(run_id)
    text.as_json(asdict(run))


@runs.command()
@click.argument("run_id", metavar="ID")
def cancel(run_id: str) -> None:
    """Cancel a run that is queued or running."""
    with database.ready(Settings()) as target, closing(database.Database(target)) as connection:
        click.echo(analysis_requests.cancel(connection, _uuid(run_id)))


def _uuid(value: str) -> str:
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise UserError(f"{value!r} is not a run id: `leo-telemetry runs` lists them") from None
