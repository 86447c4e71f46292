"""Pages on which people act, with a real database: items, directives, runs and thresholds."""

import json
import re
from contextlib import suppress
from datetime import timedelta
from html import unescape
from urllib.parse import quote

import pytest

from leo_telemetry_pipeline.actions import directive_steps
from leo_telemetry_pipeline.actions import directives as wording
from leo_telemetry_pipeline.actions import items as planning
from leo_telemetry_pipeline.actions.directive_steps import DECISIONS
from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import directives, items, runs, thresholds
from leo_telemetry_pipeline.store.directives import Directive
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.items import SYSTEM, Item, Transition
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    back_date,
    configure,
    decide,
    execute,
    insert,
    midnight,
    queued,
    running,
    spans_of,
    statuses,
    succeeded,
)
from leo_telemetry_pipeline_tests.dashboard_client import HOST, Browser, Shown
from leo_telemetry_pipeline_tests.directive_builders import FOUND
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE

ORIGIN = f"http://{HOST}"
SIGNED = {"by": "ada", "reason": "because"}
NAMES = [name for name in HOSTILE if name.strip() and "\x00" not in name and "\ud800" not in name]

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def dashboard(settings: Settings, target: Target) -> Browser:
    return Browser(settings, target)


def opened(db: Database, key: str = "SLOW", **found: object) -> Item:
    """Open an item as an analysis does."""
    end = midnight(1)
    draft = planning.worded(FOUND | {"dimension_key": key} | found, None, "a-run", end - timedelta(days=7), end)
    with db.transaction() as cursor:
        item_id = items.write(cursor, draft, Transition("", "", "OPEN", end, end, SYSTEM, draft.title))
    item = items.get(db, item_id or "")
    assert item is not None
    return item


def drafted(db: Database, item: Item) -> Directive:
    """Draft the directive of an item."""
    with db.transaction() as cursor:
        directives.act_as(cursor, SYSTEM, "drafted")
        key = directives.add(cursor, wording.key_prefix(item), wording.draft([item]), [item.id])
    directive = directives.get(db, key or "")
    assert directive is not None
    return directive


def ids(shown: Shown, path: str) -> list[str]:
    """Return the ids that a page links to, in order."""
    return re.findall(f'"{path}/([0-9a-f-]{{36}})"', shown.html)


def next_part(dashboard: Browser, shown: Shown) -> Shown | None:
    """Return the next part of a list, None at its end."""
    found = re.search('rel="next" href="([^"]*)"', shown.html)
    return dashboard.page(unescape(found[1])) if found else None


def status_of(db: Database, item: Item) -> str:
    now = items.get(db, item.id)
    assert now is not None
    return now.status


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/items", "No improvement items yet"),
        ("/directives", "No directives yet"),
        ("/runs", "No analysis has been requested yet"),
        ("/thresholds", "No dimension has been measured yet"),
    ],
)
def test_a_page_without_data_says_what_to_do(dashboard: Browser, path: str, says: str):
    """Lost: a new user sees empty tables on the first day, and does not know what is missing."""
    page = dashboard.page(path).text
    assert says in page
    assert "leo-telemetry" in page


@pytest.mark.parametrize(
    "path",
    [
        f"/items/{UNKNOWN}",
        "/items/none",
        "/directives/SD-NONE-001",
        f"/directives/{UNKNOWN}/export",
        f"/runs/{UNKNOWN}",
        "/runs/none",
        "/threshold",
    ],
)
def test_an_unknown_name_is_answered_with_what_to_do(dashboard: Browser, path: str):
    """Lost: an old link, or one with a typing error, ends in an error page that helps nobody."""
    answer = dashboard.get(path)
    assert answer.status == 404
    assert "shows all" in answer.problem


def test_a_place_that_is_not_one_of_the_list_is_refused(dashboard: Browser):
    """Lost: a mistyped address makes the server fail."""
    for path in ("/items", "/directives", "/runs", "/thresholds"):
        for after in ("x", "False~999999~y", "a\x00b", "~", "2026-13-01~x"):
            assert dashboard.get(f"{path}?after={quote(after)}").status == 404, (path, after)
        dashboard.page(path, text="\x00'\"%", state="\x00")


def test_the_list_of_items_can_be_filtered_and_read_in_parts(dashboard: Browser, db: Database):
    """Lost: with a thousand items, nobody finds one, or the page takes seconds."""
    made = [opened(db, f"GATE_{number:03d}") for number in range(55)]
    for item in made[:3]:
        decide(db, item, "DISMISSED")
    start = dashboard.page("/items")
    assert len(ids(start, "/items")) == 50
    rest = next_part(dashboard, start)
    assert rest is not None
    seen = ids(start, "/items") + ids(rest, "/items")
    assert sorted(seen) == sorted(item.id for item in made)
    assert set(seen[-3:]) == {item.id for item in made[:3]}
    assert next_part(dashboard, rest) is None
    assert len(ids(dashboard.page("/items", state="dismissed"), "/items")) == 3
    assert ids(dashboard.page("/items", text="gate_007"), "/items") == [made[7].id]
    assert "No item matches" in dashboard.page("/items", text="%").text


def test_an_item_is_shown_with_cause_history_and_effect(dashboard: Browser, db: Database):
    """Lost: why it is slow, who did what, and whether that helped."""
    item = opened(db, evidence_trace_ids=["a/b?c", "t2"])
    decide(db, item, "VERIFYING", at=midnight())
    [fixed] = items.all_items(db)
    effect = {"before_ms": 1000.0, "worst_ms": 4000.0, "slow_ms": 3500.0, "after_ms": 1100.0}
    effect |= {"ratio": 0.314, "ratio_low": 0.3, "ratio_high": 0.33}
    effect |= {"given_back_ms_per_week": 7.2e6, "given_back_low": 3.6e6, "given_back_high": 1.08e7}
    step = Transition(
        item.id, "VERIFYING", "RESOLVED", fixed.status_since, midnight(), SYSTEM, "Fast again", None, effect
    )
    with db.transaction() as cursor:
        assert items.move(cursor, step)
    shown = dashboard.page(f"/items/{item.id}")
    page, html = shown.text, shown.html
    assert "gate:SLOW takes 3.5x as long as normal: 3.5s instead of 1s, which costs 3 h per week." in page
    assert "phase:LEAD 91 %" in page
    assert "1 resolved 1s 3.5s, at worst 4s 1.1s 0.31x (0.30x to 0.33x) 2 h (1 h to 3 h)" in page
    assert "verifying 1 ada because" in page
    assert 'href="/trace/a/b%3Fc"' in html
    assert 'href="/dimension?name=gate%3ASLOW"' in html


def test_people_make_the_steps_of_an_item_and_illegal_ones_are_refused_in_a_line(dashboard: Browser, db: Database):
    """Lost: what a person decides on the page is not what the commands and the analyses see."""
    item = opened(db)
    path = f"/items/{item.id}"
    assert 'value="reopen"' not in dashboard.page(path).html
    page = dashboard.follow(dashboard.send(path, step="start", **SIGNED))
    assert "in progress" in page.text
    assert 'value="start"' not in page.html
    assert [(event.actor, event.reason) for event in items.events(db, item.id)][1:] == [("ada", "because")]
    refused = dashboard.send(path, step="start", **SIGNED)
    assert (refused.status, refused.problem) == (409, f"Item {item.id} is already IN_PROGRESS")
    assert dashboard.send(path, step="reopen", **SIGNED).problem.endswith("so it needs no reopening")
    assert dashboard.send(path, step="RESOLVED", **SIGNED).problem.startswith("There is no such step")
    assert "give your name" in dashboard.send(path, step="fixed", reason="x").problem
    assert "stands for analyses" in dashboard.send(path, step="fixed", by="system").problem
    assert "not a day" in dashboard.send(path, step="dismiss", until="soon", **SIGNED).problem
    assert status_of(db, item) == "IN_PROGRESS"
    page = dashboard.follow(dashboard.send(path, step="dismiss", until="2027-02-03", by="bob", reason="a\nb"))
    assert "dismissed until 2027-02-03" in page.text
    assert [(event.actor, event.reason) for event in items.events(db, item.id)][2:] == [("bob", "a b")]
    dashboard.send(path, step="reopen", **SIGNED)
    assert status_of(db, item) == "OPEN"


def test_a_step_needs_the_token_of_the_form_and_the_right_to_act(settings: Settings, target: Target, db: Database):
    """Lost: any page in the same browser, or anybody who may read, closes items."""
    item = opened(db)
    path = f"/items/{item.id}"
    assert Browser(settings, target).post(path, {"step": "fixed", **SIGNED}, origin=ORIGIN).status == 403
    settings.serve_read_token = "r" * 20
    settings.serve_act_token = "a" * 20
    refused = Browser(settings, target).post(path, {"step": "fixed", **SIGNED}, origin=ORIGIN)
    assert refused.status == 401
    assert status_of(db, item) == "OPEN"


def test_a_directive_is_shown_decided_on_and_saved(dashboard: Browser, db: Database):
    """Lost: the drafted work can only be read and approved in a terminal."""
    item = opened(db)
    directive = drafted(db, item)
    path = f"/directives/{directive.sd_key}"
    assert directive.sd_key in dashboard.page("/directives").text
    html = dashboard.page(path).html
    assert "Make <code>gate:SLOW</code> fast again" in html
    assert f'href="/items/{item.id}"' in html
    page = dashboard.follow(dashboard.send(path, step="approve", **SIGNED))
    assert "active" in page.text
    assert status_of(db, item) == "IN_PROGRESS"
    assert dashboard.send(path, step="approve", **SIGNED).problem == f"{directive.sd_key} is active already"
    assert dashboard.send(path, step="no", **SIGNED).problem.startswith("There is no such step")
    row = dashboard.get(f"{path}/export?format=json")
    assert json.loads(row.html)["sd_key"] == directive.sd_key
    assert row.headers["content-disposition"] == f"attachment; filename*=UTF-8''{directive.sd_key}.json"
    assert json.loads(dashboard.get(f"{path}/export?format=leo-proposal").html)["PROPOSAL"] is True
    for form in ("md", "leo-plan"):
        assert dashboard.get(f"{path}/export?format={form}").html.startswith("# Make `gate:SLOW`")
    assert "md, json, leo-proposal, leo-plan" in dashboard.get(f"{path}/export?format=x").problem


def test_the_page_offers_exactly_the_decisions_that_the_database_allows(db: Database):
    """Lost: a button that always fails, or a decision that only the command can take."""
    made = drafted(db, opened(db))
    for way in (("pending_approval",), ("deferred",), ("active", "planning"), ("active", "in_progress", "review"), ()):
        for status in way:
            directive = now(db, made)
            with db.transaction() as cursor:
                directives.move(cursor, directive, status)
            assert directive_steps.possible(now(db, made)) == allowed_by_database(db, made), status
        execute(db, "DELETE FROM strategic_directives")
        [item] = items.all_items(db)
        made = drafted(db, item)
    assert directive_steps.possible(made) == allowed_by_database(db, made)


def now(db: Database, directive: Directive) -> Directive:
    """Return a directive as it is now."""
    found = directives.get(db, directive.sd_key)
    assert found is not None
    return found


def allowed_by_database(db: Database, made: Directive) -> list[str]:
    """Return the decisions that the database allows for a directive, without making them."""
    allowed = []
    for name, decision in DECISIONS.items():
        directive = now(db, made)
        with suppress(directives.IllegalStep, _Undo), db.transaction() as cursor:
            directives.move(cursor, directive, decision.to)
            if directive.status != decision.to:
                allowed.append(name)
            raise _Undo
    return allowed


class _Undo(Exception):
    """Ends a transaction without its changes."""


def test_analyze_now_queues_one_run_and_says_what_became_of_it(dashboard: Browser, db: Database):
    """Lost: a second click queues a second analysis, or nobody sees that one waits already."""
    assert "Queued analysis" in dashboard.follow(dashboard.send("/runs")).text
    page = dashboard.follow(dashboard.send("/runs")).text
    [run] = runs.waiting(db)
    assert f"Analysis {run.run_id} is already queued." in page
    assert "No worker has claimed it" not in page
    back_date(db, run.run_id, "triggered_at", "11 minutes")
    assert "No worker has claimed it: run `leo-telemetry worker --once`" in dashboard.page("/runs").text
    assert "is already queued" not in dashboard.page("/runs", outcome="ALREADY_QUEUED", run="<script>").text


def test_analyses_that_are_switched_off_are_not_queued(settings: Settings, target: Target, db: Database):
    """Lost: a run that nobody ever executes waits for ever."""
    settings.enabled = False
    assert "switches analyses off" in Browser(settings, target).send("/runs").problem
    assert statuses(db) == []


def test_a_run_is_shown_and_a_waiting_one_can_be_cancelled(dashboard: Browser, db: Database, settings: Settings):
    """Lost: why an analysis failed, and a way to end one that hangs."""
    done = succeeded(db)
    page = dashboard.page(f"/runs/{done}").html
    [run] = runs.latest(db, 1)
    assert f"http://127.0.0.1:{settings.ui_port}/runs/{run.dagster_run_id}" in page
    assert "Cancel this run" not in page
    failed, mine = running(db)
    version = re.findall('data-version="([^"]*)"', dashboard.page(f"/runs/{failed}").html)
    runs.fail(db, failed, mine, "ERROR", "first line\n<b>second</b>")
    page = dashboard.page(f"/runs/{failed}")
    assert "first line second" not in page.text
    assert "&lt;b&gt;second&lt;/b&gt;" in page.html
    assert re.findall('data-version="([^"]*)"', page.html) != version
    waits = queued(db)
    assert "cancelled" in dashboard.follow(dashboard.send(f"/runs/{waits}")).text
    assert "has ended as CANCELLED" in dashboard.send(f"/runs/{waits}").problem
    assert ids(dashboard.page("/runs", state="failed"), "/runs") == [failed]


def test_the_list_of_runs_is_read_in_parts(dashboard: Browser, db: Database):
    """Lost: a year of analyses cannot be looked through."""
    execute(
        db,
        "INSERT INTO telemetry_analysis_runs (status, reason_code, triggered_at)"
        " SELECT 'CANCELLED', 'CANCELLED_BY_USER', now() - make_interval(hours => n / 2)"
        " FROM generate_series(1, 120) AS n",
    )
    seen, page = [], dashboard.page("/runs")
    while page:
        seen += ids(page, "/runs")
        page = next_part(dashboard, page)
    assert (len(seen), len(set(seen))) == (120, 120)


def test_hostile_names_are_shown_as_text(dashboard: Browser, db: Database):
    """Lost: a span's sender decides what the readers' browsers load and run."""
    for name in NAMES:
        shows_as_text(dashboard, db, name)


def shows_as_text(dashboard: Browser, db: Database, name: str) -> None:
    """Check all pages on which a name appears."""
    item = opened(
        db, name, why=name, evidence_trace_ids=[name], members=[{"dimension_type": "phase", "dimension_key": name}]
    )
    directive = drafted(db, item)
    configure(db, "gate", name, 100, 2.0)
    pages = [
        dashboard.page(path)
        for path in ("/items", f"/items/{item.id}", "/directives", f"/directives/{directive.sd_key}", "/thresholds")
    ]
    pages.append(dashboard.page("/threshold", name=f"gate:{name}"))
    for page in pages:
        assert "<img src=h" not in page.html
        assert 'href="javascript' not in page.html
        assert not re.search('(href|src)="(http|//)', page.html)
    assert " ".join(f"gate:{in_a_line(name)}".split()) in pages[0].text


def test_other_thresholds_are_shown_on_past_days_before_they_are_set(dashboard: Browser, db: Database):
    """Lost: somebody sets a threshold, and learns weeks later that it flags every day or none."""
    history(db)
    page = dashboard.page("/threshold", name="gate:SLOW")
    assert "As it is" in page.text
    assert "7 days in 1 stretch" in page.text
    assert "What you try" not in page.text
    tried = dashboard.page("/threshold", name="gate:SLOW", multiplier="20")
    assert "No day." in tried.text
    assert 'name="multiplier" value="20"' in tried.html
    assert thresholds.effective(db, [("gate", "SLOW")])[0].multiplier == 2.0
    assert "not a number" in dashboard.page("/threshold", name="gate:SLOW", multiplier="x").text
    assert "greater than 0" in dashboard.page("/threshold", name="gate:SLOW", multiplier="nan").text
    page = dashboard.follow(dashboard.send("/threshold", name="gate:SLOW", multiplier="20", **SIGNED))
    assert "The next analysis judges by these values" in page.text
    assert "by ada: because" in page.text
    [now] = thresholds.effective(db, [("gate", "SLOW")])
    assert (now.baseline_p50_ms, now.multiplier) == (100, 20)
    assert "greater than 0" in dashboard.send("/threshold", name="gate:SLOW", multiplier="-1", **SIGNED).problem
    assert "Nothing to set" in dashboard.send("/threshold", name="gate:SLOW", **SIGNED).problem


def test_judging_of_a_dimension_is_stopped_and_resumed(dashboard: Browser, db: Database):
    """Lost: somebody whom a noisy dimension wakes each night cannot end that where they see it, or not undo it."""
    history(db)
    page = dashboard.page("/threshold", name="gate:SLOW")
    assert "not even days like the 7 shown here" in page.text
    page = dashboard.follow(dashboard.send("/threshold", name="gate:SLOW", judge="off", **SIGNED))
    assert "gate:SLOW is no longer judged." in page.text
    assert "by ada: because" in page.text
    assert "which flag 7 of the last 180 days" in page.text
    [now] = thresholds.effective(db, [("gate", "SLOW")])
    assert (now.is_active, now.multiplier) == (False, 2)
    page = dashboard.follow(dashboard.send("/threshold", name="gate:SLOW", judge="on", **SIGNED))
    assert "gate:SLOW is judged again." in page.text
    assert thresholds.effective(db, [("gate", "SLOW")])[0].is_active
    assert "no such step" in dashboard.send("/threshold", name="gate:SLOW", judge="x", **SIGNED).problem
    assert "give your name" in dashboard.send("/threshold", name="gate:SLOW", judge="off").problem


def history(db: Database) -> None:
    """Store twenty counted days, the last ten slow, with a threshold of 200 ms: medians of seven weeks are over it."""
    for days_ago in range(1, 21):
        ms = 1000 if days_ago <= 10 else 100
        insert(db, spans_of("gate", "SLOW", [ms] * 10, at=midnight(days_ago) + timedelta(hours=12)))
    days = [midnight(days_ago).date() for days_ago in range(1, 21)]
    histograms.rebuild(db, days, ["gate"], ["gate"])
    configure(db, "gate", "SLOW", 100, 2.0)
