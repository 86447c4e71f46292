"""Live stream of the dashboard, by server-sent events.

Belongs here: one poll for all viewers, and their streams. Does not: what is read (overview), its text (the templates).

Each event carries the HTML of the parts that changed, and the version of runs, items and directives: a page that shows
another version asks for itself again. A stream ends after less time than the server allows for a response; browsers
then connect again by themselves.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import overview
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes
from leo_telemetry_pipeline.web.dashboard.reading import DatabaseGone, Reader
from leo_telemetry_pipeline.web.dashboard.rendering import render

MOST_VIEWERS = 1000
_EVERY_S = 1.0
_STREAM_S = 45.0
_RETRY_MS = 500
# Viewers are sent to in groups, within a quarter of a second.
_GROUPS, _PAUSE_S = 50, 0.005
# Names of the parts, each a template and the id of an element.
_PARTS = ("health", "running", "finished")
_AWAY = {"version": "away"}


class Live:
    """Polls the database once per second while anybody looks, and sends what changed to all viewers."""

    def __init__(self, reader: Reader, settings: Settings, minutes: Minutes, shall_end: Callable[[], bool]) -> None:
        self._reader = reader
        self._settings = settings
        self._minutes = minutes
        self._shall_end = shall_end
        self._viewers: set[asyncio.Queue[str | None]] = set()
        self._shown: dict[str, str] = {}
        self._polling: asyncio.Task | None = None

    @property
    def is_full(self) -> bool:
        """Whether there are as many viewers as may be."""
        return len(self._viewers) >= MOST_VIEWERS

    async def stream(self) -> AsyncIterator[str]:
        """Yield the events of one viewer: everything first, then what changes."""
        inbox: asyncio.Queue[str | None] = asyncio.Queue(maxsize=4)
        self._viewers.add(inbox)
        try:
            yield f"retry: {_RETRY_MS}\n\n"
            if self._polling is None:
                self._shown = {}
                self._polling = asyncio.create_task(self._poll())
            elif self._shown:
                yield _event(self._shown)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STREAM_S):
                    while (event := await inbox.get()) is not None:
                        yield event
        finally:
            self._viewers.discard(inbox)

    async def _poll(self) -> None:
        try:
            while self._viewers and not self._shall_end():
                await self._send(await self._read())
                await asyncio.sleep(_EVERY_S)
        finally:
            self._polling = None
            for inbox in self._viewers:
                _put(inbox, None)

    async def _read(self) -> dict[str, str]:
        try:
            return await self._reader.read(_rendered, self._settings, self._minutes)
        except DatabaseGone:
            return _AWAY

    async def _send(self, now: dict[str, str]) -> None:
        changed = {name: value for name, value in now.items() if self._shown.get(name) != value}
        self._shown = self._shown | now
        event, viewers = _event(changed), [*self._viewers] if changed else []
        # Not to all at once: until a hundred sockets are written to, the receiver could answer nobody.
        at_once = 1 + len(viewers) // _GROUPS
        for first in range(0, len(viewers), at_once):
            for inbox in viewers[first : first + at_once]:
                _put(inbox, event)
            await asyncio.sleep(_PAUSE_S)


def _rendered(database: Database, settings: Settings, minutes: Minutes) -> dict[str, str]:
    with database.together():
        live = overview.read_live(database, settings, minutes)
    return {name: render(f"parts/{name}.html", live=live) for name in _PARTS} | {"version": live.version}


def _event(values: dict[str, str]) -> str:
    return f"data: {json.dumps(values)}\n\n"


def _put(inbox: "asyncio.Queue[str | None]", event: str | None) -> None:
    # A viewer that does not read loses its stream; when it connects again, it gets everything.
    if inbox.full():
        while not inbox.empty():
            inbox.get_nowait()
        event = None
    inbox.put_nowait(event)
