"""The dashboard in this process, and a client that asks it for pages as a browser on this machine does."""

import asyncio
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.web.dashboard.app import build_app
from leo_telemetry_pipeline_tests.receiver_client import Answer, Client

HOST = "127.0.0.1:4318"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Shown:
    """A response as a page: its status, headers, HTML and visible text."""

    status: int
    headers: dict[str, str]
    html: str

    @property
    def text(self) -> str:
        """Text without tags, in one line."""
        body = re.sub(r"<(script|style|head)\b.*?</\1>", " ", self.html, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())

    @property
    def form_token(self) -> str:
        """Token that the page's forms repeat."""
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.html)
        assert found, "the page has no form"
        return found[1]


class Browser:
    """Asks a dashboard for pages; without cookies, scripts or redirects."""

    def __init__(self, settings: Settings, target: Target, *, is_local: bool = True) -> None:
        self._client = Client(build_app(settings, target, host="127.0.0.1", is_local=is_local, shall_end=lambda: False))

    def get(self, path: str, **headers: str) -> Shown:
        """Return a page."""
        return self._ask("GET", path, b"", headers)

    def post(self, path: str, form: Mapping[str, str], **headers: str) -> Shown:
        """Send a form, and return the answer."""
        return self._ask("POST", path, urlencode(form).encode(), {"content_type": FORM, **headers})

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Shown:
        named = {"host": HOST, **headers}
        answer: Answer = asyncio.run(self._client.ask(method, path, [body], **named))
        return Shown(answer.status, answer.headers, answer.body.decode())
