"""Channel of any service that apprise knows, by its URL.

Belongs here: apprise, which takes 300 ms to import and is an optional extra. Does not: plain webhooks (webhook).
"""

import importlib.util
import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote_plus

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.delivery.messages import Message
from leo_telemetry_pipeline.delivery.reachable import Refused
from leo_telemetry_pipeline.delivery.webhook import Failed

MISSING = "apprise is not installed: pip install 'leo-telemetry-pipeline[alerts]'"
# apprise's own webhooks and relays, which would pass by the rules for addresses.
UNCHECKED = ("json", "jsons", "xml", "xmls", "form", "forms", "apprise", "apprises")
LONGEST_S = 20.0
LONGEST_REASON = 200
_TYPES = {"info": "info", "warning": "warning", "high": "warning", "critical": "failure"}


def is_installed() -> bool:
    """Return whether apprise is installed, without importing it."""
    return importlib.util.find_spec("apprise") is not None


@dataclass(frozen=True)
class AppriseChannel:
    """Service by its URL; apprise checks the URL when the first message is sent."""

    name: str
    url: str

    def send(self, message: Message) -> None:
        """Send a message. Raises Refused or Failed."""
        service = self._service
        with _Warnings() as warnings:
            try:
                # Declared as text, the body is escaped by apprise, once, as the service needs it.
                sent = service.notify(
                    body=message.text,
                    title=message.title,
                    notify_type=_TYPES[message.severity],
                    body_format="text",
                )
            except Exception as error:  # noqa: BLE001  # a plugin's mistake must not stop the other channels
                raise Failed(f"apprise failed ({type(error).__name__})") from None
        if not sent:
            raise Failed(redact.text(warnings.last or "the service did not accept the message", LONGEST_REASON))

    @cached_property
    def _service(self) -> Any:
        try:
            import apprise
        except ImportError:
            raise Refused(MISSING) from None

        asset = apprise.AppriseAsset(
            http_redirects=False, async_mode=False, interpret_emojis=False, service_timeout=LONGEST_S
        )
        service = apprise.Apprise(asset=asset)
        if not service.add(without_redirects(self.url)):
            raise Refused("apprise does not understand the URL; one of a program of yours begins with webhook+https://")
        if any(getattr(one, "redirects", False) for one in service):
            raise Refused("the URL allows redirects: remove that parameter")
        return service


def without_redirects(url: str) -> str:
    """Remove the parameter ``redirect`` from a URL: it would override the setting that forbids redirects."""
    address, _, query = url.partition("?")
    kept = [one for one in query.split("&") if unquote_plus(one.partition("=")[0]).strip().lower() != "redirect"]
    return f"{address}?{'&'.join(kept)}" if any(kept) else address


class _Warnings(logging.Handler):
    """Keeps the last warning that apprise logs, which is the only reason that it gives."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = " ".join(record.getMessage().split())

    def __enter__(self) -> "_Warnings":
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)
