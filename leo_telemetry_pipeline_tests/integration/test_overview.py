"""Overview of the dashboard in this process, with a real database."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import open_spans, runs
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    analyse,
    analyse_queued,
    configure,
    execute,
    insert,
    midnight,
    one,
    queued,
    row_of,
    running,
    span,
    spans_of,
)  # fmt: skip
from leo_telemetry_pipeline_tests.dashboard_client import Browser, Shown
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE
from leo_telemetry_pipeline_tests.processes import until
from leo_telemetry_pipeline_tests.receiver_client import close_database
from leo_telemetry_pipeline_tests.servers import Server


@pytest.fixture
def browser(settings: Settings, target: Target) -> Browser:
    """Open the dashboard of the test's database."""
    return Browser(settings, target)


def test_a_new_installation_says_how_to_send_spans(browser: Browser):
    """Lost: the first thing that a new user sees is an empty page."""
    page = browser.get("/")
    assert page.status == 200
    assert "No spans yet" in page.text
    assert "leo-telemetry hook install --spans" in page.text
    assert "Last analysis none yet" in page.text


def test_with_spans_and_no_analysis_it_names_the_command_that_runs_one(browser: Browser, db: Database):
    """Lost: a user waits for findings that nobody computes."""
    insert(db, spans_of("gate", "A", [1000] * 3, at=datetime.now(UTC)))
    page = browser.get("/")
    assert "Run one now: leo-telemetry analyze" in page.text
    assert "Spans, last hour 3" in page.text
    assert "gate:A 1s" in page.text


def test_it_shows_what_is_slow_since_when_why_and_what_is_done(browser: Browser, db: Database):
    """Lost: people do not learn from the page what they opened it for."""
    for day in range(1, 30):
        at = midnight(day) + timedelta(hours=3)
        insert(db, spans_of("gate", "SLOWER", [1000 if day > 5 else 3500] * 10, at=at))
    row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))
    page = browser.get("/")
    assert "3.5x gate:SLOWER 3.5s instead of 1s" in page.text
    assert f"{midnight(5):since %a} {midnight(5).day} {midnight(5):%b}" in page.text
    assert "Where the added time goes: own time" in page.text
    assert "open no directive yet" in page.text
    assert page.html.count("<polyline") == 1
    item = one(db, "SELECT id FROM continuous_improvements")
    execute(
        db,
        'SELECT set_config(\'leo_telemetry.transition\', \'{"actor": "ann", "reason": "mine"}\', true);'
        " UPDATE continuous_improvements SET status = 'IN_PROGRESS' WHERE id = %s",
        (item,),
    )
    assert "in progress by ann" in browser.get("/").text


def test_of_what_the_slow_spans_show_the_first_is_on_the_page(browser: Browser, db: Database):
    """Lost: the two versions between which a step lies are known, and nobody sees them."""
    shows = ["head_sha 3fa9c1d04b12 was fast, 88be2103c77a is slow", "more spans"]
    slow = {"dimension_type": "gate", "dimension_key": "A", "ratio": 2.0, "multiplier": 1.5, "measured": shows}
    slow |= {"observed_p50_ms": 2000.0, "baseline_p50_ms": 1000.0}
    run_id, mine = running(db)
    with db.transaction() as cursor:
        assert runs.finish(cursor, run_id, mine, "SUCCEEDED", "COMPLETED", output_ref={"bottlenecks": [slow]})
    page = browser.get("/").text
    assert f"What its spans show: {shows[0]}" in page
    assert shows[1] not in page


def test_when_nothing_is_slow_it_says_so_and_how_much_was_judged(browser: Browser, db: Database):
    """Lost: an empty list that may mean that nothing is measured."""
    configure(db, "gate", None, 1000, 2)
    insert(db, spans_of("gate", "A", [1000] * 20))
    analyse_queued(db)
    assert "Nothing is slower than normal. 1 dimensions in 20 traces were judged." in browser.get("/").text


def test_operations_in_progress_and_a_waiting_analysis_are_shown(browser: Browser, db: Database):
    """Lost: nobody sees that work hangs, or that an analysis is on its way."""
    queued(db)
    assert "Next one queued" in browser.get("/").text
    running(db)
    open_spans.announce(db, [span("gate", "HANGS", None)], [], host="h", pid=1)
    page = browser.get("/")
    assert "Next one running" in page.text
    assert "gate:HANGS" in page.text


def test_hostile_names_are_text(browser: Browser, db: Database):
    """Lost: a sender of spans runs scripts in every reader's browser, or sends readers elsewhere."""
    configure(db, "gate", None, 1, 2)
    for name in HOSTILE:
        if name.strip("\x00 ") and "\ud800" not in name:
            insert(db, spans_of("gate", name.replace("\x00", ""), [100] * 10))
    analyse_queued(db)
    page = browser.get("/")
    assert page.status == 200
    assert_inert(page)


def assert_inert(page: Shown) -> None:
    """Check that no name became an element, and that no character reorders the page."""
    assert "<img src=http" not in page.html
    assert 'href="http' not in page.html
    assert not {"\u202e", "\u2066", "\x1b"} & set(page.html)


def test_the_page_says_that_the_database_is_away_and_works_again_when_it_is_back(
    browser: Browser, server: Server, target: Target
):
    """Lost: a page that shows an error until somebody restarts the server."""
    assert browser.get("/").status == 200
    close_database(server, target, closed=True)
    try:
        page = browser.get("/")
        assert page.status == 503
        assert "The database does not answer" in page.text
        assert 'http-equiv="refresh"' in page.html
    finally:
        close_database(server, target, closed=False)
    until(lambda: browser.get("/").status == 200, "the page is back")


def test_every_answer_forbids_scripts_and_frames_of_others(browser: Browser):
    """Lost: a name that slips through escaping could load scripts, or a page could frame ours."""
    for path in ("/", "/nothing", "/login"):
        policy = browser.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")


def test_an_unknown_page_is_a_page(browser: Browser):
    """Lost: a wrong link ends in a line of JSON."""
    page = browser.get("/nothing")
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text


def test_the_api_answers_the_model_of_the_page(browser: Browser, db: Database):
    """Lost: scripts would read HTML, or a second version of the numbers."""
    configure(db, "gate", None, 100, 2)
    insert(db, spans_of("gate", "A", [1000] * 20))
    analyse_queued(db)
    answer = browser.get("/api/v1/overview")
    assert answer.headers["content-type"] == "application/json"
    [cause] = json.loads(answer.html)["causes"]
    assert (cause["name"], cause["ratio"], cause["item"]["status"]) == ("gate:A", 10, "OPEN")
    described = json.loads(browser.get("/api/v1/openapi.json").html)
    assert "/api/v1/overview" in described["paths"]
    assert set(cause) == set(described["components"]["schemas"]["Cause"]["properties"])


def test_the_api_answers_problems_as_json(browser: Browser):
    """Lost: a script that gets a page in place of an error."""
    for path, headers, status in [
        ("/api/v1/nothing", {}, 404),
        ("/api/v1/overview", {"host": "evil.example"}, 403),
        ("/api/v1/overview", {"origin": "http://evil.example"}, 403),
    ]:
        answer = browser.get(path, **headers)
        assert answer.status == status
        assert set(json.loads(answer.html)) == {"error"}
