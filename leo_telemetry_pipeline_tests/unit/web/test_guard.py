"""Guard: requests as browsers send them, in all situations that a page can create."""

import asyncio
import logging
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message
from starlette.websockets import WebSocket

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.intake import REFUSED
from leo_telemetry_pipeline.store.server.database import outside
from leo_telemetry_pipeline.web.guard import CONTAINER_HOSTS, AccessRules, OriginGuard, is_own_host
from leo_telemetry_pipeline.web.receiver.app import build_app
from leo_telemetry_pipeline.web.ui import GRAPHQL, guarded

UI = "127.0.0.1:3000"
EVIL = "http://evil.test"
LINK = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
JSON = {"content-type": "application/json"}


async def executed(request: Request) -> PlainTextResponse:
    """Respond like an address that executes something."""
    return PlainTextResponse("executed")


async def shown(request: Request) -> PlainTextResponse:
    """Respond like Dagster's single page."""
    return PlainTextResponse("shown")


async def spoken(websocket: WebSocket) -> None:
    """Respond like Dagster's subscriptions."""
    await websocket.accept()
    await websocket.close()


def ui() -> ASGIApp:
    """Return an application with Dagster's addresses behind the guard."""
    return guarded(
        Starlette(
            routes=[
                Route(GRAPHQL, executed, methods=["GET", "POST"]),
                WebSocketRoute(GRAPHQL, spoken),
                Route("/report_asset_materialization/{asset_key:path}", executed, methods=["POST"]),
                Route("/logs/{path:path}", executed),
                Route("/{path:path}", shown),
                Route("/", shown),
            ]
        )
    )


def sent_by(app: ASGIApp, method: str, path: str, headers: dict[str, str], kind: str = "http") -> list[Message]:
    """Send a request with these headers; return all messages of the response."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": kind,
        "path": path.partition("?")[0],
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    scope |= {"subprotocols": []} if kind == "websocket" else {"method": method}

    async def exchange() -> None:
        await app(scope, receive, send)

    asyncio.run(exchange())
    return sent


def ask(app: ASGIApp, method: str, path: str, headers: dict[str, str], kind: str = "http") -> tuple[int, dict]:
    """Send a request with these headers; return status (101: a WebSocket is open) and headers of the response."""
    sent = sent_by(app, method, path, headers, kind)
    if kind == "websocket":
        return (101 if sent[0]["type"] == "websocket.accept" else 403), {}
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        *((host, True) for host in ("127.0.0.1:3000", "localhost:3000", "LOCALHOST", "localhost.:3000", "[::1]:3000")),
        *((host, True) for host in ("127.8.9.1", "a.localhost:1", "127.0.0.1:13000", "[::1]", "here.example:3000")),
        *(
            (host, True)
            for host in ("host.docker.internal:4318", "host.containers.internal", "gateway.docker.internal")
        ),
        *((host, False) for host in ("evil.test:3000", "", ":3000", "localhost.evil.test", "127.0.0.1.evil.test")),
        *((host, False) for host in ("evillocalhost", "0.0.0.0:3000", "[::]:3000", "0:3000", "[::ffff:7f00:1]:3000")),
        *((host, False) for host in ("10.0.0.1", "127.0.0.1:3000:evil.test", "127.0.0.1@evil.test", "local host", "[")),
        *((host, False) for host in ("localhost:3000,evil.test", "[::1].evil.test", "host.docker.internal.evil.test")),
    ],
)
def test_a_host_is_ours_if_no_page_can_register_its_name(host: str, is_own: bool):
    """Lost: a page whose name is resolved to this machine (DNS rebinding) reads everything."""
    assert is_own_host(host, CONTAINER_HOSTS | {"here.example"}) is is_own


@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [
        # The UI's own pages and local programs.
        (200, "GET", "/", {}),
        (200, "GET", "/assets", {"sec-fetch-site": "none", **LINK}),
        (200, "GET", "/assets", {"sec-fetch-site": "same-origin", **LINK}),
        (200, "POST", GRAPHQL, {"origin": f"http://{UI}", "sec-fetch-site": "same-origin", **JSON}),
        (200, "POST", GRAPHQL, {"content-type": "application/json; charset=utf-8"}),
        (200, "POST", GRAPHQL, {"content-type": "application/graphql"}),
        (200, "POST", GRAPHQL, {"host": "localhost:8888", "origin": "http://localhost:8888", **JSON}),
        (200, "POST", GRAPHQL, {"host": "[::1]:3000", "origin": "http://[::1]:3000", **JSON}),
        (200, "GET", GRAPHQL, {"accept": "text/html,*/*", "sec-fetch-site": "same-origin", **LINK}),
        (200, "GET", "/logs/x", {"sec-fetch-site": "same-origin", **LINK}),
        # A link from another page, and imitations of one.
        (200, "GET", "/assets", {"sec-fetch-site": "cross-site", **LINK}),
        (200, "GET", "/runs/1", {"sec-fetch-site": "same-site", **LINK}),
        (403, "GET", "/assets", {"sec-fetch-site": "cross-site", **LINK, "sec-fetch-dest": "iframe"}),
        (
            403,
            "GET",
            "/assets",
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        ),
        (403, "GET", "/assets", {"sec-fetch-site": "cross-site"}),
        (403, "POST", "/assets", {"sec-fetch-site": "cross-site", "origin": EVIL, **LINK}),
        (403, "GET", GRAPHQL, {"accept": "text/html", "sec-fetch-site": "cross-site", **LINK}),
        (403, "GET", "/logs/x", {"sec-fetch-site": "cross-site", **LINK}),
        (403, "GET", "/logs/x", {"sec-fetch-site": "same-site", **LINK}),
        # Another origin.
        (403, "POST", GRAPHQL, {"origin": EVIL, "sec-fetch-site": "cross-site", **JSON}),
        (403, "POST", GRAPHQL, {"origin": EVIL, **JSON}),
        (403, "POST", GRAPHQL, {"origin": "null", **JSON}),
        (403, "POST", GRAPHQL, {"origin": "", **JSON}),
        (403, "POST", GRAPHQL, {"origin": "http://127.0.0.1:3001", "sec-fetch-site": "same-site", **JSON}),
        (403, "POST", GRAPHQL, {"origin": "http://localhost:3000", "sec-fetch-site": "cross-site", **JSON}),
        (403, "POST", GRAPHQL, {"origin": "http://127.0.0.1", **JSON}),
        (403, "POST", "/report_asset_materialization/spans", {"origin": "null", "content-type": "text/plain"}),
        (403, "OPTIONS", GRAPHQL, {"origin": EVIL, "access-control-request-method": "POST"}),
        (403, "GET", "/assets", {"origin": EVIL}),
        # Another name for this machine.
        (403, "GET", "/", {"host": "evil.test:3000"}),
        (403, "GET", "/", {"host": "0.0.0.0:3000"}),
        (403, "POST", GRAPHQL, {"host": "evil.test:3000", "origin": "http://evil.test:3000", **JSON}),
        (403, "GET", "/assets", {"host": "evil.test", "sec-fetch-site": "cross-site", **LINK}),
        # Browsers that send neither Origin nor Sec-Fetch-Site.
        (405, "GET", GRAPHQL + "?query=mutation{wipe}", {}),
        (405, "GET", GRAPHQL + "?query=mutation{wipe}", {"accept": "image/*"}),
        (405, "GET", GRAPHQL + "?query={version}", {"sec-fetch-site": "same-origin"}),
        (405, "HEAD", GRAPHQL + "?query=mutation{wipe}", {}),
        (415, "POST", GRAPHQL + "?query=mutation{wipe}", {"content-type": "text/plain"}),
        (415, "POST", GRAPHQL, {"content-type": "text/plain; as=application/json"}),
        (415, "POST", GRAPHQL, {"content-type": "multipart/form-data; boundary=application/json"}),
        (415, "POST", GRAPHQL, {}),
    ],
)
def test_the_ui_is_for_its_own_pages_and_links_from_others(
    status: int, method: str, path: str, headers: dict[str, str]
):
    """Lost: any web page starts runs, wipes assets, or reads the UI."""
    found, answer = ask(ui(), method, path, {"host": UI, **headers})
    assert found == status
    assert not [name for name in answer if name.startswith("access-control")]
    if status in (200, 403):
        assert answer["x-frame-options"] == "SAMEORIGIN"
        assert answer["content-security-policy"] == "frame-ancestors 'self'"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (101, {"origin": f"http://{UI}"}),
        (101, {}),
        (403, {"origin": EVIL}),
        (403, {"origin": "null"}),
        (403, {"origin": "http://127.0.0.1:3001"}),
        (403, {"origin": f"http://{UI}", "sec-fetch-site": "same-site"}),
        (403, {"host": "evil.test", "origin": "http://evil.test"}),
        (403, {"sec-fetch-site": "cross-site", **LINK}),
    ],
)
def test_subscriptions_are_for_the_ui_s_own_pages(status: int, headers: dict[str, str]):
    """Lost: any web page follows the log of every run, since browsers allow WebSockets to any origin."""
    assert ask(ui(), "GET", GRAPHQL, {"host": UI, **headers}, "websocket")[0] == status


@pytest.mark.parametrize(
    ("status", "rules", "headers"),
    [
        (200, AccessRules(), {"sec-fetch-site": "none", **LINK}),
        (200, AccessRules(), {"sec-fetch-site": "same-origin"}),
        (403, AccessRules(), {"origin": f"http://{UI}"}),
        (403, AccessRules(), {"sec-fetch-site": "cross-site", **LINK}),
        (403, AccessRules(), {"sec-fetch-site": "same-site"}),
        (403, AccessRules(), {"host": "collector:4318"}),
        (200, AccessRules(hosts=None), {"host": "collector:4318"}),
        (403, AccessRules(hosts=None), {"host": "collector:4318", "origin": "http://collector:4318"}),
        (200, AccessRules(hosts=frozenset({"collector"})), {"host": "Collector:4318"}),
    ],
)
def test_a_server_without_pages_refuses_all_pages(status: int, rules: AccessRules, headers: dict[str, str]):
    """Lost: web pages write spans of their own, or read the metrics."""
    app = OriginGuard(Starlette(routes=[Route("/metrics", executed)]), rules)
    assert ask(app, "GET", "/metrics", {"host": UI, **headers})[0] == status


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"host": "otel-collector:4318"}, ("LEO_TELEMETRY_SERVE_TOKEN", "Host: localhost")),
        ({"host": "traces.example.com"}, ("LEO_TELEMETRY_SERVE_TOKEN", "Host: localhost")),
        ({"host": "10.0.0.7:4318"}, ("LEO_TELEMETRY_SERVE_TOKEN", "Host: localhost")),
        ({"host": "localhost:4318", "origin": EVIL}, ("web pages",)),
    ],
)
def test_the_receiver_records_refusals_with_a_remedy(
    settings: Settings, caplog: pytest.LogCaptureFixture, headers: dict[str, str], words: tuple[str, ...]
):
    """Lost: all spans behind a proxy that passes Host on, since exporters do not retry after 403."""
    app = build_app(settings, outside("postgresql://nobody@127.0.0.1:1/none", "dagster"))
    with caplog.at_level(logging.WARNING):
        for path in ("/v1/traces", "/v1/logs"):
            answer = sent_by(app, "POST", path, {**JSON, **headers})
    assert answer[0]["status"] == 403
    [(noticed, count)] = app.notices.take().items()
    assert (noticed.kind, count) == (REFUSED, 2)
    for said in (answer[1]["body"].decode(), noticed.detail, caplog.messages[0]):
        assert all(word in said for word in words)
    assert len(noticed.detail) <= 200  # the table truncates longer text
