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
    def problem(self) -> str:
        """Heading of a page that says what went wrong."""
        found = re.search("<h1>(.*?)</h1>", self.html)
        assert found, "the page has no heading"
        return html.unescape(found[1])

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

    def page(self, path: str, **query: str) -> Shown:
        """Return a page that must exist."""
        shown = self.get(f"{path}?{urlencode(query)}" if query else path)
        assert shown.status == 200, shown.text
        return shown

    def send(self, path: str, **form: str) -> Shown:
        """Send a form with the token of a page, and return the answer."""
        return self.post(path, {"form_token": self.page("/runs").form_token, **form}, origin=f"http://{HOST}")

    def follow(self, answer: Shown) -> Shown:
        """Return the page that a redirection leads to."""
        assert answer.status == 303, answer.text
        return self.page(answer.headers["location"])

    def raw(self, path: str, **headers: str) -> Answer:
        """Return a page as its bytes."""
        return self._answer("GET", path, b"", headers)

    def _answer(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        return asyncio.run(self._client.ask(method, path, [body], **{"host": HOST, **headers}))

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Shown:
        answer = self._answer(method, path, body, headers)
        return Shown(answer.status, answer.headers, answer.body.decode())
