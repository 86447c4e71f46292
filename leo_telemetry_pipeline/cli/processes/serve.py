"""``leo-telemetry serve``: the OTLP receiver, alone or as a part of ``dev``.

Belongs here: the address, the messages. Does not: handling requests (web), which is imported when it starts.
"""

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import click

from leo_telemetry_pipeline.cli import signals
from leo_telemetry_pipeline.cli.processes import home_owner
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings, make_home
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.web import listen


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on (127.0.0.1); all but loopback need a token.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (4318).")
@click.option("--quiet", is_flag=True, hidden=True, help="Print no address.")
def serve(host: str | None, port: int | None, quiet: bool) -> None:
    """Receive spans by OTLP over HTTP at /v1/traces, in protobuf or JSON, and show the dashboard, until Ctrl-C.

    Also serves /healthz, /readyz and /metrics (Prometheus). While the database is unavailable, spans wait on disk.
    """
    settings = Settings()
    refuse_if_off(settings)
    host, port = host or settings.serve_host, port or settings.serve_port
    # Imported before anything is held, while a signal ends the process immediately.
    from leo_telemetry_pipeline.web import server
    from leo_telemetry_pipeline.web.site import Site

    with signals.recorded():
        opened = listening(settings, host, port, f"--port or {PREFIX}SERVE_PORT")
        make_home(settings.home)
        with opened, _database(settings) as (target, away):
            signals.check()
            logging.basicConfig(format="leo-telemetry: %(message)s", level=logging.ERROR)
            logging.getLogger("leo_telemetry_pipeline").setLevel(logging.WARNING)
            if not quiet:
                _say(settings, host, port)
            is_local = listen.is_loopback(opened.getsockname())
            site = Site(settings, target, host=host, is_local=is_local, away=away, shall_end=signals.end_requested)
            server.run(site, opened, settings.serve_clients, signals.end_requested)


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[Target, bool]]:
    """Yield the database and whether it is unavailable: the embedded one never is, an outside one may return."""
    if not settings.database_url:
        with database.ready(settings) as target:
            yield target, False
        return
    import psycopg2

    target, away = database.running(settings), False
    try:
        with database.ready(settings):
            pass
    except (UserError, psycopg2.Error) as error:
        away = True
        why = error.message if isinstance(error, UserError) else f"{target.shown} fails ({type(error).__name__})"
        click.echo(f"leo-telemetry: {why}. Spans wait on disk until it is available.", err=True)
    yield target, away


def listening(settings: Settings, host: str, port: int, remedy: str) -> socket.socket:
    """Open the receiver's socket; ``remedy`` names the option for the port. Raises UserError."""
    try:
        family, place = listen.address(host, port)
    except OSError:
        raise UserError(f"{host!r} is not an address of this machine: write one such as 127.0.0.1") from None
    if not settings.serve_token and not listen.is_loopback(place):
        raise UserError(
            f"{host} is reachable from other machines, so the receiver needs a token: set {PREFIX}SERVE_TOKEN, "
            "or listen on 127.0.0.1"
        )
    try:
        return listen.listening(family, place)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise UserError(
                f"Cannot listen on {host}:{port} ({error.strerror}): choose another with {remedy}"
            ) from None
        owner = home_owner.current(settings.home, home_owner.UI)
        ours = owner is not None and owner.receiver == listen.url(host, port)
        advice = f"{owner} already receives spans there; use that" if ours else "stop what uses it"
        raise UserError(f"Port {port} is in use: {advice}, or choose another with {remedy}") from None


def refuse_if_off(settings: Settings) -> None:
    """Raise UserError if LEO_TELEMETRY_ENABLED is false."""
    if not settings.enabled:
        raise UserError(f"{PREFIX}ENABLED is false, which switches everything off: unset it")


def _say(settings: Settings, host: str, port: int) -> None:
    click.echo(f"The dashboard is at {listen.url(host, port)}", err=True)
    click.echo(f"The OTLP receiver is at {listen.url(host, port)}/v1/traces. Ctrl-C ends both.", err=True)
    if settings.serve_token:
        click.echo(f"Clients must send `Authorization: Bearer ...` with the token of {PREFIX}SERVE_TOKEN.", err=True)
