"""Channels: where alerts go, from the environment or a file that only its owner can read.

Belongs here: finding, checking and naming them. Their URLs hold secrets, so only names are stored and shown.
Does not: sending (webhook, apprise_channel).
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from leo_telemetry_pipeline.delivery import apprise_channel
from leo_telemetry_pipeline.delivery.apprise_channel import AppriseChannel
from leo_telemetry_pipeline.delivery.messages import Message
from leo_telemetry_pipeline.delivery.reachable import Refused, Rules, literal
from leo_telemetry_pipeline.delivery.webhook import SCHEMES, Webhook, parse
from leo_telemetry_pipeline.settings import Settings

FILE = "alert_urls"
# A comma is allowed in a URL, but no part of one looks like the beginning of the next.
_NEXT_URL = re.compile(r",\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Channel(Protocol):
    """Destination of messages."""

    @property
    def name(self) -> str:
        """Kind and a digest of the URL: the same URL has the same name everywhere."""
        ...

    def send(self, message: Message) -> None:
        """Send a message. Raises Refused or Failed."""
        ...


@dataclass(frozen=True)
class WebhookChannel:
    """Webhook as a channel."""

    name: str
    webhook: Webhook

    def send(self, message: Message) -> None:
        """Post the document of a message. Raises Refused or Failed."""
        self.webhook.post(message.document, message.key)


@dataclass(frozen=True)
class Channels:
    """Usable channels, and the names of the others with the reason."""

    usable: tuple[Channel, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the usable ones."""
        return [one.name for one in self.usable]


def configured(settings: Settings) -> Channels:
    """Return the channels of the settings, checked without the network."""
    try:
        urls = settings.alert_urls or _from_file(settings.home / FILE)
    except Refused as error:
        return Channels(refused=((FILE, str(error)),))
    rules = Rules(settings.alert_hosts, settings.alert_networks)
    usable, refused = [], []
    for url in dict.fromkeys(urls):
        try:
            usable.append(_channel(url, rules))
        except Refused as error:
            refused.append((name_of(url), str(error)))
    return Channels(tuple(usable), tuple(refused))


def name_of(url: str) -> str:
    """Return the name of a channel, which does not reveal its URL."""
    # Without a scheme, the beginning of the text may be secret.
    scheme = url.partition("://")[0].partition("+")[0].lower() if "://" in url else ""
    kind = scheme if scheme.isascii() and scheme.isalnum() and len(scheme) < 20 else "channel"
    return f"{kind}-{hashlib.sha256(url.encode(errors='replace')).hexdigest()[:8]}"


def _channel(url: str, rules: Rules) -> Channel:
    if _NEXT_URL.search(url):
        raise Refused("URLs are separated by blanks, not by commas")
    scheme = url.partition("://")[0].lower()
    if scheme in SCHEMES:
        return WebhookChannel(name_of(url), parse(url, rules))
    if scheme in apprise_channel.UNCHECKED:
        raise Refused(f"{scheme}:// calls any address: use webhook+https://")
    if not apprise_channel.is_installed():
        raise Refused(apprise_channel.MISSING)
    # For many services, what looks like a host is a token, so only addresses can be checked.
    if address := literal(_host(url)):
        rules.check_address(address)
    return AppriseChannel(name_of(url), url)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _from_file(path: Path) -> Iterable[str]:
    """Return the URLs of a file, one per line, if it is private. Raises Refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror})") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise Refused(f"{path} must be a file of yours that nobody else can read: chmod 600 it")
        with open(descriptor, encoding="utf-8", errors="replace", closefd=False) as file:
            lines = [line.strip() for line in file]
    finally:
        os.close(descriptor)
    return [line for line in lines if line and not line.startswith("#")]
