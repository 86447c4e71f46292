"""Page of a trace in this process, with a real database."""

import gzip
import json
import re
from datetime import timedelta
from urllib.parse import quote

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import open_spans
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import NOON, analyse, configure, insert, midnight, new_id, span, spans_of
from leo_telemetry_pipeline_tests.dashboard_client import Browser
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE
from leo_telemetry_pipeline_tests.trace_examples import GATE, HANDOFF, TOOL, handoff


@pytest.fixture
def browser(settings: Settings, target: Target) -> Browser:
    """Open the dashboard of the test's database."""
    return Browser(settings, target)


def links(html: str) -> list[str]:
    """Return the addresses of the parts of a trace that a page links to."""
    return [each.replace("&amp;", "&") for each in re.findall(r'href="(/trace/[^"]+\?[^"]+)"', html)]


def test_it_shows_what_happened_and_what_decided_how_long_it_took(browser: Browser, db: Database):
    """Lost: people know that a handoff was slow, and cannot see why."""
    spans = handoff()
    insert(db, spans)
    page = browser.get(f"/trace/{spans[0].trace_id}")
    assert page.status == 200
    assert f"handoff:{HANDOFF} took 3.5s" in page.text
    assert "Waiting for a person 1s" in page.text
    assert "Strategic directive SD-7 Project shop" in page.text
    assert f"30 × tool:{TOOL} longest 39ms 735ms" in page.text
    assert "sd_type feature" in page.text
    assert page.html.count('class="mark"') == 1 + 4, "the legend, and all but no line are on the critical path"


def test_a_folded_line_opens(browser: Browser, db: Database):
    """Lost: thirty calls are one line, and none of them can be looked at."""
    spans = handoff()
    insert(db, spans)
    page = browser.get(f"/trace/{spans[0].trace_id}")
    [opened] = [each for each in links(page.html) if "name=" in each]
    assert opened == f"/trace/{spans[0].trace_id}?under={spans[1].span_id}&name={quote(f'tool:{TOOL}')}"
    page = browser.get(opened)
    assert page.text.count(f"tool:{TOOL} span") == 30
    assert "Show the whole trace" in page.text


def test_a_part_opens(browser: Browser, db: Database):
    """Lost: what is far down in a deep trace cannot be looked at."""
    spans = handoff(calls=2)
    insert(db, spans)
    page = browser.get(f"/trace/{spans[0].trace_id}?under={spans[1].span_id}")
    assert f"Part of the trace: gate:{GATE}" in page.text
    assert "wait:APPROVAL" not in page.text


def test_a_trace_is_found_by_the_first_digits_of_its_id(browser: Browser, db: Database):
    """Lost: an id that somebody read aloud leads nowhere."""
    spans = handoff()
    insert(db, spans)
    assert browser.get(f"/trace/{spans[0].trace_id[:13].upper()}").status == 200


@pytest.mark.parametrize("word", ["x", "%00", "..", quote("<script>alert(1)</script>"), "9" * 500, quote("é" * 40)])
def test_what_is_not_an_id_has_a_remedy(browser: Browser, word: str):
    """Lost: a mistyped address ends in an error without a way on."""
    page = browser.get(f"/trace/{word}")
    assert page.status == 404
    assert "<script" not in page.html.replace("<script src", "")


def test_an_unknown_trace_has_a_remedy(browser: Browser, db: Database):
    """Lost: a link in an old ticket looks as if the dashboard were broken."""
    page = browser.get(f"/trace/{new_id()}")
    assert page.status == 404
    assert "There is no trace" in page.text
    assert "leo-telemetry findings --verbose" in page.text
    spans = handoff()
    insert(db, spans)
    for query in (f"under={new_id()}", "under=x", "after=x", "name=tool:none"):
        assert browser.get(f"/trace/{spans[0].trace_id}?{query}").status == 404, query


def test_a_typical_trace_stands_beside_a_slow_one(browser: Browser, db: Database):
    """Lost: a reader does not know which of the steps take longer than they should."""
    configure(db, "handoff", HANDOFF, 3_500, 1.5)
    usual = [handoff(at=midnight(3) + timedelta(minutes=number)) for number in range(20)]
    slow = handoff(8_000, at=midnight(2))
    insert(db, [each for spans in [*usual, slow] for each in spans])
    analyse({"leo_telemetry/window_end": midnight().isoformat()})
    page = browser.get(f"/trace/{slow[0].trace_id}")
    assert "Normally takes 3.5s" in page.text
    assert f"gate:{GATE} 7.3s 1.3s" in page.text
    found = re.search(r'href="/trace/([0-9a-f-]{36})"', page.html)
    assert found
    assert found[1] in {spans[0].trace_id for spans in usual}


def test_without_an_analysis_nothing_stands_beside_it(browser: Browser, db: Database):
    """Lost: a new user's first trace is an error."""
    spans = handoff()
    insert(db, spans)
    assert "typical" not in browser.get(f"/trace/{spans[0].trace_id}").text


def test_what_runs_is_shown_before_its_root_has_ended(browser: Browser, db: Database):
    """Lost: what hangs right now cannot be looked at."""
    spans = handoff(at=NOON)
    root = spans[0]
    insert(db, spans[1:])
    opened = span("handoff", HANDOFF, None, at=NOON, trace_id=root.trace_id, span_id=root.span_id)
    open_spans.announce(db, [opened], [], host="h", pid=1)
    page = browser.get(f"/trace/{root.trace_id}")
    assert f"handoff:{HANDOFF} took" in page.text
    assert "so far" in page.text
    assert "no end" in page.text
    assert f"gate:{GATE}" in page.text


def test_names_and_attributes_are_text(browser: Browser, db: Database):
    """Lost: a sender of spans runs scripts in the readers' browsers."""
    names = [*HOSTILE, "<script>alert(1)</script>", "{{ 7 * 7 }}", '"><svg onload=alert(1)>']
    root = span("handoff", names[-3], 1000, sd_id=names[-3], project=names[-1])
    below = [
        span("gate", name.replace("\0", "") or "x", 10, trace_id=root.trace_id, parent_span_id=root.span_id)
        for name in names
        if name.isprintable()
    ]
    for each in below:
        each.attributes = {each.span_name: each.span_name}
    insert(db, [root, *below])
    page = browser.get(f"/trace/{root.trace_id}")
    assert page.status == 200
    assert "<script>alert" not in page.html
    assert "<svg onload" not in page.html
    assert "<img src=http" not in page.html
    assert "{{ 7 * 7 }}" in page.text
    for address in links(page.html):
        assert browser.get(address).status == 200, address


def test_a_large_trace_is_a_small_page(browser: Browser, db: Database):
    """Lost: a trace of many thousand spans is a page that no browser scrolls."""
    root = span("handoff", HANDOFF, 100_000)
    more = spans_of("tool", "x", range(3_000), trace_id=root.trace_id, parent_span_id=root.span_id)
    for number, each in enumerate(more):
        each.span_name, each.attributes = f"tool {number}", {"command": "x" * 5_000}
    insert(db, [root, *more])
    page = browser.get(f"/trace/{root.trace_id}")
    assert "2,501 more, each shorter" in page.text
    assert len(gzip.compress(page.html.encode())) < 60_000
    assert page.html.count("<tr") <= 502
    [following] = [each for each in links(page.html) if "after=" in each]
    assert "2,002 more, each shorter" in browser.get(following).text


def test_pages_are_compressed_for_browsers_that_ask_for_it(settings: Settings, target: Target, db: Database):
    """Lost: a phone loads ten times as much as it needs."""
    spans = handoff()
    insert(db, spans)
    asked = Browser(settings, target)
    asked.get("/trace/0000")
    answer = asked.raw(f"/trace/{spans[0].trace_id}", accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert HANDOFF in gzip.decompress(answer.body).decode()


def test_the_same_is_json_for_programs(browser: Browser, db: Database):
    """Lost: a script has to take the page apart."""
    spans = handoff()
    insert(db, spans)
    model = json.loads(browser.get(f"/api/v1/trace/{spans[0].trace_id}").html)
    assert (model["name"], model["spans"], model["ms"]) == (f"handoff:{HANDOFF}", 33, 3500)
    assert [row["name"] for row in model["rows"]] == [
        f"handoff:{HANDOFF}",
        f"gate:{GATE}",
        f"tool:{TOOL}",
        "wait:APPROVAL",
    ]
