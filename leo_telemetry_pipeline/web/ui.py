"""Dagster's UI behind the guard, for ``dev``.

Belongs here: creating Dagster's web application, and which of its addresses other pages may link to. Does not: the
guard's decision (guard). `dagster-webserver` answers any page and any Host and accepts no middleware, so this process
uses its functions to build the same application.
"""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from leo_telemetry_pipeline.web.guard import AccessRules, OriginGuard
from leo_telemetry_pipeline.web.server import Server

GRAPHQL = "/graphql"
# Before sending these types to another origin, a browser asks for permission (CORS preflight).
_QUERY_TYPES = ("application/json", "application/graphql")
# Routes of Dagster's single page, which it serves at all addresses without another route.
_PAGES = ("/", "/{path:path}")
# As in `dagster-webserver`: statement timeout in ms, connections beyond the pool, seconds until one is recycled.
_STATEMENT_MS, _OVERFLOW, _RENEWED_S = 15_000, 20, 3_600
_REFRESH_MS = 2_000
_GRACE_S = 3


def run(app: Starlette, opened: socket.socket, shall_end: Callable[[], bool]) -> None:
    """Serve the UI until ``shall_end``."""
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
    # Imported late: it takes longer than everything else here.
    import dagster as dg
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_MS, _RENEWED_S, _OVERFLOW)
        with WorkspaceProcessContext(
            instance, WorkspaceFileTarget([str(workspace)]), version=__version__, code_server_log_level="WARNING"
        ) as context:
            yield create_app_from_workspace_process_context(context, live_data_poll_rate=_REFRESH_MS)


def guarded(app: Starlette) -> ASGIApp:
    """Return Dagster's application, restricted to its own pages."""

    def is_page(scope: Scope) -> bool:
        matching = (route for route in app.routes if route.matches(scope)[0] == Match.FULL)
        return getattr(next(matching, None), "path", None) in _PAGES

    return OriginGuard(_QueriesByPost(app), AccessRules(is_page=is_page))


class _QueriesByPost:
    """Allows GraphQL queries only by POST as JSON, which a browser does not send to other origins without preflight.

    Dagster also executes queries in a URL, which any page could request as an image; the guard notices this only if
    the browser sends Sec-Fetch-Site.
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
    # A GET without a query asks for the page on which to write one.
    if "text/html" in headers.get("accept", ""):
        return None
    return PlainTextResponse("use POST for queries\n", 405, {"Allow": "POST"})
