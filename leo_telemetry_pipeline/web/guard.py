"""Guard against web pages of other origins: they may only link to pages of a local server.

Belongs here: the decision by a request's headers, and the ASGI middleware for receiver, dashboard and UI.
Does not: tokens and statuses (receiver, dashboard), rules for the UI only (ui).
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
    "this server answers only to http://127.0.0.1 and http://localhost with its port: "
    "a web page can point a name of its own at this machine"
)
FOREIGN_PAGE = "web pages of other origins may not use this server"
# Names by which containers reach their host's loopback addresses; they cannot be registered in DNS.
CONTAINER_HOSTS = frozenset({"host.docker.internal", "gateway.docker.internal", "host.containers.internal"})

# Response headers: pages of other origins may not frame or embed our pages, or keep a handle on their window.
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
class AccessRules:
    """What a server accepts.

    ``hosts``: its names besides those of loopback; None for any name, which needs a token.
    ``is_page``: whether other pages may link to an address; None for a server without pages, and so without an origin.
    """

    hosts: frozenset[str] | None = frozenset()
    is_page: Callable[[Scope], bool] | None = None


def refusal(scope: Scope, rules: AccessRules) -> str | None:
    """Return why a request is refused, None if it is allowed.

    A browser sends the requested name in Host, whatever it resolves to; the page's origin in Origin, except for plain
    reads; and the relation of the two in Sec-Fetch-Site, at loopback addresses.
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
    """Return whether a Host header names this machine, with any port, since it may be forwarded from another one.

    Of IP addresses only loopback is accepted: for 0.0.0.0, which also leads here, browsers send no Sec-Fetch-Site.
    """
    match = _HOST.fullmatch(host.strip().lower())
    if match is None:
        return False
    name = match["name"]
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
    """Return whether a user follows a link in a tab, not in a frame."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def in_words(connection: HTTPConnection, why: str) -> Response:  # noqa: ARG001  # other refusals use it
    """Return a 403 response in plain text."""
    return PlainTextResponse(f"{why}\n", 403)


class OriginGuard:
    """Passes allowed requests to an application; ``refuse`` returns the response to the others."""

    def __init__(
        self, app: ASGIApp, rules: AccessRules, refuse: Callable[[HTTPConnection, str], Response] = in_words
    ) -> None:
        self._app = app
        self._rules = rules
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = refusal(scope, self._rules)
        if why is None:
            await self._app(scope, receive, _closed(send))
        elif scope["type"] == "http":
            await self._refuse(HTTPConnection(scope), why)(scope, receive, _closed(send))
        else:
            # Closing before accepting makes the server answer the handshake with 403.
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
