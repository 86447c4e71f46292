"""Webhook: one JSON document per alert, posted to a URL of the operator.

Belongs here: the request, and its limits. Does not: the rules for addresses (reachable), the document (messages).

The name is resolved once, every address is checked, and the connection goes to a checked address, so that a second
answer of the name server cannot lead elsewhere. Redirects are not followed; proxies of the environment are not used.
"""

import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from threading import Event, Timer
from typing import Any
from urllib.parse import SplitResult, urlsplit

from leo_telemetry_pipeline.delivery.reachable import Address, Refused, Rules, literal, resolve

SCHEMES = ("webhook+https", "webhook+http")
# Limits of one call, from connecting to the end of the answer.
LONGEST_S = 10.0
LARGEST_ANSWER = 64 * 1024
_REDIRECTS = range(300, 400)
_ACCEPTED = range(200, 300)


class Failed(Exception):
    """A call did not succeed, and may later; the message names neither path nor query, which may be secret."""


@dataclass(frozen=True)
class Webhook:
    """Checked URL of a webhook."""

    url: SplitResult
    host: str
    port: int
    rules: Rules
    longest_s: float = LONGEST_S

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is used."""
        return self.url.scheme == "webhook+https"

    def post(self, document: Mapping[str, Any], key: str) -> None:
        """Post a document with its idempotency key. Raises Refused or Failed."""
        body = json.dumps(document, ensure_ascii=True, allow_nan=False).encode()
        path = self.url.path or "/"
        target = f"{path}?{self.url.query}" if self.url.query else path
        headers = {"Content-Type": "application/json", "User-Agent": "leo-telemetry", "Idempotency-Key": _header(key)}
        try:
            with self._connected() as connection:
                connection.request("POST", target, body, headers)
                _read(connection)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Failed(f"{self.host} did not answer in {self.longest_s:.0f} s or broke off ({reason})") from None

    @contextmanager
    def _connected(self) -> Iterator[HTTPConnection]:
        addresses = resolve(self.host, self.port, self.rules)
        if not self.is_encrypted and not all(map(self.rules.is_own, addresses)):
            raise Refused(f"{self.host} is not in your networks: use webhook+https")
        with closing(_reached(addresses, self.port, self.longest_s)) as plain:
            # A timeout of the socket applies to each packet; an answer that never ends needs a limit on the whole.
            expired = Event()
            limit = Timer(self.longest_s, _cut, [plain, expired])
            limit.daemon = True
            limit.start()
            try:
                connection = HTTPConnection(self.host, self.port, timeout=self.longest_s)
                connection.sock = self._encrypted(plain)
                with closing(connection):
                    yield connection
                if expired.is_set():
                    raise Refused(f"{self.host} did not end its answer in {self.longest_s:.0f} s")
            finally:
                limit.cancel()

    def _encrypted(self, plain: socket.socket) -> socket.socket:
        if not self.is_encrypted:
            return plain
        # The wrapper takes over the descriptor: the timer must cut a copy of it.
        return ssl.create_default_context().wrap_socket(plain.dup(), server_hostname=self.host)


def parse(url: str, rules: Rules) -> Webhook:
    """Parse and check the URL of a webhook without the network. Raises Refused."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused("not a URL") from None
    if parts.scheme not in SCHEMES:
        raise Refused(f"the scheme is not one of {', '.join(SCHEMES)}")
    if not host:
        raise Refused("the URL names no host")
    if parts.username is not None or parts.password is not None:
        raise Refused("user names are not supported: put the secret into the path or the query")
    if not url.isascii() or any(not letter.isprintable() or letter == " " for letter in url):
        raise Refused("the URL has characters that must be percent-encoded")
    rules.check_host(host)
    address = literal(host)
    if address is not None:
        rules.check_address(address)
    return Webhook(parts, host, port or (443 if parts.scheme == "webhook+https" else 80), rules)


def _reached(addresses: Sequence[Address], port: int, longest_s: float) -> socket.socket:
    """Connect to the first address that answers, such as IPv4 where IPv6 leads nowhere. Raises OSError."""
    ends, failure = time.monotonic() + longest_s, OSError("no address")
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            connection = socket.create_connection((str(address), port), max(0.1, (ends - time.monotonic()) / left))
        except OSError as error:
            failure = error
        else:
            connection.settimeout(longest_s)
            return connection
    raise failure


def _read(connection: HTTPConnection) -> None:
    """Read an answer to its end. Raises Refused or Failed, OSError or HTTPException."""
    with closing(connection.getresponse()) as answer:
        if answer.status in _REDIRECTS:
            raise Refused(f"{connection.host} answered with a redirect ({answer.status}), which is not followed")
        if answer.status not in _ACCEPTED:
            raise Failed(f"{connection.host} answered {answer.status}")
        if len(answer.read(LARGEST_ANSWER + 1)) > LARGEST_ANSWER:
            raise Refused(f"{connection.host} answered with more than {LARGEST_ANSWER // 1024} KB")


def _cut(connection: socket.socket, expired: Event) -> None:
    expired.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _header(key: str) -> str:
    return key if key.isascii() and key.isprintable() else key.encode().hex()
