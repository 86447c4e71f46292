"""Dashboard: the ASGI application.

Belongs here: routes, headers, errors as pages, login. Does not: what a page shows, who may do what (access).
"""

import asyncio
import hmac
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.web.dashboard import overview
from leo_telemetry_pipeline.web.dashboard.access import Access
from leo_telemetry_pipeline.web.dashboard.live import Live
from leo_telemetry_pipeline.web.dashboard.overview import Minutes
from leo_telemetry_pipeline.web.dashboard.page import Asked, Download, Missing, Page, Refused, Step
from leo_telemetry_pipeline.web.dashboard.pages import (
    directive,
    directives,
    item,
    items,
    run,
    runs,
    threshold,
    thresholds,
)
from leo_telemetry_pipeline.web.dashboard.reading import DatabaseGone, Reader
from leo_telemetry_pipeline.web.dashboard.rendering import STATIC, render, static
from leo_telemetry_pipeline.web.guard import AccessRules, OriginGuard

PAGES: tuple[Page, ...] = (
    *(items.PAGE, directives.PAGE, runs.PAGE, thresholds.PAGE),
    *(item.PAGE, directive.PAGE, run.PAGE, threshold.PAGE),
)
STEPS: tuple[Step, ...] = (item.STEP, directive.STEP, runs.STEP, run.STEP, threshold.STEP)
DOWNLOADS: tuple[Download, ...] = (directive.DOWNLOAD,)
NAVIGATION = (("/", "Overview"), *((page.path, page.link) for page in PAGES if page.link))

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
# Everything comes from here: a name that slipped through escaping could still load and run nothing.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
_MOST_FORM = 16 << 10

_log = logging.getLogger(__name__)


def build_app(
    settings: Settings, target: Target, *, host: str, is_local: bool, shall_end: Callable[[], bool]
) -> ASGIApp:
    """Return the dashboard as an ASGI application; ``is_local``: only this machine can connect to ``host``."""
    access = Access(settings, is_local=is_local)
    site = _Site(settings, target, access, shall_end)
    app = Starlette(
        routes=site.routes(),
        exception_handlers={
            HTTPException: site.refuse,
            Missing: site.missing,
            Refused: site.refused,
            DatabaseGone: site.away,
            Exception: site.failed,
        },
    )
    # With a token, any name may lead here, such as a proxy's. Without one, only names that no other site can own.
    hosts = None if access.needs_token else frozenset({host.lower()})
    return OriginGuard(_Headers(app), AccessRules(hosts, lambda _scope: True), site.refuse_stranger)


class _Site:
    def __init__(self, settings: Settings, target: Target, access: Access, shall_end: Callable[[], bool]) -> None:
        self._settings = settings
        self._access = access
        self._reader = Reader(target)
        self._minutes = Minutes()
        self._live = Live(self._reader, settings, self._minutes, shall_end)

    def routes(self) -> list[Route]:
        """Return all routes."""
        return [
            Route("/", self.overview),
            *(Route(page.path, self._shows(page)) for page in PAGES),
            *(Route(step.path, self._makes(step), methods=["POST"]) for step in STEPS),
            *(Route(one.path, self._sends(one)) for one in DOWNLOADS),
            Route("/live", self.live),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/static/{version}/{name}", self.file),
        ]

    async def overview(self, request: Request) -> Response:
        return await self._page(request, "overview.html", lambda it: overview.read(it, self._settings, self._minutes))

    def _shows(self, page: Page) -> Callable:
        async def show(request: Request) -> Response:
            asked = self._asked(request)
            return await self._page(request, page.template, lambda database: page.read(database, asked))

        return show

    def _sends(self, download: Download) -> Callable:
        async def send(request: Request) -> Response:
            self._require_reader(request)
            file = await self._reader.read(download.read, self._asked(request))
            named = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"}
            return Response(file.text, media_type=file.media_type, headers=named)

        return send

    def _asked(self, request: Request, form: Mapping[str, str] | None = None) -> Asked:
        # PostgreSQL's texts cannot hold the character NUL.
        given = (request.path_params, request.query_params, form or {})
        path, query, form = ({name: value.replace("\0", "") for name, value in one.items()} for one in given)
        return Asked(self._settings, path, query, form)

    def _makes(self, step: Step) -> Callable:
        async def make(request: Request) -> Response:
            self._require_reader(request)
            rights = self._access.rights(request)
            if not rights.may_act:
                raise HTTPException(403, f"Acting needs the token of {PREFIX}SERVE_ACT_TOKEN")
            form = await _form(request)
            if not hmac.compare_digest(form.get("form_token", "").encode(), rights.form_token.encode()):
                raise HTTPException(403, "This form is from another session: go back, reload the page, and try again")
            return RedirectResponse(await self._reader.read(step.make, self._asked(request, form)), 303)

        return make

    async def live(self, request: Request) -> Response:
        self._require_reader(request)
        if self._live.is_full:
            return PlainTextResponse("too many viewers\n", 503, {"Retry-After": "10"})
        return StreamingResponse(
            self._live.stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def login(self, request: Request) -> Response:
        """Take a token by a form, and remember it by a cookie."""
        back = _own_path(request.query_params.get("next", "/"))
        if request.method == "GET":
            return self._answer(request, "login.html", 200, back=back, wrong=False)
        given = (await _form(request)).get("token", "").strip()
        role = self._access.role_of(given)
        if role is None:
            # Slows down guessing without holding anything.
            await asyncio.sleep(1)
            return self._answer(request, "login.html", 403, back=back, wrong=True)
        response = RedirectResponse(back, 303)
        self._access.remember(response, role, is_https=request.url.scheme == "https")
        return response

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        known = {path.name: path for path in STATIC.iterdir() if path.suffix in _TYPES}
        if name not in known or request.url.path != static(name):
            raise HTTPException(404)
        return Response(known[name].read_bytes(), media_type=_TYPES[known[name].suffix], headers=_FOR_EVER)

    async def _page(self, request: Request, template: str, read: Callable[[Database], Any]) -> Response:
        """Return a page with the model that ``read`` returns, rendered in the same thread."""
        self._require_reader(request)
        common = {"rights": self._access.rights(request), "path": request.url.path, "navigation": NAVIGATION}

        def made(database: Database) -> str:
            return render(template, page=read(database), **common)

        return HTMLResponse(await self._reader.read(made))

    def _require_reader(self, request: Request) -> None:
        if self._access.is_closed:
            raise HTTPException(
                403, f"Other machines can reach this dashboard: set {PREFIX}SERVE_READ_TOKEN or {PREFIX}SERVE_ACT_TOKEN"
            )
        if not self._access.rights(request).may_read:
            raise HTTPException(401)

    def _answer(self, request: Request, template: str, status: int, **values: Any) -> Response:
        return HTMLResponse(render(template, path=request.url.path, navigation=NAVIGATION, **values), status)

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Return an error as a page; without the token of a reader, the form that takes it."""
        assert isinstance(error, HTTPException)
        if error.status_code == 401:
            back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return self._answer(request, "login.html", 401, back=_own_path(back), wrong=False)
        what = {404: "There is no such page", 405: "This page takes no such request"}.get(error.status_code)
        return self._answer(
            request, "problem.html", error.status_code, title=what or error.detail, remedy="", retry=False
        )

    async def missing(self, request: Request, error: Exception) -> Response:
        """Return a page that says what does not exist."""
        return self._answer(request, "problem.html", 404, title=str(error), remedy="", retry=False)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Return a page that says why a step is not possible."""
        return self._answer(request, "problem.html", 409, title=str(error), remedy="", retry=False)

    async def away(self, request: Request, error: Exception) -> Response:  # noqa: ARG002  # Starlette's signature
        """Return a page that asks for itself again until the database answers."""
        response = self._answer(
            request,
            "problem.html",
            503,
            title="The database does not answer",
            remedy="Spans wait on disk meanwhile. This page returns by itself; leo-telemetry doctor says more.",
            retry=True,
        )
        response.headers["Retry-After"] = "3"
        return response

    async def failed(self, request: Request, error: Exception) -> Response:
        """Return a page for an error of ours, which Starlette logs."""
        _log.error("a page failed: %s", type(error).__name__, exc_info=error)
        return self._answer(request, "problem.html", 500, title="This page failed", remedy="See the log.", retry=False)

    def refuse_stranger(self, connection: HTTPConnection, why: str) -> Response:
        """Return the refusal of a request from another site, or for another host."""
        remedy = f"To use another name, set {PREFIX}SERVE_READ_TOKEN."
        page = render("problem.html", path=connection.url.path, navigation=(), title=why, remedy=remedy, retry=False)
        return HTMLResponse(page, 403)


class _Headers:
    """Adds the headers of pages to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", _POLICY.encode()),
                    (b"referrer-policy", b"same-origin"),
                ]
                if all(name != b"cache-control" for name, _ in message["headers"]):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        await self._app(scope, receive, add)


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM:
            raise HTTPException(413, "The form is too large")
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _own_path(path: str) -> str:
    """Return a path of this site; anything that could lead elsewhere becomes the overview."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
