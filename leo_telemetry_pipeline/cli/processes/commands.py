"""Commands that start processes or set up the database: ``dev``, ``worker``, ``env``, ``psql`` and ``migrate``.

Belongs here: their options, output and child processes. Does not: how processes are ended (supervise).
"""

import importlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import click

from leo_telemetry_pipeline.cli import signals
from leo_telemetry_pipeline.cli.processes import home_owner
from leo_telemetry_pipeline.cli.processes.code_server import CodeServer
from leo_telemetry_pipeline.cli.processes.serve import listening, refuse_if_off
from leo_telemetry_pipeline.cli.processes.supervise import Program, run_until_interrupted, temporary
from leo_telemetry_pipeline.cli.processes.worker import ANOTHER_WORKS, run_once
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import addresses, dagster_home, database, log_files, migrations, own_connection
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.store.server.distributed import SPANS, distribute, pass_on_column_grants
from leo_telemetry_pipeline.store.server.server_programs import programs
from leo_telemetry_pipeline.web import listen


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the UI on 127.0.0.1 (3000).")
@click.option("--otlp-port", type=click.IntRange(1, 65535), help="Port of the OTLP receiver (4318).")
def dev(port: int | None, otlp_port: int | None) -> None:
    """Run database, daemon, dashboard, Dagster's UI and the OTLP receiver until Ctrl-C.

    If `dev` is already running in this home, open its dashboard and UI instead.
    """
    settings = Settings()
    refuse_if_off(settings)
    port = port or settings.ui_port
    host, otlp_port = settings.serve_host, otlp_port or settings.serve_port
    ui, receiver = f"http://127.0.0.1:{port}", listen.url(host, otlp_port)
    settings.check_home()
    _import_first(settings)
    with signals.recorded(), ExitStack() as stack:
        me = home_owner.this_process("dev", ui=ui, receiver=receiver)
        try:
            locks = [stack.enter_context(home_owner.held(settings.home, home_owner.UI, me))]
        except home_owner.Taken as taken:
            _show_running(settings.home, taken)
            return
        _refuse_taken(port)
        listening(settings, host, otlp_port, f"--otlp-port or {PREFIX}SERVE_PORT").close()
        code = CodeServer(stack.enter_context(temporary(settings.home, home_owner.UI)))
        parts = _code_server(code) | {
            "the OTLP receiver": Program(
                _python("leo_telemetry_pipeline.cli", "serve", "--quiet", "--port", str(otlp_port))
            ),
            "the UI": Program(
                _python("leo_telemetry_pipeline.cli", "ui", "--port", str(port), "-w", str(code.workspace())),
                code.is_up,
            ),
        }
        try:
            locks.append(stack.enter_context(home_owner.held(settings.home, home_owner.DAEMON, me)))
            parts |= _daemon(code)
        except home_owner.Taken as taken:
            who = taken.owner or "Another command"
            click.echo(f"{who} runs the daemon of {settings.home}; this runs only UI and receiver.", err=True)
            click.echo("When it ends, restart this command: otherwise no queued analysis is executed.", err=True)
        target = stack.enter_context(database.ready(settings))
        signals.check()
        click.echo(f"The dashboard will be at {receiver} in a few seconds, Dagster's UI at {ui},", err=True)
        click.echo(f"the OTLP receiver at {receiver}/v1/traces. Ctrl-C ends all of it.", err=True)
        _run(target, settings, locks, parts, code.folder)


def _show_running(home: Path, taken: home_owner.Taken) -> None:
    """Open the UI of the `dev` that is already running."""
    if taken.owner is None:
        raise taken
    dashboard, ui = taken.owner.receiver, taken.owner.ui
    click.echo(f"{taken.owner} is already running in {home}: its dashboard is at {dashboard}, its UI at {ui}", err=True)
    _open(ui)
    _open(dashboard)


@click.command()
@click.option("--once", is_flag=True, help="Execute queued analyses in this process, and exit.")
@click.option("--wait", is_flag=True, help="If a `dev` or `worker` is already running, take over when it ends.")
def worker(once: bool, wait: bool) -> None:
    """Run the daemon without the UI until Ctrl-C; it executes queued analyses, and queues one if the last is stale."""
    settings = Settings()
    refuse_if_off(settings)
    if once:
        signals.listen()
        with database.ready(settings) as target:
            executed = run_once(settings, target)
        if executed == ANOTHER_WORKS:
            click.echo("Another worker is executing the queue.")
        else:
            click.echo("The queue was empty." if executed == 0 else f"Executed {executed} analysis run(s).")
        return
    settings.check_home()
    _import_first(settings)
    with signals.recorded(), ExitStack() as stack:
        lock = stack.enter_context(_daemon_owned(settings.home, wait))
        # This log exists only under launchd, which writes the worker's output to it.
        log_files.cut(settings.home / "logs" / "worker.log")
        code = CodeServer(stack.enter_context(temporary(settings.home, home_owner.DAEMON)))
        target = stack.enter_context(database.ready(settings))
        signals.check()
        click.echo("The worker is running. Ctrl-C ends it.", err=True)
        _run(target, settings, [lock], _code_server(code) | _daemon(code), code.folder)


@contextmanager
def _daemon_owned(home: Path, wait: bool) -> Iterator[int]:
    """Hold the daemon lock of a home; with ``wait``, wait until its current owner ends."""
    me, is_announced = home_owner.this_process("worker"), False
    with ExitStack() as stack:
        while True:
            try:
                lock = stack.enter_context(home_owner.held(home, home_owner.DAEMON, me))
                break
            except home_owner.Taken as taken:
                if not wait:
                    raise
                if not is_announced:
                    who = taken.owner or "Another command"
                    click.echo(f"{who} runs the daemon of {home}: this worker takes over when it ends.", err=True)
                is_announced = True
            signals.check()
            time.sleep(1)
        yield lock


def _import_first(settings: Settings) -> None:
    """Do the slow imports of a first start while nothing is held and a signal may end the process immediately."""
    if (settings.home / "dagster").exists():
        return
    if settings.database_url:
        # Fail fast if the database does not answer or lacks our tables; the import takes seconds.
        with database.ready(settings):
            pass
    importlib.import_module("leo_telemetry_pipeline.defs.storage")


@click.command()
def env() -> None:
    """Print the environment that plain `dagster` commands need; set it with eval "$(leo-telemetry env)".

    The embedded database then runs until that shell ends.
    """
    settings = Settings()
    with database.ready(settings) as target:
        variables = prepared(target, settings)
    if settings.database_url:
        variables[database.URL_VARIABLE] = settings.database_url
    if settings.dagster_database_url:
        variables[addresses.DAGSTER_URL_VARIABLE] = settings.dagster_database_url
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    if not settings.database_url:
        keep = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "keep-database"]
        click.echo(f"{shlex.join(keep)} $$")


@click.command(hidden=True)
@click.argument("shell", type=int)
def keep_database(shell: int) -> None:
    """Keep the embedded database running until the process SHELL ends."""
    from leo_telemetry_pipeline.cli.processes.supervise import keep_while_alive

    keep_while_alive(Settings(), shell)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open a SQL shell on the database; ARGUMENTS are passed to psql."""
    from psycopg2.extensions import make_dsn, parse_dsn

    with database.ready(Settings()) as target:
        program = shutil.which("psql")
        if program is None and target.embedded is not None:
            program = str(programs(target.embedded.home, target.embedded.data) / "psql")
        if program is None:
            raise UserError("psql is not installed: install PostgreSQL's client (Debian: postgresql-client)")
        # Other users can see a process's arguments, but not its environment.
        parts = parse_dsn(target.dsn)
        password = parts.pop("password", None)
        environment = own_connection.child_environment(os.environ, target.embedded)
        if password is not None:
            environment["PGPASSWORD"] = password
        # Ctrl-C must reach only psql, where it cancels the query.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.run([program, make_dsn(**parts), *arguments], env=environment, preexec_fn=heed)
    click.get_current_context().exit(process.returncode)


@click.command()
@click.option("--distributed", is_flag=True, help="After migrating, distribute the span table over a Citus cluster.")
@click.option("--carry-over", is_flag=True, help="Also migrate a database of an unreleased version, keeping its rows.")
def migrate(distributed: bool, carry_over: bool) -> None:
    """Bring the tables up to date, in the embedded database or that of LEO_TELEMETRY_DATABASE_URL."""
    settings = Settings()
    with database.opened(settings) as target:
        with closing(target.connect()) as connection:
            before = migrations.version(connection)
        if before != migrations.newest():
            migrations.migrate(target, carry_over=carry_over)
        prepared(target, settings)
        change = "is up to date at" if before == migrations.newest() else f"was migrated from {before or 'empty'} to"
        click.echo(f"{target.shown} {change} version {migrations.newest()}.")
        with closing(Database(target)) as connection:
            if distributed:
                _distribute(connection)
            pass_on_column_grants(connection)


def _distribute(connection: Database) -> None:
    result = distribute(connection)
    change = "is now distributed by trace_id" if result.now else "was distributed already"
    click.echo(f"{SPANS} {change}; {result.nodes} node(s) of the cluster may hold its shards.")


def prepared(target: Target, settings: Settings) -> dict[str, str]:
    """Create Dagster's tables, which its processes would race to create; return the environment of these processes."""
    variables = dagster_home.environment(target, settings)
    if not dagster_home.has_tables(target):
        # Creating an instance would import all definitions.
        from leo_telemetry_pipeline.defs import storage

        storage.make_tables(target.dagster_url)
    return variables


def _run(
    target: Target, settings: Settings, locks: Sequence[int], parts: Mapping[str, Program], sockets_in: Path
) -> None:
    variables = dagster_home.inherited(os.environ, target) | prepared(target, settings)
    signals.check()
    ended = run_until_interrupted(parts, variables | {"TMPDIR": str(sockets_in)}, target, locks)
    if ended is not None:
        name, status = ended
        raise UserError(f"{name} ended with status {status}: see its last lines above", 1)


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-W", "ignore", "-m", module, *arguments]


def _dagster(*arguments: str) -> list[str]:
    return _python("leo_telemetry_pipeline.cli.processes.dagster_process", *arguments)


def _code_server(code: CodeServer) -> dict[str, Program]:
    return {"Dagster's code server": Program(_dagster("dagster", *code.arguments), is_up=code.is_up)}


def _daemon(code: CodeServer) -> dict[str, Program]:
    # The daemon's default log level includes every tick of every sensor.
    arguments = ("--log-level", "warning", "-w", str(code.workspace()))
    return {"Dagster's daemon": Program(_dagster("dagster._daemon", "run", *arguments), code.is_up)}


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UserError(
                f"Port {port} is in use: stop what uses it, or choose another with --port or {PREFIX}UI_PORT"
            ) from None


def _open(url: str) -> None:
    """Open a page in a graphical browser; a text browser would take over the terminal."""
    tool = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if tool and (sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        quiet = subprocess.DEVNULL
        subprocess.Popen([tool, url], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
