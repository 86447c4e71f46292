"""Live stream: one poll for all viewers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.web.dashboard.live import Live
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes

VIEWERS = 120


class Reader:
    """Stands for the database: each poll shows another number of spans."""

    def __init__(self) -> None:
        self.polls = 0

    async def read(self, *_: Any) -> dict[str, str]:
        """Return the parts of a page."""
        self.polls += 1
        return {"health": f"<p>{self.polls} spans", "version": "1"}


async def _until(viewer: AsyncIterator[str], text: str) -> str:
    async for event in viewer:
        if text in event:
            return event
    raise AssertionError("the stream ended")


def test_one_poll_serves_all_viewers_with_one_event():
    """Lost: a hundred open pages read the database a hundred times per second."""
    reader: Any = Reader()

    async def watch() -> list[str]:
        live = Live(reader, Settings({}), Minutes(), lambda: False)
        viewers: list[Any] = [live.stream() for _ in range(VIEWERS)]
        seen = await asyncio.gather(*(_until(viewer, "2 spans") for viewer in viewers))
        for viewer in viewers:
            await viewer.aclose()
        return seen

    seen = asyncio.run(asyncio.wait_for(watch(), 60))
    assert reader.polls == 2
    # Unchanged parts are not sent again.
    assert json.loads(seen[0].removeprefix("data: ")) == {"health": "<p>2 spans"}
    assert len(seen) == VIEWERS
    assert {id(event) for event in seen} == {id(seen[0])}
