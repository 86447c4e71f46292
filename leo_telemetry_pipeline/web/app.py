"""The OTLP receiver: what it answers at which address.

Belongs here: routes, statuses, the order in which a request is checked. Does not: reading bodies (body), what they
say (collect), where spans go (keeping), sockets (server).
"""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.collect import otlp, otlp_protobuf
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.database import Target
from leo_telemetry_pipeline.web import answers, body
from leo_telemetry_pipeline.web.body import Refusal
from leo_telemetry_pipeline.web.keeping import Keeper, NotKept
from leo_telemetry_pipeline.web.metrics import MEDIA_TYPE, Metrics

# Exporters wait for ten seconds by default; an answer after that would be lost on them.
_TURN_S = 8.0
_RETRY_AFTER_S = 5
_READERS = {answers.JSON: otlp.read_json, answers.PROTOBUF: otlp_protobuf.read_protobuf}

_log = logging.getLogger(__name__)


def build_app(settings: Settings, target: Target, *, away: bool = False) -> ASGIApp:
    """Return the receiver as an ASGI application that stores into ``target`` and spools into the settings' home.

    ``away``: the target does not answer yet.
    """
    receiver = _Receiver(settings, target, away=away)
    app = Starlette(
        routes=[
            Route("/v1/traces", receiver.traces, methods=["POST"]),
            Route("/healthz", receiver.health),
            Route("/readyz", receiver.readiness),
            Route("/metrics", receiver.numbers),
        ],
        exception_handlers={Refusal: _refuse, HTTPException: _refuse_http, Exception: _failed},
        lifespan=receiver.life,
    )
    app.router.redirect_slashes = False
    return _Measured(app, receiver.metrics)


class _Receiver:
    def __init__(self, settings: Settings, target: Target, *, away: bool) -> None:
        self.metrics = Metrics()
        self._keeper = Keeper(settings, target, self.metrics, away=away)
        self._inflow = body.Inflow()
        self._turn = asyncio.Lock()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._project = settings.project
        self._policy = redact.Policy(settings.keep_keys, settings.keep_identity)
        self._token = settings.serve_token.encode()

    @asynccontextmanager
    async def life(self, app: Starlette) -> AsyncIterator[None]:  # noqa: ARG002  # Starlette's signature
        upkeep = asyncio.create_task(self._keeper.upkeep())
        try:
            yield
        finally:
            upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await upkeep
            self._keeper.close()
            self._reader.shutdown(wait=False)

    async def traces(self, request: Request) -> Response:
        self._admit(request)
        form = answers.content_type(request)
        if form not in _READERS:
            raise Refusal(415, f"Content-Type must be {answers.PROTOBUF} or {answers.JSON}")
        encodings = [name.strip().lower() for name in request.headers.getlist("content-encoding")]
        if encodings not in ([], [""], ["identity"], ["gzip"]):
            raise Refusal(415, "Content-Encoding must be gzip or identity, once")
        body.declared(request.headers.get("content-length"))
        arriving = body.Body(self._inflow, gzip=encodings == ["gzip"])
        try:
            await body.read(request.receive, arriving)
            return await self._taken(form, arriving)
        except body.Gone:
            return Response(status_code=400)  # nobody reads it, but it is counted
        finally:
            self.metrics.totals["body_bytes"] += arriving.received
            arriving.close()

    async def _taken(self, form: str, arriving: body.Body) -> Response:
        """Read and keep one body at a time, so that only one is in memory as objects."""
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turn.acquire()
        except TimeoutError:
            raise Refusal(429, "requests come faster than they can be stored", _RETRY_AFTER_S) from None
        try:
            read = await asyncio.get_running_loop().run_in_executor(self._reader, self._read, form, arriving)
            refused = await self._keeper.keep(read.spans, read.removed)
        except otlp.BadRequest as error:
            raise Refusal(400, str(error)) from None
        except otlp.TooLarge as error:
            raise Refusal(413, str(error)) from None
        except NotKept as error:
            raise Refusal(503, f"database and spool are both unavailable ({error})", _RETRY_AFTER_S) from None
        finally:
            self._turn.release()
        rejected = read.rejected + refused
        reasons = [*read.reasons, *([f"{refused} span(s) were refused by the table"] if refused else [])]
        self.metrics.totals["spans_accepted"] += len(read.spans) - refused
        self.metrics.totals["spans_rejected"] += rejected
        return answers.accepted(form, rejected, "; ".join(reasons))

    def _read(self, form: str, arriving: body.Body) -> otlp.Read:
        return _READERS[form](arriving.finish(), project=self._project, policy=self._policy)

    def _admit(self, request: Request) -> None:
        # Only browsers send it: no web page may post here, not even one that made its name point at this machine.
        if "origin" in request.headers:
            raise Refusal(403, "web pages may not send spans here")
        if not self._token:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), self._token):
            raise Refusal(401, "the header `Authorization: Bearer <token>` is missing or wrong")

    async def health(self, request: Request) -> Response:  # noqa: ARG002  # Starlette's signature
        return Response("ok\n", media_type="text/plain")

    async def readiness(self, request: Request) -> Response:  # noqa: ARG002
        database_up, ready = await self._keeper.readiness()
        said = {"ready": ready, "database": "up" if database_up else "away"}
        return Response(json.dumps(said), 200 if ready else 503, media_type=answers.JSON)

    async def numbers(self, request: Request) -> Response:
        self._admit(request)
        text = self.metrics.text(bytes_in_flight=self._inflow.held, database_up=not self._keeper.away)
        return Response(text, media_type=MEDIA_TYPE)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return answers.refused(answers.content_type(request), error.status, error.message, error.retry_after, headers)


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {404: "spans are taken at /v1/traces", 405: "spans are taken by POST"}.get(
        error.status_code, error.detail
    )
    return answers.refused(answers.content_type(request), error.status_code, message, headers=dict(error.headers or {}))


async def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return answers.refused(answers.content_type(request), 500, "the receiver has a bug, which its log names")


class _Measured:
    """Counts every request by its status, and logs what went wrong without a word of what was sent."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.statuses[message["status"]] += 1
            await send(message)

        self._metrics.in_flight += 1
        try:
            await self._app(scope, receive, counted)
        except Exception as error:  # noqa: BLE001  # the server would log it with its text, which may quote a span
            _log.error("a request failed: %s at %s", type(error).__name__, _place(error))
        finally:
            self._metrics.in_flight -= 1
            self._metrics.seconds += time.monotonic() - began


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
