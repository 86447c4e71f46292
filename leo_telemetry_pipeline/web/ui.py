"""Dagster's UI behind the guard: the part of ``dev`` that a browser looks at.

Belongs here: making Dagster's web application, and what of it other pages may link to. Does not: the guard's rules
(guard), the daemon beside it (cli.processes.commands).

`dagster dev` and `dagster-webserver` answer every page and every name, have no option for it, and take no middleware.
So this process does what `dagster-webserver` does, from the parts that its command line is made of.
"""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from leo_telemetry_pipeline.web.guard import OriginGuard, Rules
from leo_telemetry_pipeline.web.server import Server

GRAPHQL = "/graphql"
# Browsers send any other type to foreign servers without asking them first.
_QUERY_TYPES = ("application/json", "application/graphql")
# Dagster serves its one page at every address that nothing else has.
_PAGES = ("/", "/{path:path}")
# As `dagster-webserver` has them: a statement, in ms; connections on top of the pool; seconds until one is renewed.
_STATEMENT_MS, _OVERFLOW, _RENEWED_S = 15_000, 20, 3_600
_REFRESH_MS = 2_000
_GRACE_S = 3


def run(app: Starlette, opened: socket.socket, shall_end: Callable[[], bool]) -> None:
    """Serve the UI until it ``shall_end``."""
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
    config = uvicorn.Config(
        guarded(app),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    Server(config, shall_end).run(sockets=[opened])


@contextlib.contextmanager
def application(workspace: Path) -> Iterator[Starlette]:
    """Yield Dagster's web application of the environment's DAGSTER_HOME."""
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_MS, _RENEWED_S, _OVERFLOW)
        with WorkspaceProcessContext(
            instance, WorkspaceFileTarget([str(workspace)]), version=__version__, code_server_log_level="WARNING"
        ) as context:
            yield create_app_from_workspace_process_context(context, live_data_poll_rate=_REFRESH_MS)


def guarded(app: Starlette) -> ASGIApp:
    """Return Dagster's application as nobody but its own pages can use it."""

    def is_page(scope: Scope) -> bool:
        matching = (route for route in app.routes if route.matches(scope)[0] == Match.FULL)
        return getattr(next(matching, None), "path", None) in _PAGES

    return OriginGuard(_QueriesByPost(app), Rules(is_page=is_page))


class _QueriesByPost:
    """Executes GraphQL only as a browser cannot send it elsewhere without leave: by POST, as JSON.

    Dagster also takes it from an address, as in an image of a page whose browser does not tell where it comes from.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = _refused(scope) if scope["type"] == "http" and scope["path"] == GRAPHQL else None
        await (app or self._app)(scope, receive, send)


def _refused(scope: Scope) -> Response | None:
    headers = Headers(scope=scope)
    if scope["method"] == "POST":
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in _QUERY_TYPES:
            return None
        return PlainTextResponse(f"Content-Type must be {' or '.join(_QUERY_TYPES)}\n", 415)
    # Without a query to execute, this is the page on which people write one.
    if "text/html" in headers.get("accept", ""):
        return None
    return PlainTextResponse("send queries by POST\n", 405, {"Allow": "POST"})
