"""Spans whose names are images, links and HTML, and the asset pages that show them in a browser.

Belongs here: bottlenecks with such names, an asset without escaping, showing all Markdown of a page.
Does not: expected results (accept_browser).
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from benchmarks.browser import Page
from benchmarks.deployed import Deployed
from leo_telemetry_pipeline.defs.jobs import insights_job
from leo_telemetry_pipeline.store.days import milliseconds

# As Markdown, each loads an image or is a link or HTML.
_NAMES = (
    "![x]({0}/a.png)",
    '<img src="{0}/b.png">',
    "a|b ![x]({0}/c.png) | `![x]({0}/d.png)`",
    "{0}/e.png www.example.org",
)
CONTROL = "/control.png"
_LOOKED_AT_S = 1.0
# A page that shows no Markdown within this time has none.
_LOADS_S = 8
_FOLLOWS_S = 300
_MARKDOWN = (
    "[...document.querySelectorAll('*')].filter((one) => !one.children.length && one.innerText === '[Show Markdown]')"
)
_SHOWN = "document.querySelectorAll('.dagster-markdown')"
_CLOSED = """
(() => {
  for (const one of document.querySelectorAll('[role=dialog] button')) one.innerText.trim() === 'Close' && one.click();
  return !document.querySelector('[role=dialog]');
})()
"""
_REPORT = """
import json
import sys
import dagster as dg
from leo_telemetry_pipeline import execution
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server import database
with database.opened(Settings()) as target, execution.instance(target, Settings()) as instance:
    for asset, text in json.load(sys.stdin).items():
        shown = dg.MetadataValue.md(text)
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, metadata={"shown": shown}))
"""


def names(origin: str) -> list[str]:
    """Return names that load images from an origin."""
    return [name.format(origin) for name in _NAMES]


def make_slow(dev: Deployed, origin: str) -> None:
    """Store bottlenecks whose names load images from an origin, and analyse them."""
    slow = names(origin)
    start = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
    spans = [
        {
            "trace_id": f"{place:08x}-0000-4000-8000-{number:012x}",
            "span_id": f"{place:08x}-0000-4000-8000-{number:012x}",
            "span_type": "gate",
            "span_name": name,
            "start_time_ms": milliseconds(start) + number,
            "duration_ms": 5_000,
            "attributes": {"sd_type": name},
        }
        for place, name in enumerate(slow)
        for number in range(30)
    ]
    for name in slow:
        dev.rows(
            "INSERT INTO telemetry_thresholds (dimension_type, dimension_key, baseline_p50_ms, multiplier)"
            " VALUES ('gate', %s, 100, 2.0)",
            name,
        )
    ours = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli"]
    _finish(dev, [*ours, "import", "-"], "\n".join(map(json.dumps, spans)))
    _finish(dev, [*ours, "analyze"])


def report(dev: Deployed, texts: Mapping[str, str]) -> None:
    """Report assets to Dagster, each with Markdown metadata."""
    _finish(dev, [sys.executable, "-P", "-W", "ignore", "-c", _REPORT], json.dumps(dict(texts)))


def _finish(dev: Deployed, command: list[str], given: str = "") -> None:
    done = subprocess.run(
        command, input=given, env=dev.environment, cwd="/", text=True, timeout=600, capture_output=True
    )
    if done.returncode:
        raise RuntimeError(f"{command[-1][:80]}: {done.stderr[-1000:]}")


def wait_for_insights(dev: Deployed) -> None:
    """Wait until the daemon has run the insights after the analysis. Raises TimeoutError."""
    give_up = time.monotonic() + _FOLLOWS_S
    sql = "SELECT count(*) FROM runs WHERE pipeline_name = %s AND status = 'SUCCESS'"
    while not dev.rows(sql, insights_job.name, of_dagster=True)[0][0]:
        if time.monotonic() > give_up:
            raise TimeoutError(f"{insights_job.name} has not succeeded")
        time.sleep(0.5)


def show_markdown(page: Page) -> int:
    """Wait for a page of the UI, show each of its Markdown texts, and return their number."""
    page.until("document.readyState === 'complete' && document.body.innerText.length > 200")
    give_up = time.monotonic() + _LOADS_S
    while time.monotonic() < give_up and not page.run(f"{_MARKDOWN}.length + {_SHOWN}.length"):
        time.sleep(0.2)
    time.sleep(_LOOKED_AT_S)
    count = page.run(f"{_MARKDOWN}.length")
    for place in range(count):
        # Click again if the page replaced the element meanwhile.
        page.until(f"!!document.querySelector('[role=dialog]') || ({_MARKDOWN}[{place}].click(), false)")
        time.sleep(_LOOKED_AT_S)
        page.until(_CLOSED)
    return count + page.run(f"{_SHOWN}.length")
