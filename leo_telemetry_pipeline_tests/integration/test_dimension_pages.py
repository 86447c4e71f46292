"""Pages of all dimensions and of one, in this process, with a real database."""

import json
import re
from datetime import timedelta
from urllib.parse import quote, unquote

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import forecasts, runs
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    analyse,
    analyse_queued,
    configure,
    insert,
    midnight,
    new_id,
    one,
    row_of,
    span,
    spans_of,
)  # fmt: skip
from leo_telemetry_pipeline_tests.dashboard_client import Browser, Shown
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE


@pytest.fixture
def browser(settings: Settings, target: Target) -> Browser:
    """Open the dashboard of the test's database."""
    return Browser(settings, target)


def grew_slower(db: Database) -> None:
    """Analyse a gate that takes 3.5 times as long since five days, on one host alone."""
    for day in range(1, 30):
        at = midnight(day) + timedelta(hours=3)
        for host, usual in (("a", 1000), ("b", 1000)):
            took = 3500 * usual // 1000 if day <= 5 and host == "b" else usual
            made = spans_of("gate", "SLOWER", [took] * 10, at=at, attributes={"host": host, "sd_type": "docs"})
            insert(db, made)
        insert(db, spans_of("gate", "STEADY", [500] * 10, at=at))
    row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))


def slow_gate(db: Database) -> str:
    """Analyse a gate that is slow by a configured baseline, and return the run."""
    configure(db, "gate", None, 100, 2)
    insert(db, spans_of("gate", "A", [1000] * 20, at=midnight(1) + timedelta(hours=1)))
    insert(db, spans_of("gate", "B", [150] * 30, at=midnight(1) + timedelta(hours=1)))
    return row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()})).run_id


def names(page: Shown) -> list[str]:
    """Return the dimensions that a list links to, in order."""
    return [unquote(part.partition('"')[0]) for part in page.html.split('href="/dimension?name=')[1:]]


def test_without_an_analysis_both_pages_name_the_command_that_runs_one(browser: Browser):
    """Lost: an empty page that does not say what is missing."""
    page = browser.get("/dimensions")
    assert page.status == 200
    assert "Run one now: leo-telemetry analyze" in page.text
    page = browser.get("/dimension?name=gate:A")
    assert page.status == 404
    assert "Run one now: leo-telemetry analyze" in page.text
    assert "leo-telemetry analyze --project web" in browser.get("/dimensions?project=web").text


def test_an_analysis_without_spans_says_so(browser: Browser, db: Database):
    """Lost: a table with a heading and nothing below it."""
    analyse_queued(db)
    assert "The last analysis found no spans" in browser.get("/dimensions").text


def test_the_list_is_sorted_by_time_lost_and_can_be_searched_and_filtered(browser: Browser, db: Database):
    """Lost: among thousands of names, nobody finds the one that costs most."""
    slow_gate(db)
    page = browser.get("/dimensions")
    assert names(page) == ["gate:A", "gate:B"]
    assert "gate:A a bottleneck" in page.text
    assert "10x 1s 100ms 20 20s 18s" in page.text
    assert names(browser.get("/dimensions?sort=total&outcome=slow")) == ["gate:A"]
    assert names(browser.get("/dimensions?q=E:b")) == ["gate:B"]
    assert names(browser.get("/dimensions?type=phase")) == []
    assert "No dimension is like that" in browser.get("/dimensions?q=100%25_").text
    assert names(browser.get("/dimensions?outcome=nonsense&sort=nonsense")) == ["gate:A", "gate:B"]


@pytest.mark.parametrize("sort", ["lost", "ratio", "total"])
def test_every_dimension_is_on_exactly_one_page_of_the_list(browser: Browser, db: Database, sort: str):
    """Lost: following Next skips dimensions, or shows some twice."""
    configure(db, "gate", None, 100, 2)
    for number in range(90):
        insert(db, spans_of("gate", f"G:{number}", [100 + 100 * (number % 3)] * 10))
    analyse_queued(db)
    path, seen = f"/dimensions?sort={sort}", []
    while path:
        page = browser.get(path)
        seen.append(names(page))
        path = page.html.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert [len(part) for part in seen] == [50, 40]
    assert sorted(name for part in seen for name in part) == sorted(f"gate:G:{number}" for number in range(90))


def test_a_dimension_shows_its_days_its_judgement_and_its_item(browser: Browser, db: Database):
    """Lost: a person sees that a gate is slow, and not since when, by how much, and what is being done."""
    grew_slower(db)
    page = browser.get("/dimension?name=gate%2Bsd_type:SLOWER:docs")
    assert page.status == 200
    page = browser.get("/dimension?name=gate:SLOWER")
    since = midnight(5).date()
    assert "It is a bottleneck" in page.text
    assert f"Changed: +125 % since {since}" in page.text
    assert 'class="episode"' in page.html
    assert f'<a href="/items/{one(db, "SELECT id FROM continuous_improvements")}">' in page.html
    assert f"{midnight(6).date()} 20 1s 1s" in page.text
    assert "baseline 1s, learned from" in page.text
    assert "host=b" in page.text
    assert "leo-telemetry why gate:SLOWER" in page.text
    assert f"now: {since} to {midnight(1).date()}, 100 spans" in page.text
    trace = one(db, "SELECT evidence_trace_ids[1] FROM dimension_p50 WHERE dimension_key = 'SLOWER'")
    assert f'href="/trace/{trace}"' in page.html
    steady = browser.get("/dimension?name=gate:STEADY")
    assert "It is not a bottleneck" in steady.text
    assert "No change of level in these days" in steady.text


def test_a_forecast_is_drawn_after_the_last_day(browser: Browser, db: Database):
    """Lost: the page shows where a dimension was, and not where it goes."""
    run_id = slow_gate(db)
    ahead = Expected(7, midnight(-7).date(), 0.9, 1100.0, 900.0, 1400.0, "")
    forecasts.put(db, run_id, [("gate", "A", ahead)])
    page = browser.get("/dimension?name=gate:A")
    assert '<polygon class="forecast"' in page.html
    assert "in 7 days: a bottleneck with a probability of 90%" in page.text
    assert f"{ahead.day} 1.1s 900ms 1.4s" in page.text


def test_it_is_compared_with_another_dimension_and_with_earlier_days(browser: Browser, db: Database):
    """Lost: people compare by eye, across two tabs with two axes."""
    grew_slower(db)
    page = browser.get("/dimension?name=gate:SLOWER&with=gate:STEADY")
    assert 'class="other"' in page.html
    assert "P50 of gate:STEADY" in page.text
    assert re.search(r"P50 500ms (1s|99\dms) (1.99|2.0\d)x .* slower", page.text)
    page = browser.get(f"/dimension?name=gate:STEADY&before={midnight(7).date()}")
    assert f"P50 before {midnight(7).date()}" in page.text
    assert "P50 500ms 500ms 1.00x" in page.text
    page = browser.get("/dimension?name=gate:STEADY&with=gate:NOTHING")
    assert "One of the two has no spans" in page.text


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_any_day_can_be_asked_for(browser: Browser, db: Database, day: str):
    """Lost: a typing error in the year is an error of the server."""
    slow_gate(db)
    assert browser.get(f"/dimension?name=gate:A&before={day}").status == 200


def test_what_does_not_exist_is_said_with_what_to_do(browser: Browser, db: Database):
    """Lost: an old link ends in an error that nobody can act on."""
    slow_gate(db)
    for query, words in [
        ("name=gate:NOTHING", "gate:NOTHING has no spans in the last 90 days"),
        ("name=", "is not a dimension: write its type and key"),
        ("name=gate:A&before=yesterday", "'yesterday' is not a day: write it as 2026-02-28"),
        ("name=gate:A&with=B", "'B' is not a dimension"),
        ("name=gate:A%00", "has no spans"),
    ]:
        page = browser.get(f"/dimension?{query}")
        assert page.status == 404, query
        assert words in page.text


def test_a_project_has_pages_of_its_own(browser: Browser, db: Database):
    """Lost: two teams share names, and each sees the times of both."""
    configure(db, "gate", None, 100, 2)
    at = midnight(1) + timedelta(hours=1)
    insert(db, spans_of("gate", "A", [1000] * 20, at=at))
    insert(db, spans_of("gate", "A", [300] * 20, at=at, project="web"))
    row_of(db, analyse({"leo_telemetry/project": "web", "leo_telemetry/window_end": midnight().isoformat()}))
    assert "3x 300ms 100ms 20" in browser.get("/dimensions?project=web").text
    page = browser.get("/dimension?name=gate:A&project=web")
    assert f"{midnight(1).date()} 20 300ms 300ms" in page.text
    assert "leo-telemetry why gate:A --project web" in page.text
    assert runs.last_succeeded(db) is None


def test_hostile_names_are_text(browser: Browser, db: Database):
    """Lost: a sender of spans runs scripts in every reader's browser, or sends readers elsewhere."""
    configure(db, "gate", None, 1, 2)
    at = midnight(1) + timedelta(hours=1)
    kept = [name.replace("\x00", "") for name in HOSTILE if name.strip("\x00 ") and "\ud800" not in name]
    for name in kept:
        insert(db, spans_of("gate", name, [100] * 10, at=at, attributes={"host": name}))
    row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))
    page = browser.get("/dimensions?q=" + quote("<img"))
    assert page.status == 200
    assert_inert(page)
    for name in kept:
        page = browser.get(f"/dimension?name={quote(f'gate:{name}', safe='')}&with={quote(f'gate:{name}', safe='')}")
        assert page.status == 200, name
        assert_inert(page)


def assert_inert(page: Shown) -> None:
    """Check that no name became an element, and that no character reorders the page."""
    assert "<img src=http" not in page.html
    assert 'href="http' not in page.html
    assert not {"\u202e", "\u2066", "\x1b"} & set(page.html)


def test_values_of_an_attribute_are_shown_as_bars(browser: Browser, db: Database):
    """Lost: one model of several is slow, and people look for the cause everywhere else."""
    configure(db, "gate", None, 100, 2)
    at = midnight(1) + timedelta(hours=1)
    for sd_type, took in (("docs", 150), ("feature", 900)):
        for _ in range(20):
            trace = new_id()
            insert(
                db,
                [
                    span("handoff", "H", took, at=at, trace_id=trace, attributes={"sd_type": sd_type}),
                    span("gate", "A", took, at=at, trace_id=trace, attributes={"sd_type": sd_type}),
                ],
            )
    row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))
    page = browser.get("/dimension?name=gate:A")
    assert "P50 by sd_type" in page.text
    assert "feature 900ms" in page.text
    assert 'href="/dimension?name=gate%2Bsd_type%3AA%3Afeature"' in page.html
    assert "docs 150ms" in browser.get("/dimension?name=handoff:H").text


def test_the_api_has_the_same_numbers(browser: Browser, db: Database):
    """Lost: scripts would read HTML."""
    grew_slower(db)
    answer = json.loads(browser.get("/api/v1/dimension?name=gate:SLOWER&with=gate:STEADY").html)
    assert answer["result"]["outcome"] == "bottleneck"
    assert answer["days"][-1] == {
        "day": midnight(1).date().isoformat(),
        "spans": 20,
        "p50_ms": pytest.approx(2250, rel=0.01),
        "p90_ms": pytest.approx(3500, rel=0.01),
    }
    assert answer["compared"]["comparison"]["p50"]["verdict"] == "slower"
    listed = json.loads(browser.get("/api/v1/dimensions?q=SLOWER").html)
    assert listed["rows"][0]["result"]["dimension_key"] == "SLOWER"
    assert listed["place"] == ""
