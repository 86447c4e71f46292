"""Screenshots in docs/images of the demo in the dashboard and the Dagster UI, with Chromium: ``make screenshots``.

Belongs here: the page and area of each screenshot. Does not: what is shown (benchmarks.deployed), the browser
(benchmarks.browser).
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

from benchmarks import browser, deployed, measure
from benchmarks.browser import Page
from benchmarks.deployed import Deployed
from leo_telemetry_pipeline.defs.names import OURS, PREFIX

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
EXPANDED = tuple(OURS + group for group in ("traces", "findings", "insights"))
_LAST_ASSET = "threshold_suggestions"
# An asset of the last group whose name the graph does not shorten.
_LAST_DRAWN = "learned_baselines"
_SETTLES_S = 5
_DASHBOARD = (1440, 900)
_MARGIN = 24
_PREFERENCES = {"asset-graph-direction": "vertical", "asset-node-facets": ["checks", "status"]}
# Rectangles of the groups and assets in Dagster's graph.
_GRAPH = "[...document.querySelectorAll('svg foreignObject > *')].map((one) => one.getBoundingClientRect())"
_DIALOG = "[...document.querySelectorAll('[role=dialog] > *')].map((one) => one.getBoundingClientRect())"
_SHOW = """
(() => {
  const name = 'observed against baseline';
  const leaf = (one) => !one.children.length && one.innerText === '[Show Markdown]';
  const row = [...document.querySelectorAll('tr')].find((one) => one.innerText.startsWith(name));
  const link = row && [...row.querySelectorAll('*')].find(leaf);
  link && link.click();
  return Boolean(link);
})()
"""
_IS_DRAWN = "[...document.querySelectorAll('[role=dialog] img')].some((one) => one.complete && one.naturalWidth)"
_INSIGHTS = "{{assetsLatestInfo(assetKeys: [{{path: {path}}}]) {{latestMaterialization {{timestamp}}}}}}"


def main() -> None:
    """Run the demo in a new home and take all screenshots."""
    with measure.home() as home:
        environ = measure.environment(LEO_TELEMETRY_HOME=str(home))
        subprocess.run([sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "demo"], env=environ, check=True)
        with deployed.dev(home / "demo") as dev, browser.chromium(home.with_name("chromium")) as chromium:
            _wait_for_insights(dev)
            page = chromium.page()
            address = f"http://127.0.0.1:{dev.ui_port}"
            _prefer(page, address)
            _dashboard(page, f"http://127.0.0.1:{dev.otlp_port}")
            _assets(page, address)
            _bottlenecks(page, address)


def _wait_for_insights(dev: Deployed) -> None:
    query = _INSIGHTS.format(path=json.dumps([PREFIX, _LAST_ASSET]))
    give_up = time.monotonic() + browser.PATIENCE_S
    while not dev.query(query)["assetsLatestInfo"][0]["latestMaterialization"]:
        if time.monotonic() > give_up:
            raise TimeoutError("no insights followed the demo's analysis")
        time.sleep(1)


def _prefer(page: Page, address: str) -> None:
    """Set UI preferences: short nodes, so that their names fit."""
    page.open(f"{address}/server_info")
    page.until("location.pathname === '/server_info'")
    for name, value in _PREFERENCES.items():
        page.run(f"localStorage.setItem({json.dumps(name)}, {json.dumps(json.dumps(value))})")


def _assets(page: Page, address: str) -> None:
    page.resize(1900, 1800)
    page.open(f"{address}/asset-groups?expanded={','.join(f'global@global:{group}' for group in EXPANDED)}")
    page.until(f"document.body.innerText.includes('{_LAST_DRAWN}') && !document.body.innerText.includes('Loading')")
    time.sleep(_SETTLES_S)
    page.picture(IMAGES / "assets.png", page.around(_GRAPH, _MARGIN))


def _bottlenecks(page: Page, address: str) -> None:
    page.resize(1500, 1000)
    page.open(f"{address}/assets/{PREFIX}/bottlenecks")
    page.until(_SHOW)
    page.until(_IS_DRAWN)
    time.sleep(_SETTLES_S)
    page.picture(IMAGES / "bottlenecks.png", page.around(_DIALOG, 0))


def _dashboard(page: Page, address: str) -> None:
    """Take a screenshot of every page of the dashboard, about the demo's worst finding."""
    page.open(f"{address}/readyz")
    page.until("location.pathname === '/readyz'")
    cause = json.loads(page.run("fetch('/api/v1/overview').then((answer) => answer.text())"))["causes"][0]
    paths = {
        "": "/",
        "-dimensions": "/dimensions",
        "-dimension": f"/dimension?{urlencode({'name': cause['name']})}",
        "-trace": f"/trace/{cause['evidence'][0]}",
        "-items": "/items",
        "-item": f"/items/{cause['item']['id']}",
        "-directives": "/directives",
        "-directive": f"/directives/{cause['work']['sd_key']}",
        "-runs": "/runs",
        "-thresholds": "/thresholds",
        "-threshold": f"/threshold?{urlencode({'name': cause['name']})}",
    }
    page.resize(*_DASHBOARD)
    for name, path in paths.items():
        page.open(address + path)
        page.until(f"document.readyState === 'complete' && location.pathname === {json.dumps(path.partition('?')[0])}")
        page.picture(IMAGES / f"dashboard{name}.png")


if __name__ == "__main__":
    main()
