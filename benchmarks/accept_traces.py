"""A trace of 100,000 spans in Chromium: it opens within a second, and scrolls.

Belongs here: the part of line 2 of issue 17 that needs a browser. Does not: the time of the server alone
(bench_dashboard).
"""

import statistics
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import browser, dashboard_data, generate, served
from benchmarks.browser import Page
from benchmarks.figures import Figure
from leo_telemetry_pipeline.store.server.database import Database

LINE = "17.2"
MOST_KB = 60
OPENED = 5
WIDTH, HEIGHT = 1440, 900

# When the document was there, in ms after the click, and the bytes of it and of its static files.
_LOADED = """
(() => {
  const [page] = performance.getEntriesByType("navigation");
  if (!page || !page.domContentLoadedEventEnd || document.readyState !== "complete") return null;
  const files = performance.getEntriesByType("resource");
  const size = [page, ...files].reduce((sum, one) => sum + one.transferSize, 0);
  return { opened: page.domContentLoadedEventEnd, size, rows: document.querySelectorAll("table.waterfall tr").length };
})()
"""
# Scrolls to the end in steps of a frame each; the longest of them, and whether the end was reached.
_SCROLLED = """
(async () => {
  const frame = () => new Promise(requestAnimationFrame), page = document.scrollingElement;
  const most = page.scrollHeight - innerHeight;
  let longest = 0, before = await frame();
  for (let step = 1; step <= 60; step++) {
    scrollTo(0, (most * step) / 60);
    const now = await frame();
    longest = Math.max(longest, now - before);
    before = now;
  }
  return { longest, screens: most / innerHeight, end: Math.abs(page.scrollTop - most) < 2 };
})()
"""


@dataclass(frozen=True)
class Size:
    """How large the trace is, and what is allowed; only a full trial judges times."""

    spans: int
    most_ms: float
    most_frame_ms: float


SIZES = {True: Size(100_000, 1_000, 100), False: Size(3_000, 60_000, 60_000)}


def parts(full: bool) -> list[str]:  # noqa: ARG001  # the interface of trials
    """Return the names of the parts."""
    return ["in a browser"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:  # noqa: ARG001  # nothing here is drawn by chance
    """Open the trace some times, each in a new tab, and scroll it."""
    size = SIZES[full]
    with served.receiver() as receiver, TemporaryDirectory() as folder:
        with closing(Database(receiver.target())) as database:
            trace = dashboard_data.large_trace(database, size.spans)
        generate.settle(receiver.target())
        with browser.chromium(Path(folder) / "profile", f"--window-size={WIDTH},{HEIGHT}") as chromium:
            address = f"http://127.0.0.1:{receiver.port}/trace/{trace}"
            # The first visit is of an empty cache, as its size must be.
            loaded = [_opened(chromium.page(), address) for _ in range(OPENED)]
            page = chromium.page()
            _opened(page, address)
            scrolled = page.run(_SCROLLED)
    what = f"a trace of {size.spans:,} spans in Chromium"
    opened = statistics.median(one["opened"] for one in loaded)
    yield Figure(
        LINE,
        f"{what}: from the click to the whole document, median of {OPENED}",
        f"at most {size.most_ms:,.0f} ms",
        f"{opened:,.0f} ms, {loaded[0]['rows']} rows",
        opened <= size.most_ms,
    )
    kilobytes = loaded[0]["size"] / 1000
    yield Figure(
        LINE,
        f"{what}: transferred to a new visitor",
        f"at most {MOST_KB} kB",
        f"{kilobytes:.1f} kB",
        0 < kilobytes <= MOST_KB,
    )
    yield Figure(
        LINE,
        f"{what}: scrolled to its end, {scrolled['screens']:.0f} screens",
        f"reached; no frame over {size.most_frame_ms:,.0f} ms",
        f"{'reached' if scrolled['end'] else 'not reached'}; longest frame {scrolled['longest']:.0f} ms",
        scrolled["end"] and scrolled["screens"] > 0 and scrolled["longest"] <= size.most_frame_ms,
    )


def _opened(page: Page, address: str) -> dict[str, Any]:
    page.resize(WIDTH, HEIGHT)
    page.open(address)
    return page.until(_LOADED)
