"""Chromium without a window, told what to do over a pipe: what a page can do that no imitation of a browser shows.

Belongs here: starting and ending it, opening pages, running their scripts, the requests they make.
Does not: any page (attack_page), any expectation.
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
# The pipe has fixed numbers there, which may be anything here.
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
    """Return Chromium's command, or None where it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@dataclass(frozen=True)
class Answered:
    """A response to a request of a page, whether or not its script may see it."""

    url: str
    status: int


@dataclass
class Page:
    """A tab: what it has requested, by what numbers, and what was answered."""

    browser: "Browser"
    session: str
    requested: list[str] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    statuses: list[tuple[str, int]] = field(default_factory=list)

    @property
    def answered(self) -> list[Answered]:
        """The answers so far; Chromium may tell of one before it tells of its request."""
        return [Answered(self.urls.get(number, "unknown"), status) for number, status in self.statuses]

    def open(self, url: str) -> None:
        """Go to an address as somebody does who types it."""
        self.browser.call("Page.navigate", self.session, url=url)

    def run(self, script: str) -> Any:
        """Run a script in the page; return what it comes to, as JSON can hold it. Raises RuntimeError."""
        done = self.browser.call(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"])[:2000])
        return done["result"].get("value")

    def until(self, script: str) -> Any:
        """Run a script again and again until it comes to something true. Raises TimeoutError."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            # While a page is being loaded, there is nothing to run it in.
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
        """Give the tab a size in CSS pixels, each of which is a pixel of its screenshots."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.call("Emulation.setDeviceMetricsOverride", self.session, **size)

    def around(self, rectangles: str, margin: int) -> dict[str, float]:
        """Return the part of the tab that holds the rectangles of a script and a margin."""
        script = f"JSON.stringify([...{rectangles}].map(({{left, top, right, bottom}}) => [left, top, right, bottom]))"
        left, top, right, bottom = zip(*json.loads(self.run(script)), strict=True)
        x, y = max(min(left) - margin, 0), max(min(top) - margin, 0)
        return {"x": x, "y": y, "width": max(right) + margin - x, "height": max(bottom) + margin - y, "scale": 1}

    def picture(self, to: Path, of: dict[str, float] | None = None) -> None:
        """Keep a screenshot of the tab, or of a part of it, as PNG."""
        part = {} if of is None else {"clip": of}
        to.write_bytes(base64.b64decode(self.browser.call("Page.captureScreenshot", self.session, **part)["data"]))


class Browser:
    """Commands and events of Chromium's own protocol, one after the other."""

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
        """Give a command and wait for what it comes to. Raises RuntimeError and TimeoutError."""
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
            # Also of responses that the page may not read.
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
