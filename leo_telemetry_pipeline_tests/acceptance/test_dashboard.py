"""The dashboard of ``serve`` in Chromium, on the demo's history, walked as a person would."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Browser, expect
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from benchmarks import browser
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline_tests import chromium, processes, receiver_process
from leo_telemetry_pipeline_tests.chromium import DESKTOP, MODES, Tab
from leo_telemetry_pipeline_tests.conftest import open_folder
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, need, run, sees_processes
from leo_telemetry_pipeline_tests.receiver_process import Served

pytestmark = sees_processes

# Of pages that differ only in what they are about, so many are visited.
EACH = 2
PATIENCE_MS = PATIENCE_S * 1000
# What the document promises: no failure of ours, and no answer that it does not describe.
PROMISES = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Serve the demo's database."""
    need(browser.program(), "Chromium is not installed")
    with open_folder(None) as folder:
        done = run(folder / "home", "demo")
        assert done.code == 0, done.err
        with receiver_process.serving(folder / "home" / "demo") as receiver:
            yield receiver


@pytest.fixture(scope="module")
def engine() -> Iterator[Browser]:
    """Run Chromium for all tests of this module."""
    need(browser.program(), "Chromium is not installed")
    with chromium.started() as started:
        yield started


@pytest.fixture
def tab(engine: Browser, served: Served) -> Iterator[Tab]:
    """Open a tab."""
    with chromium.tab(engine, f"http://127.0.0.1:{served.port}") as opened:
        yield opened


def kind(path: str) -> str:
    """Return what pages that differ only in their subject share."""
    first, _, rest = path.partition("?")[0].strip("/").partition("/")
    return f"/{first}{'/…' if rest else ''}"


@pytest.mark.parametrize("mode", MODES)
def test_every_page_that_a_person_can_reach_works(engine: Browser, served: Served, mode: str):
    """Lost: a dead link, an error, a page that someone cannot read, a request that tells others who looks at what."""
    seen, visited, left = {"/"}, Counter(), ["/", "/login", "/nothing"]
    with chromium.tab(engine, f"http://127.0.0.1:{served.port}", mode) as opened:
        while left:
            path = left.pop(0)
            status = opened.open(path)
            assert status == (404 if path == "/nothing" else 200), path
            expect(opened.page.locator("h1")).to_have_count(1)
            if mode != "scripts off":
                assert opened.barriers() == []
            if mode == "phone":
                assert opened.width <= 390, path
            for link in opened.links():
                if link not in seen and visited[kind(link)] < EACH:
                    seen.add(link)
                    visited[kind(link)] += 1
                    left.append(link)
        # Chromium reports the status of /nothing as an error on the console.
        assert [line for line in opened.wrong if "404" not in line] == []


def test_the_overview_answers_without_scrolling(tab: Tab):
    """Lost: who opens it for the first time does not see what is slowest, since when, why, and who is on it."""
    tab.open("/")
    assert tab.page.viewport_size == DESKTOP["viewport"]
    worst = tab.page.locator(".causes tbody tr").first
    expect(worst).to_contain_text("4x")
    expect(worst).to_contain_text("gate+sd_type:GATE_TEST_COVERAGE:refactor")
    expect(worst).to_contain_text(re.compile(r"since \w{3} \d+ \w{3}"))
    expect(worst).to_contain_text("Where the added time goes")
    expect(worst).to_contain_text("open")
    last = tab.page.locator(".causes tbody tr").last.bounding_box()
    assert last is not None
    assert last["y"] + last["height"] < 900


def test_a_span_appears_while_somebody_looks(tab: Tab, served: Served):
    """Lost: a page that is live only when it is reloaded."""
    tab.open("/")
    expect(tab.page.locator("#finished")).not_to_contain_text("appears live")
    assert served.post(receiver_process.as_json("appears live")) == 200
    expect(tab.page.locator("#finished")).to_contain_text("appears live", timeout=PATIENCE_MS)
    assert tab.wrong == []


def test_an_analysis_shows_as_queued_and_then_as_done_without_a_reload(tab: Tab, served: Served):
    """Lost: people reload a page to learn whether their analysis has ended."""
    tab.open("/")
    main = tab.page.locator("#main")
    before = main.get_attribute("data-version")
    with closing(processes.inside(served.home)) as db:
        runs.enqueue(db)
    expect(tab.page.locator("#health")).to_contain_text("queued", timeout=PATIENCE_MS)
    assert run(served.home, "worker", "--once").code == 0
    expect(tab.page.locator("#health")).not_to_contain_text("queued", timeout=PATIENCE_MS)
    expect(tab.page.locator("#health")).not_to_contain_text("running", timeout=PATIENCE_MS)
    expect(main).not_to_have_attribute("data-version", before or "", timeout=PATIENCE_MS)
    expect(tab.page.locator(".causes tbody tr")).not_to_have_count(0)
    assert tab.wrong == []


def test_the_api_answers_as_its_document_says(served: Served):
    """Lost: a script that meets an error, or an answer for which its author could not prepare."""
    described = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/api/v1/openapi.json")
    operations = [found.ok() for found in described.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == len(list(described.get_all_operations()))
    assert len(operations) > 12
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=20,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        def answers(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=PROMISES)

        answers()
