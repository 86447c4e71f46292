"""Which requests web pages of other origins may send to a server on this machine: none but links to its own pages.

Belongs here: the decision from a request's headers, and the ASGI middleware that refuses, for receiver and UI alike.
Does not: tokens and statuses (app), what only the UI has (ui).
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOREIGN_HOST = (
    "this server answers to http://127.0.0.1 and http://localhost with its port, and to no other name: "
    "a web page can point a name of its own at this machine"
)
FOREIGN_PAGE = "web pages of other origins may not use this server"
# Names by which containers reach the loopback addresses of their host. Nobody can register such a name.
CONTAINER_HOSTS = frozenset({"host.docker.internal", "gateway.docker.internal", "host.containers.internal"})

# For each answer: no page of another origin may frame it, embed it or keep a handle on its window.
_CLOSED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}
_NO_FRAMES = "frame-ancestors 'self'"
_POLICY_VIOLATION = 1008
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]]+?)\.?(?::\d+)?")


@dataclass(frozen=True)
class Rules:
    """What a server takes.

    ``hosts``: its names beside those of loopback; None for any name, which needs a token.
    ``is_page``: tells to which addresses other pages may link. None for a server without pages: no origin is its own.
    """

    hosts: frozenset[str] | None = frozenset()
    is_page: Callable[[Scope], bool] | None = None


def refusal(scope: Scope, rules: Rules) -> str | None:
    """Say why a request is refused, or None where it may come in.

    A browser puts the name it was given into Host, whatever that name resolves to; the page that asks into Origin, but
    not with plain reads; and how far the two are related into Sec-Fetch-Site, at loopback addresses.
    """
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    if rules.hosts is not None and not all(is_own_host(host, rules.hosts) for host in hosts):
        return FOREIGN_HOST
    for origin in headers.getlist("origin"):
        if rules.is_page is None or not _is_same(origin, hosts):
            return FOREIGN_PAGE
    if all(site in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")):
        return None
    is_link = rules.is_page is not None and _is_navigation(scope, headers) and rules.is_page(scope)
    return None if is_link else FOREIGN_PAGE


def is_own_host(host: str, names: frozenset[str] = frozenset()) -> bool:
    """Tell whether a Host header names this machine, with whatever port: it may be forwarded from another one.

    Of numbers only loopback's count: at 0.0.0.0, which also leads here, browsers send no Sec-Fetch-Site.
    """
    found = _HOST.fullmatch(host.strip().lower())
    if found is None:
        return False
    name = found["name"]
    if name in names or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return number.is_loopback and getattr(number, "ipv4_mapped", None) is None


def _is_same(origin: str, hosts: list[str]) -> bool:
    return any(origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}") for host in hosts)


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """Tell whether somebody follows a link, in a tab and not in a frame."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def in_words(connection: HTTPConnection, why: str) -> Response:  # noqa: ARG001  # others answer by the request
    """Answer 403 in plain text."""
    return PlainTextResponse(f"{why}\n", 403)


class OriginGuard:
    """Lets requests through to an application by rules; ``refuse`` makes the answer to the others."""

    def __init__(
        self, app: ASGIApp, rules: Rules, refuse: Callable[[HTTPConnection, str], Response] = in_words
    ) -> None:
        self._app = app
        self._rules = rules
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or connection, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = refusal(scope, self._rules)
        if why is None:
            await self._app(scope, receive, _closed(send))
        elif scope["type"] == "http":
            await self._refuse(HTTPConnection(scope), why)(scope, receive, _closed(send))
        else:
            # A server answers 403 to the handshake of a connection that was never accepted.
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": why})


def _closed(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_CLOSED)
            headers.append("Content-Security-Policy", _NO_FRAMES)
        await send(message)

    return add
