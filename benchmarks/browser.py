"""Headless Chromium, controlled over a pipe by its DevTools protocol.

Belongs here: starting and ending it, opening pages, running scripts, recording requests.
Does not: pages (attack_page), expectations.
"""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Chromium expects the pipe at file descriptors 3 and 4.
_EXEC = (
    "import os, sys; [(os.dup2(here, there), os.close(here)) for here, there in (({0}, 3), ({1}, 4))]; "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
_OUT_OF_THE_WAY = 10
_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
PATIENCE_S = 300.0


def program() -> str | None:
    """Return Chromium's command, or None if it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@dataclass(frozen=True)
class Answered:
    """A response to a request of a page, even if its script may not read it."""

    url: str
    status: int


@dataclass
class Page:
    """A tab with its requested URLs, URLs by request id, and response statuses by request id."""

    browser: "Browser"
    session: str
    requested: list[str] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    statuses: list[tuple[str, int]] = field(default_factory=list)

    @property
    def answered(self) -> list[Answered]:
        """The responses so far; Chromium may report a response before its request."""
        return [Answered(self.urls.get(number, "unknown"), status) for number, status in self.statuses]

    def open(self, url: str) -> None:
        """Navigate to an address as if typed."""
        self.browser.call("Page.navigate", self.session, url=url)

    def run(self, script: str) -> Any:
        """Run a script in the page and return its value as JSON. Raises RuntimeError."""
        done = self.browser.call(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"])[:2000])
        return done["result"].get("value")

    def until(self, script: str) -> Any:
        """Run a script repeatedly until its value is true. Raises TimeoutError."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            # A loading page has no context to run a script in.
            try:
                found = self.run(script)
            except RuntimeError:
                found = None
            if found:
                return found
            time.sleep(0.2)
        raise TimeoutError(
            f"{script}: never true at {self.run('location.href + document.body.innerText.slice(0, 800)')}"
        )

    def resize(self, width: int, height: int) -> None:
        """Set the size of the tab in CSS pixels, which equal screenshot pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.call("Emulation.setDeviceMetricsOverride", self.session, **size)

    def around(self, rectangles: str, margin: int) -> dict[str, float]:
        """Return the bounding box of the rectangles of a script, with a margin."""
        script = f"JSON.stringify([...{rectangles}].map(({{left, top, right, bottom}}) => [left, top, right, bottom]))"
        left, top, right, bottom = zip(*json.loads(self.run(script)), strict=True)
        x, y = max(min(left) - margin, 0), max(min(top) - margin, 0)
        return {"x": x, "y": y, "width": max(right) + margin - x, "height": max(bottom) + margin - y, "scale": 1}

    def picture(self, to: Path, of: dict[str, float] | None = None) -> None:
        """Save a screenshot of the tab, or of a part of it, as PNG."""
        part = {} if of is None else {"clip": of}
        to.write_bytes(base64.b64decode(self.browser.call("Page.captureScreenshot", self.session, **part)["data"]))


class Browser:
    """A synchronous client of the DevTools protocol."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._numbers = itertools.count(1)
        self._pages: dict[str, Page] = {}
        self._left = b""

    def page(self) -> Page:
        """Open an empty tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._pages[session] = page = Page(self, session)
        for domain in ("Network", "Page", "Runtime"):
            self.call(f"{domain}.enable", session)
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result. Raises RuntimeError and TimeoutError."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            if not select.select([self._reading], [], [], PATIENCE_S)[0]:
                raise TimeoutError("Chromium does not answer")
            arrived = os.read(self._reading, 1 << 20)
            if not arrived:
                raise RuntimeError("Chromium has ended")
            self._left += arrived
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        page, of = self._pages.get(event.get("sessionId", "")), event.get("params", {})
        if page is None:
            return
        if event["method"] == "Network.requestWillBeSent":
            page.requested.append(of["request"]["url"])
            page.urls[of["requestId"]] = of["request"]["url"]
        elif event["method"] == "Network.webSocketCreated":
            page.requested.append(of["url"])
        elif event["method"] == "Network.responseReceivedExtraInfo":
            # Includes responses that the page may not read.
            page.statuses.append((of["requestId"], of["statusCode"]))


@contextmanager
def chromium(folder: Path, *arguments: str) -> Iterator[Browser]:
    """Run Chromium with a profile in a new folder until the block ends. Raises FileNotFoundError."""
    command = program()
    if command is None:
        raise FileNotFoundError("Chromium is not installed: install it (Debian: chromium)")
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    given = [fcntl.fcntl(end, fcntl.F_DUPFD, _OUT_OF_THE_WAY) for end in (theirs_in, theirs_out)]
    started = [sys.executable, "-c", _EXEC.format(*given), command, *_QUIET, f"--user-data-dir={folder}", *arguments]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*started, "about:blank"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=given, cwd="/"
        )
    for end in (*given, theirs_in, theirs_out):
        os.close(end)
    try:
        yield Browser(ours_in, ours_out)
    finally:
        os.close(ours_out)
        os.close(ours_in)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
