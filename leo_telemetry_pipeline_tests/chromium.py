"""Chromium, driven by Playwright, and what it notices on a page: errors, requests to other hosts, barriers (axe)."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import browser

# Rules of WCAG 2.2, level AA and below.
_RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
MODES: Mapping[str, Mapping[str, Any]] = {
    "light": DESKTOP,
    "dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
    "scripts off": {**DESKTOP, "java_script_enabled": False},
}


@dataclass
class Tab:
    """A page, and what was wrong with it since it was opened."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)

    def open(self, path: str) -> int:
        """Open a path of the dashboard, and return the status."""
        response = self.page.goto(self.base + path, wait_until="load")
        assert response is not None
        return response.status

    def barriers(self) -> list[str]:
        """Return what keeps people with disabilities from using the page, as axe finds it."""
        found = Axe().run(self.page, options=_RULES)
        return [
            f"{self.page.url}: {rule['id']}: {node['html'][:120]}"
            for rule in found.response["violations"]
            for node in rule["nodes"]
        ]

    def links(self) -> list[str]:
        """Return the paths of this site that the page links to."""
        targets = [link.get_attribute("href") or "" for link in self.page.locator("a[href]:not([download])").all()]
        return [target for target in targets if re.match(r"/(?!/)", target)]

    @property
    def width(self) -> int:
        """Width of the content in CSS pixels; more than the window's if the page scrolls sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth")


@contextmanager
def started() -> Iterator[Browser]:
    """Run Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.program(), args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def tab(chromium: Browser, base: str, mode: str = "light") -> Iterator[Tab]:
    """Open a tab in a context of its own."""
    context = chromium.new_context(**MODES[mode])
    opened = Tab(context.new_page(), base)
    here = urlsplit(base).netloc

    def requested(request: Any) -> None:
        if urlsplit(request.url).netloc != here and not request.url.startswith("data:"):
            opened.wrong.append(f"request to {request.url}")

    def said(message: Any) -> None:
        if message.type in ("error", "warning"):
            opened.wrong.append(f"{message.type}: {message.text}")

    opened.page.on("request", requested)
    opened.page.on("console", said)
    opened.page.on("pageerror", lambda error: opened.wrong.append(f"exception: {error}"))
    try:
        yield opened
    finally:
        context.close()
