"""The dashboard of ``serve`` in Chromium, on the demo's history, walked as a person would."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Browser, Page, expect
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
    expect(worst).to_contain_text(re.compile(r"\b(3\.\d|4(\.\d)?)x"))
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


def test_a_page_whose_request_failed_catches_up_by_itself(tab: Tab, served: Served):
    """Lost: after one lost answer, a page shows old figures until the next change, as if they were current."""
    tab.open("/runs")
    rows = tab.page.locator("#main tbody tr")
    before = rows.count()
    tab.page.route("**/runs", lambda route: route.abort())
    with closing(processes.inside(served.home)) as db, tab.page.expect_event("requestfailed", timeout=PATIENCE_MS):
        runs.enqueue(db)
    expect(rows).to_have_count(before)
    tab.page.unroute("**/runs")
    expect(rows).to_have_count(before + 1, timeout=PATIENCE_MS)
    assert run(served.home, "worker", "--once").code == 0


@pytest.mark.parametrize("mode", ["light", "scripts off"])
def test_a_person_acts_on_an_item(engine: Browser, served: Served, mode: str):
    """Lost: a finding that a person has seen, or decided against, still looks as if nobody had."""
    with chromium.tab(engine, f"http://127.0.0.1:{served.port}", mode) as opened:
        page = opened.page
        opened.open("/items?state=open")
        page.locator("tbody tr").last.locator("a").first.click()
        address, item = page.url, page.locator("aside")
        sign(page, "I look at it")
        page.get_by_role("button", name="Acknowledge").click()
        expect(page).to_have_url(address)
        expect(page.locator("#main .state").first).to_have_text("acknowledged")
        expect(page.get_by_role("region", name="History", exact=True)).to_contain_text("I look at it")
        sign(page, "It is slow on purpose")
        item.get_by_role("button", name="Dismiss").click()
        expect(page.locator("#main .state").first).to_have_text("dismissed")
        expect(page.get_by_role("region", name="History", exact=True)).to_contain_text("It is slow on purpose")
        assert opened.wrong == []


def test_a_person_approves_a_directive(tab: Tab):
    """Lost: drafted work that nobody can start where they read it."""
    tab.open("/directives?state=draft")
    tab.page.locator("tbody a").first.click()
    sign(tab.page, "It costs us hours")
    tab.page.get_by_role("button", name="Approve").click()
    expect(tab.page.locator("#main .state").first).to_have_text("active")
    expect(tab.page.get_by_role("region", name="History", exact=True)).to_contain_text("It costs us hours")
    assert tab.wrong == []


def test_analyze_now_is_answered_and_its_end_shows_without_a_reload(tab: Tab, served: Served):
    """Lost: who presses the button does not learn whether anything happened."""
    tab.open("/runs")
    tab.page.get_by_role("button", name="Analyze now").click()
    newest = tab.page.locator("tbody tr").first
    expect(tab.page.locator(".notice")).to_be_visible()
    expect(newest).to_contain_text("queued")
    assert run(served.home, "worker", "--once").code == 0
    expect(newest).to_contain_text("succeeded", timeout=PATIENCE_MS)
    assert tab.wrong == []


def sign(page: Page, reason: str) -> None:
    """Fill in who acts, and why."""
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Reason").fill(reason)


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


# Last: the first answers after an outage may still say so.
def test_an_outage_of_the_database_shows_and_the_page_recovers_by_itself(tab: Tab, served: Served):
    """Lost: a page left open over an outage shows old figures as if they were current, or for ever."""
    tab.open("/")
    tab.page.evaluate("window.isTheSame = true")
    offline, main = tab.page.locator("#offline"), tab.page.locator("#main")
    with processes.database_away(served.home):
        expect(offline).to_contain_text("The database does not answer", timeout=PATIENCE_MS)
        expect(main.locator(".causes tbody tr")).not_to_have_count(0)
    expect(offline).to_be_hidden(timeout=PATIENCE_MS)
    assert served.post(receiver_process.as_json("after the outage")) == 200
    expect(tab.page.locator("#finished")).to_contain_text("after the outage", timeout=PATIENCE_MS)
    assert tab.page.evaluate("window.isTheSame") is True


def test_a_page_opened_during_an_outage_becomes_the_one_that_was_asked_for(tab: Tab, served: Served):
    """Lost: who opens a page at the wrong moment sees an error for as long as they look."""
    with processes.database_away(served.home):
        assert tab.open("/items") == 503
        expect(tab.page.locator("h1")).to_have_text("The database does not answer")
    expect(tab.page.locator("h1")).to_have_text("Improvement items", timeout=PATIENCE_MS)
