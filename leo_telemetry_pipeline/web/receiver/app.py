"""OTLP receiver: the ASGI application.

Belongs here: routes, statuses, the order of checks of a request. Does not: reading bodies (body), decoding them
(sources.otlp), storing spans (span_keeper), sockets (server).
"""

import asyncio
import hmac
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.sources.otlp import otlp, otlp_protobuf
from leo_telemetry_pipeline.store import intake
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.web.guard import CONTAINER_HOSTS, FOREIGN_HOST, AccessRules, OriginGuard
from leo_telemetry_pipeline.web.receiver import answers, batching, body
from leo_telemetry_pipeline.web.receiver.batching import Batcher
from leo_telemetry_pipeline.web.receiver.body import Body, Refusal
from leo_telemetry_pipeline.web.receiver.claude import ClaudeCode
from leo_telemetry_pipeline.web.receiver.metrics import MEDIA_TYPE, Metrics
from leo_telemetry_pipeline.web.receiver.notices import Notices
from leo_telemetry_pipeline.web.receiver.span_keeper import Keeper, NotKept

_READERS = {answers.JSON: otlp.parts_of_json, answers.PROTOBUF: otlp_protobuf.parts_of_protobuf}
# What clients of OTLP send.
MEDIA_TYPES = frozenset(form.encode() for form in _READERS)
# Requests refused with these statuses, or by the guard, are lost, since exporters do not retry them.
_FOR_GOOD = (400, 413, 415)
_HOST_REMEDY = f"set {PREFIX}SERVE_TOKEN, or let the proxy send Host: localhost"
_PLACE = re.compile(r"(?<=byte) \d+|; \d+ span\(s\) before that are stored")

_log = logging.getLogger(__name__)


def build_app(settings: Settings, target: Target, *, host: str = "127.0.0.1", away: bool = False) -> "Application":
    """Return the receiver as an ASGI application that stores in ``target`` and spools in the settings' home.

    ``host``: the name or address that it listens on. ``away``: the target does not answer yet.
    """
    receiver = _Receiver(settings, target, away=away)
    app = Starlette(
        routes=[
            *_signal("/v1/traces", receiver.traces),
            *_signal("/v1/logs", receiver.logs),
            *_signal("/v1/metrics", receiver.metric_points),
            Route("/healthz", receiver.health),
            Route("/readyz", receiver.readiness),
            Route("/metrics", receiver.numbers),
        ],
        exception_handlers={Refusal: _refuse, body.Gone: _gone, HTTPException: _refuse_http, Exception: _failed},
        lifespan=receiver.life,
    )
    app.router.redirect_slashes = False
    # A client that knows the token is not a web page, so any Host is accepted: a proxy may send its own.
    hosts = None if settings.serve_token else CONTAINER_HOSTS | {host.lower()}
    return Application(
        OriginGuard(app, AccessRules(hosts), receiver.refuse_stranger), receiver.metrics, receiver.notices
    )


def _signal(path: str, endpoint: Callable) -> list[Route]:
    # Some clients append a slash to their endpoint.
    return [Route(path + end, endpoint, methods=["POST"]) for end in ("", "/")]


class _Receiver:
    def __init__(self, settings: Settings, target: Target, *, away: bool) -> None:
        self.metrics = Metrics()
        self.notices = Notices()
        self._keeper = Keeper(settings, target, self.metrics, self.notices, away=away)
        self._claude = ClaudeCode(settings, self._keeper, self.notices)
        self._batcher = Batcher(settings, self._keeper, self._claude, self.metrics, self.notices)
        self._inflow = body.Inflow()
        self._token = settings.serve_token.encode()

    @asynccontextmanager
    async def life(self, app: Starlette) -> AsyncIterator[None]:  # noqa: ARG002  # Starlette's signature
        tasks = [asyncio.create_task(each.work()) for each in (self._batcher, self._claude, self._keeper)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            self._batcher.close()
            self._claude.close()
            await self._keeper.close()

    async def traces(self, request: Request) -> Response:
        async with self._body_of(request) as (form, arriving):
            rejections = await self._batcher.take(_READERS[form], arriving)
            return answers.accepted(form, sum(rejections.values()), "; ".join(rejections))

    async def logs(self, request: Request) -> Response:
        async with self._body_of(request) as (form, arriving):
            await self._take_logs(arriving.finish(), form)
            return answers.accepted(form, 0, "")

    async def metric_points(self, request: Request) -> Response:
        async with self._body_of(request) as (form, arriving):
            whole = arriving.finish()
            try:
                if form == answers.JSON:
                    await asyncio.to_thread(otlp.check_metrics_json, whole)
            except otlp.BadRequest as error:
                raise Refusal(400, str(error)) from None
            self.metrics.totals["requests_dropped"] += 1
            return answers.accepted(form, 0, "")

    async def _take_logs(self, body: bytes, form: str) -> None:
        """Keep Claude Code's log events, which complete its spans; drop other logs."""
        try:
            if not await self._claude.keep_logs(body, form):
                self.metrics.totals["requests_dropped"] += 1
        except otlp.BadRequest as error:
            raise Refusal(400, str(error)) from None
        except otlp.TooLarge as error:
            raise Refusal(413, str(error)) from None
        except NotKept as error:
            raise Refusal(503, f"Claude Code's records cannot be kept ({error})", batching.RETRY_AFTER_S) from None

    @asynccontextmanager
    async def _body_of(self, request: Request) -> AsyncIterator[tuple[str, Body]]:
        """Yield the media type and the complete body of an authorized request; record refusals as notices."""
        self._admit(request)
        try:
            form, arriving = self._opened(request)
            try:
                await body.read(request.receive, arriving)
                yield form, arriving
            finally:
                self.metrics.totals["body_bytes"] += arriving.received
                arriving.close()
        except Refusal as refusal:
            if refusal.status in _FOR_GOOD:
                # Remove the position in the body, so that equal reasons are counted together.
                reason = f"{refusal.status} {_PLACE.sub('', refusal.message)}"
                self.notices.add(intake.REFUSED, reason, f"request(s) refused: {reason}")
            raise

    def _opened(self, request: Request) -> tuple[str, Body]:
        form = answers.content_type(request)
        if form not in _READERS:
            raise Refusal(415, f"Content-Type must be {answers.PROTOBUF} or {answers.JSON}")
        encodings = [name.strip().lower() for name in request.headers.getlist("content-encoding")]
        if encodings not in ([], [""], ["identity"], ["gzip"]):
            raise Refusal(415, "Content-Encoding must be gzip or identity, once")
        body.declared(request.headers.get("content-length"))
        return form, Body(self._inflow, gzip=encodings == ["gzip"])

    def _admit(self, request: Request) -> None:
        if not self._token:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), self._token):
            raise Refusal(401, "the header `Authorization: Bearer <token>` is missing or wrong")

    def refuse_stranger(self, connection: HTTPConnection, why: str) -> Response:
        reason = why
        if why == FOREIGN_HOST:
            reason, why = f"Host names another machine: {_HOST_REMEDY}", f"{why}; {_HOST_REMEDY}"
        self.notices.add(intake.REFUSED, f"403 {reason}", f"request(s) refused: 403 {reason}")
        return answers.refused(answers.content_type(connection), 403, why)

    async def health(self, request: Request) -> Response:  # noqa: ARG002  # Starlette's signature
        return Response("ok\n", media_type="text/plain")

    async def readiness(self, request: Request) -> Response:  # noqa: ARG002
        database_up, ready = await self._keeper.readiness()
        state = {"ready": ready, "database": "up" if database_up else "away"}
        return Response(json.dumps(state), 200 if ready else 503, media_type=answers.JSON)

    async def numbers(self, request: Request) -> Response:
        self._admit(request)
        text = self.metrics.text(bytes_in_flight=self._inflow.held, database_up=not self._keeper.away)
        return Response(text, media_type=MEDIA_TYPE)


async def _gone(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return Response(status_code=400)  # nobody receives this response, but the request is counted


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return answers.refused(answers.content_type(request), error.status, error.message, error.retry_after, headers)


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {
        404: "send traces to /v1/traces, logs to /v1/logs, metrics to /v1/metrics, by OTLP over HTTP",
        405: "use POST",
    }.get(error.status_code, error.detail)
    return answers.refused(answers.content_type(request), error.status_code, message, headers=dict(error.headers or {}))


async def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return answers.refused(answers.content_type(request), 500, "internal error: see the receiver's log")


class Application:
    """Counts requests by status, and logs unexpected errors without any content of the request."""

    def __init__(self, app: ASGIApp, metrics: Metrics, notices: Notices) -> None:
        self.metrics = metrics
        self.notices = notices
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection: a request, or the server's lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.statuses[message["status"]] += 1
            await send(message)

        self.metrics.in_flight += 1
        try:
            await self._app(scope, receive, counted)
        except Exception as error:  # noqa: BLE001  # uvicorn would log its text, which may quote a span
            _log.error("a request failed: %s at %s", type(error).__name__, _place(error))
        finally:
            self.metrics.in_flight -= 1
            self.metrics.seconds += time.monotonic() - began


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
