"""The dashboard in this process, and a client that reads its pages and sends its forms as a browser does."""

import asyncio
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.web.dashboard.app import build_app
from leo_telemetry_pipeline_tests.receiver_client import Answer

HOST = "127.0.0.1:4318"


class Dashboard:
    """Reads pages and sends forms."""

    def __init__(self, settings: Settings, target: Target) -> None:
        self._app = build_app(settings, target, host="127.0.0.1", is_local=True, shall_end=lambda: False)

    def get(self, path: str, **query: str) -> Answer:
        """Return the response to a request for a page."""
        return asyncio.run(self._ask("GET", path, urlencode(query).encode(), b""))

    def page(self, path: str, **query: str) -> str:
        """Return the HTML of a page that must exist."""
        answer = self.get(path, **query)
        assert answer.status == 200, answer.body.decode()
        return answer.body.decode()

    def send(self, path: str, **form: str) -> Answer:
        """Return the response to a form, which has the token of a page."""
        [token, *_] = re.findall('name="form_token" value="([0-9a-f]+)"', self.page("/runs"))
        return self.send_without_token(path, form_token=token, **form)

    def send_without_token(self, path: str, **form: str) -> Answer:
        """Return the response to a form."""
        return asyncio.run(self._ask("POST", path, b"", urlencode(form).encode()))

    def follow(self, answer: Answer) -> str:
        """Return the page that a redirection leads to."""
        assert answer.status == 303, answer.body.decode()
        to = urlsplit(answer.headers["location"])
        return asyncio.run(self._ask("GET", to.path, to.query.encode(), b"")).body.decode()

    async def _ask(self, method: str, path: str, query: bytes, body: bytes) -> Answer:
        answer = Answer()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        headers = [(b"host", HOST.encode()), (b"content-type", b"application/x-www-form-urlencoded")]
        if method == "POST":
            headers += [(b"origin", f"http://{HOST}".encode())]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": query}
        await self._app(scope | {"scheme": "http", "server": ("127.0.0.1", 4318)}, receive, send)
        return answer


def shown(page: str) -> str:
    """Return the text that people see on a page."""
    visible = re.sub(r"(?s)<script.*?</script>|<head>.*?</head>|<[^>]*>", " ", page)
    return " ".join(unescape(visible).split())


def error_of(answer: Answer) -> str:
    """Return the heading of a page that says what went wrong."""
    [title] = re.findall("<h1>(.*?)</h1>", answer.body.decode())
    return unescape(title)
