"""Dashboard: the ASGI application.

Belongs here: routes, headers, errors as pages, login. Does not: what a page shows, who may do what (access).
"""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.web.dashboard import api
from leo_telemetry_pipeline.web.dashboard.access import Access, Rights
from leo_telemetry_pipeline.web.dashboard.live import Live
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes
from leo_telemetry_pipeline.web.dashboard.page import Asked, Download, Missing, Page, Refused, Step
from leo_telemetry_pipeline.web.dashboard.reading import DatabaseGone, Reader
from leo_telemetry_pipeline.web.dashboard.registered import DOWNLOADS, NAVIGATION, PAGES, STEPS
from leo_telemetry_pipeline.web.dashboard.rendering import STATIC, render, static
from leo_telemetry_pipeline.web.dashboard.tables import Table
from leo_telemetry_pipeline.web.guard import AccessRules, OriginGuard

_JSON = "application/json"
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
_LEAST_COMPRESSED = 2_000

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
    # The largest page, a trace of many spans, is a tenth as large when compressed.
    compressed = GZipMiddleware(_Headers(app), minimum_size=_LEAST_COMPRESSED, compresslevel=5)
    return OriginGuard(compressed, AccessRules(hosts, lambda _scope: True), site.refuse_stranger)


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
            *(Route(page.path, self._shows(page)) for page in PAGES),
            *(Route(step.path, self._makes(step), methods=["POST"]) for step in STEPS),
            Route(api.DOCUMENT, self.document),
            *(Route(api.path_of(page.path), self._answers(page)) for page in PAGES),
            *(Route(api.csv_path_of(page.path), self._lists(page, page.table)) for page in PAGES if page.table),
            *(Route(api.path_of(step.path), self._obeys(step), methods=["POST"]) for step in STEPS),
            *(Route(one.path, self._sends(one)) for one in DOWNLOADS),
            Route("/live", self.live),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/static/{version}/{name}", self.file),
        ]

    def _shows(self, page: Page) -> Callable:
        async def show(request: Request) -> Response:
            self._require_reader(request)
            asked = self._asked(request)
            common = {"rights": self._access.rights(request), "path": request.url.path, "navigation": NAVIGATION}
            return HTMLResponse(
                # Rendered in the same thread, so that the receiver's loop stays free.
                await self._reader.read(lambda it: render(page.template, page=page.model(it, asked), **common))
            )

        return show

    def _answers(self, page: Page) -> Callable:
        async def answer(request: Request) -> Response:
            self._require_reader(request)
            asked = self._asked(request)
            content = await self._reader.read(lambda it: api.as_json(page, page.model(it, asked)))
            return Response(content, media_type=_JSON)

        return answer

    def _lists(self, page: Page, table: Table) -> Callable:
        def part_of(database: Database, asked: Asked) -> tuple[str, str]:
            model = page.model(database, asked)
            return table.body(model.rows), model.place

        async def lines(asked: Asked, lines: str, place: str) -> AsyncIterator[str]:
            yield table.head() + lines
            # One part at a time: other pages are read in between, and no list is too long for the memory.
            while place:
                asked = replace(asked, query={**asked.query, "after": place})
                lines, place = await self._reader.read(part_of, asked)
                yield lines

        async def send(request: Request) -> Response:
            self._require_reader(request)
            asked = self._asked(request)
            # Problems have their own answers, so the first part is read before the answer begins.
            first, place = await self._reader.read(part_of, asked)
            return StreamingResponse(
                lines(asked, first, place), media_type=api.CSV, headers=_saved_as(f"{page.path[1:]}.csv")
            )

        return send

    def _sends(self, download: Download) -> Callable:
        async def send(request: Request) -> Response:
            self._require_reader(request)
            file = await self._reader.read(download.read, self._asked(request))
            return Response(file.text, media_type=file.media_type, headers=_saved_as(file.name))

        return send

    def _makes(self, step: Step) -> Callable:
        async def make(request: Request) -> Response:
            rights = self._require_actor(request)
            form = await _form(request)
            if not hmac.compare_digest(form.get("form_token", "").encode(), rights.form_token.encode()):
                raise HTTPException(403, "This form is from another session: go back, reload the page, and try again")
            return RedirectResponse(await self._reader.read(step.make, self._asked(request, form)), 303)

        return make

    def _obeys(self, step: Step) -> Callable:
        async def obey(request: Request) -> Response:
            self._require_actor(request)
            # Pages of other origins cannot send this type without asking first, so no form token is needed.
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
                raise HTTPException(415, f"Content-Type must be {_JSON}")
            try:
                form = api.form_of(await _body(request))
            except api.BadBody:
                raise HTTPException(400, "The body must be a JSON object of texts") from None
            return JSONResponse({"page": await self._reader.read(step.make, self._asked(request, form))})

        return obey

    def _asked(self, request: Request, form: Mapping[str, str] | None = None) -> Asked:
        given = [request.path_params, dict(request.query_params), form or {}]
        return Asked(self._settings, self._minutes, *(_storable(values) for values in given))

    async def document(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        self._require_reader(request)
        return JSONResponse(api.document(PAGES, STEPS))

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
            return self._login(request, 200, back, wrong=False)
        given = (await _form(request)).get("token", "").strip()
        role = self._access.role_of(given)
        if role is None:
            # Slows down guessing without holding anything.
            await asyncio.sleep(1)
            return self._login(request, 403, back, wrong=True)
        response = RedirectResponse(back, 303)
        self._access.remember(response, role, is_https=request.url.scheme == "https")
        return response

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        known = {path.name: path for path in STATIC.iterdir() if path.suffix in _TYPES}
        if name not in known or request.url.path != static(name):
            raise HTTPException(404)
        return Response(known[name].read_bytes(), media_type=_TYPES[known[name].suffix], headers=_FOR_EVER)

    def _require_actor(self, request: Request) -> Rights:
        self._require_reader(request)
        rights = self._access.rights(request)
        if not rights.may_act:
            raise HTTPException(403, f"Acting needs the token of {PREFIX}SERVE_ACT_TOKEN")
        return rights

    def _require_reader(self, request: Request) -> None:
        if self._access.is_closed:
            raise HTTPException(
                403, f"Other machines can reach this dashboard: set {PREFIX}SERVE_READ_TOKEN or {PREFIX}SERVE_ACT_TOKEN"
            )
        if not self._access.rights(request).may_read:
            raise HTTPException(401)

    def _problem(
        self, request: HTTPConnection, status: int, title: str, remedy: str = "", *, retry: bool = False
    ) -> Response:
        """Return a problem as a page, or as JSON to clients of the API."""
        headers = {"Retry-After": "3"} if retry else None
        if request.url.path.startswith(f"{api.PREFIX}/"):
            return JSONResponse({"error": f"{title}. {remedy}".strip()}, status, headers)
        page = render(
            "problem.html", path=request.url.path, navigation=NAVIGATION, title=title, remedy=remedy, retry=retry
        )
        return HTMLResponse(page, status, headers)

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Return an error; without the token of a reader, the form that takes it."""
        assert isinstance(error, HTTPException)
        if error.status_code == 401 and not request.url.path.startswith(f"{api.PREFIX}/"):
            back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return self._login(request, 401, _own_path(back), wrong=False)
        title = {
            401: "The token is missing or wrong",
            404: "There is no such page",
            405: "This address takes no such request",
        }.get(error.status_code, error.detail)
        response = self._problem(request, error.status_code, title)
        response.headers.update(error.headers or {})
        return response

    async def missing(self, request: Request, error: Exception) -> Response:
        """Say what does not exist."""
        return self._problem(request, 404, str(error))

    async def refused(self, request: Request, error: Exception) -> Response:
        """Say why a step is not possible."""
        return self._problem(request, 409, str(error))

    async def away(self, request: Request, error: Exception) -> Response:  # noqa: ARG002  # Starlette's signature
        """Return a page that asks for itself again until the database answers."""
        remedy = "Spans wait on disk meanwhile. This page returns by itself; leo-telemetry doctor says more."
        return self._problem(request, 503, "The database does not answer", remedy, retry=True)

    async def failed(self, request: Request, error: Exception) -> Response:
        """Return a page for an error of ours, which is logged."""
        _log.error("a page failed: %s", type(error).__name__, exc_info=error)
        return self._problem(request, 500, "This page failed", "See the log of the server.")

    def _login(self, request: Request, status: int, back: str, *, wrong: bool) -> Response:
        page = render("login.html", path=request.url.path, navigation=NAVIGATION, back=back, wrong=wrong)
        return HTMLResponse(page, status)

    def refuse_stranger(self, connection: HTTPConnection, why: str) -> Response:
        """Return the refusal of a request from another site, or for another host."""
        return self._problem(connection, 403, why, f"To use another name, set {PREFIX}SERVE_READ_TOKEN.")


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


def _saved_as(name: str) -> dict[str, str]:
    """Return the headers of a file to save."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM:
            raise HTTPException(413, "The form is too large")
    return body


async def _form(request: Request) -> dict[str, str]:
    fields = parse_qs((await _body(request)).decode("utf-8", "replace"))
    return {name: values[-1] for name, values in fields.items()}


def _storable(values: Mapping[str, str]) -> dict[str, str]:
    """Return values with a replacement for the characters that PostgreSQL cannot take."""
    return {name: value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd") for name, value in values.items()}


def _own_path(path: str) -> str:
    """Return a path of this site; anything that could lead elsewhere becomes the overview."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
