"""``why``, ``items`` and ``thresholds accept`` on a real database, after analyses that found a slowdown."""

import getpass
import json
import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from leo_telemetry_pipeline.store import baselines, items, spans
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import (
    analyse,
    configure,
    execute,
    insert,
    midnight,
    new_id,
    one,
    row_of,
    slow,
    span,
)
from leo_telemetry_pipeline_tests.in_process import refused, say
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = pytest.mark.usefixtures("settings")

SLOW_DAYS = 6


def work(db: Database) -> None:
    """Store seven weeks of a gate whose sub-agent was slow in the last days, and of a steady gate."""
    rng, made = random.Random(31), []
    for days_ago in range(49, 0, -1):
        for _ in range(15):
            at, trace, gate = midnight(days_ago) + timedelta(hours=rng.uniform(7, 19)), new_id(), new_id()
            times = 3 if days_ago <= SLOW_DAYS else 1
            inner, own, steady = (round(1000 * each * rng.lognormvariate(0, 0.2)) for each in (4 * times, 2, 3))
            made += [
                span("gate", "REVIEW", inner + own, at=at, span_id=gate, trace_id=trace),
                span("subagent", "DESIGN", inner, at=at, parent_span_id=gate, trace_id=trace),
                span("gate", "STEADY", steady, at=at),
            ]
    spans.ensure_partitions(db, midnight(50), midnight())
    spans.insert(db, made)


def analysed(db: Database, days_ago: int = 0) -> None:
    """Analyse the week before a midnight; it must succeed."""
    run = row_of(db, analyse({"leo_telemetry/window_end": midnight(days_ago).isoformat()}))
    assert run.status == "SUCCEEDED", run.error_detail


def opened(db: Database) -> Item:
    """Return the only item, opened for a bottleneck with a configured baseline."""
    slow(db, "SLOW")
    analysed(db)
    [item] = items.all_items(db)
    return item


@pytest.mark.with_days
def test_why_shows_the_numbers_of_a_cause_its_effect_and_a_steady_dimension(db: Database):
    """Lost: nobody could check a judgement, so nobody would trust it."""
    work(db)
    analysed(db)
    [item] = items.all_items(db)
    cause = say("why", "subagent:DESIGN")
    assert cause.startswith("subagent:DESIGN is a bottleneck\n")
    assert f"slower since {midnight(SLOW_DAYS).date()}" in cause
    assert f"Item {item.id}; when fixed:" in cause
    member = say("why", "gate:REVIEW")
    assert "Because of subagent:DESIGN: leo-telemetry why subagent:DESIGN" in member
    assert f"Item {item.id}" in member
    steady = say("why", "gate:STEADY")
    assert steady.startswith("gate:STEADY is not a bottleneck\n")
    assert "  no      separated" in steady
    assert "Item" not in steady
    found = json.loads(say("why", "subagent:DESIGN", "--json"))
    assert found["outcome"] == found["learned"]["outcome"] == "bottleneck"
    assert found["bottleneck"]["improvement_id"] == item.id
    assert all(guard["passed"] for guard in found["learned"]["guards"])
    assert json.loads(say("why", "gate:STEADY", "--json"))["bottleneck"] is None


def test_why_names_a_configured_baseline_and_too_few_spans(db: Database):
    """Lost: nobody would know which number decided, or what is missing."""
    opened(db)
    insert(db, [span("gate", "RARE", 5)])
    analysed(db)
    said = say("why", "gate:SLOW")
    assert "baseline    100ms, configured" in said
    assert "GUARD" not in said
    assert say("why", "gate:RARE").startswith("gate:RARE is not judged: too few spans in the window\n")


@pytest.mark.with_days
def test_an_accepted_dimension_is_normal_from_the_next_analysis_on(db: Database):
    """Lost: work that was made slower on purpose stays a bottleneck forever."""
    work(db)
    analysed(db, 1)
    assert say("why", "subagent:DESIGN").startswith("subagent:DESIGN is a bottleneck\n")
    before = {one.dimension_key: one.p50_ms for one in baselines.of_scope(db, None)}
    assert "its current level as the baseline" in say("thresholds", "accept", "subagent", "DESIGN")
    analysed(db)
    after = {one.dimension_key: one.p50_ms for one in baselines.of_scope(db, None)}
    assert after["DESIGN"] > 2 * before["DESIGN"]
    assert after["REVIEW"] == pytest.approx(before["REVIEW"], rel=0.05)
    assert say("why", "subagent:DESIGN").startswith("subagent:DESIGN is not a bottleneck\n")


def test_each_step_of_an_item_is_one_command_with_a_name_and_a_reason(db: Database):
    """Lost: the list of items only grows; or nobody knows who closed one, and why."""
    item = opened(db)
    as_ada = ("--by", "ada", "--reason", "the cache was off")
    assert refused("items", "reopen", item.id) == f"Item {item.id} is OPEN, so it needs no reopening"
    said = [say("items", word, item.id, *as_ada) for word in ("ack", "start", "fixed")]
    assert [line.split(" ")[0] for line in said] == ["ACKNOWLEDGED.", "IN_PROGRESS.", "VERIFYING."]
    assert said[2] == (
        "VERIFYING. gate:SLOW: analyses verify it, and resolve it once they measure that it is fast again.\n"
    )
    assert refused("items", "fixed", item.id) == f"Item {item.id} is already VERIFYING"
    until = say("items", "dismiss", item.id, "--until", "2030-01-02", *as_ada)
    assert until == "DISMISSED. gate:SLOW: it may return from 2030-01-02 on.\n"
    assert refused("items", "reopen", item.id, "--reason", "x" * 1001) == (
        "The reason has 1,001 characters: write at most 1,000"
    )
    assert "at most 100" in refused("items", "reopen", item.id, "--by", "x" * 101)
    closed = f"Item {item.id} is closed, as DISMISSED: `leo-telemetry items reopen` opens it again"
    for word in ("ack", "start", "fixed", "accept"):
        assert refused("items", word, item.id) == closed
    assert say("items", "reopen", item.id, "--by", " ", "--reason", "\n").startswith("OPEN. gate:SLOW: ")
    for begun in ("2020-01-02", f"{datetime.now(UTC):%Y-%m-%d}"):
        assert "has begun already" in refused("items", "dismiss", item.id, "--until", begun)
    assert say("items", "accept", item.id, *as_ada).startswith("ACCEPTED. gate:SLOW: ")
    assert "stands for analyses" in refused("items", "reopen", item.id, "--by", "system")
    [row] = items.all_items(db)
    assert (row.status, row.episode, row.noise_count, row.dismissed_until) == ("ACCEPTED", 2, 0, None)
    events = items.events(db, item.id)
    assert [event.to_status for event in events] == [
        "OPEN", "ACKNOWLEDGED", "IN_PROGRESS", "VERIFYING", "DISMISSED", "OPEN", "ACCEPTED",
    ]  # fmt: skip
    assert (events[0].actor, events[1].actor, events[1].reason) == ("system", "ada", "the cache was off")
    assert (events[5].actor, events[5].reason) == (getpass.getuser(), "no reason given")
    [line] = [line for line in say("items", "list").splitlines() if item.id in line]
    assert line.split()[1:3] == ["ACCEPTED", "2"]


@pytest.mark.with_days
def test_an_item_is_shown_with_its_members_and_once_closed_with_its_status(db: Database):
    """Lost: a person who takes on an item would have to collect its facts from several commands and a row of JSON."""
    work(db)
    analysed(db)
    [item] = items.all_items(db)
    said = say("items", "show", item.id.upper())
    assert said.startswith(f"{item.title}\n  item        {item.id}\n  status      OPEN since ")
    assert f"  Slower since {midnight(SLOW_DAYS).date()}; " in said
    assert "  Where the added time goes: subagent:DESIGN +" in said
    [member] = [line.split() for line in said.splitlines() if line.startswith("  gate:REVIEW ")]
    assert float(member[1]) > 50
    assert "  note " not in said
    assert f"  Next: leo-telemetry why subagent:DESIGN\n  When fixed: leo-telemetry items fixed {item.id} " in said
    shown = json.loads(say("items", "show", item.id, "--json"))
    assert [event["to_status"] for event in shown.pop("events")] == ["OPEN"]
    assert [shown] == json.loads(say("items", "--json"))
    page = say("items", "show", item.id, "--format", "md")
    assert page.startswith(f"# `{item.title}`\n\n`subagent:DESIGN` takes ")
    [trend] = [line for line in page.splitlines() if line.endswith(" P50 per day, oldest first")]
    assert trend.startswith("`")
    [slow, typical] = [
        line.split(": ")[1].split(", ") for line in page.splitlines() if line.startswith("- ") and ": `" in line
    ]
    assert (len(set(slow)), len(set(typical)), set(slow) & set(typical)) == (5, 2, set())
    say("items", "accept", item.id)
    assert "  status      ACCEPTED since " in say("items", "show", item.id)
    assert "items fixed" not in say("items", "show", item.id)


DETAILS = (
    "{}",
    "[]",
    "null",
    '{"ratio": "much", "members": 7}',
    '{"dimension_type": ["a"], "dimension_key": 5, "members": [{"dimension_type": {}}, 1]}',
    '{"opened_window_end": "yesterday", "window": 5}',
    '{"opened_window_end": 5, "window": {"end": 1}}',
)


@pytest.mark.with_days
def test_items_that_were_inserted_by_hand_are_shown_like_any_other(db: Database):
    """Lost: an item inserted by hand could not be shown, or would break every list and analysis."""
    mine = [by_hand(db, number, detail) for number, detail in enumerate(DETAILS)]
    for item, detail in zip(mine, DETAILS, strict=True):
        said = say("items", "show", item)
        assert said.startswith(f"Look at the build\n  item        {item}\n  status      OPEN since "), detail
        assert "  note        It feels slow.\n" in said, detail
        known = json.loads(detail)
        shown = json.loads(say("items", "show", item, "--json"))["source_detail"]
        assert shown == (known if type(known) is dict else {}), detail
    listed = say("items").splitlines()[1:]
    assert [line.endswith("  Look at the build") for line in listed] == [True] * len(DETAILS)
    work(db)
    analysed(db)
    assert len(items.all_items(db)) == len(DETAILS) + 1
    for item, detail in zip(mine, DETAILS, strict=True):
        assert say("items", "dismiss", item).startswith("DISMISSED. Look at the build: "), detail
    analysed(db)


def by_hand(db: Database, number: int, detail: str) -> str:
    """Insert an item with a ``source_detail`` as a person would, and return its id."""
    return one(
        db,
        "INSERT INTO continuous_improvements (fingerprint, title, description, source_detail)"
        " VALUES (%s, 'Look at the build', 'It feels slow.', %s) RETURNING id::text",
        (f"mine {number}", detail),
    )


@pytest.mark.only_on(EMBEDDED, reason="only the wording matters, which is the same on every server")
def test_closing_repeats_a_title_in_one_line_without_terminal_controls(db: Database):
    """Lost: text in an item could clear the screen of the person who closes it."""
    execute(
        db,
        "INSERT INTO continuous_improvements (fingerprint, title, description) VALUES ('mine', %s, '')",
        ("The build\n\x1b[2Jis slow",),
    )
    item = one(db, "SELECT id::text FROM continuous_improvements")
    assert say("items", "dismiss", item).startswith("DISMISSED. The build  [2Jis slow: ")


@pytest.mark.only_on(EMBEDDED, reason="only the wording matters, which is the same on every server")
def test_an_unknown_name_is_answered_with_where_to_find_the_right_one(db: Database):
    """Lost: a typo would end in a traceback, or close another item."""
    assert "`leo-telemetry analyze` runs one now" in refused("why", "gate:SLOW")
    item = opened(db)
    assert "did you mean gate:SLOW?" in refused("why", "gate:SLOWER")
    assert "is not a dimension" in refused("why", "SLOW")
    for words in (("items", "show"), ("items", "fixed")):
        assert refused(*words, item.id[:8]) == f"'{item.id[:8]}' is not an item id: `leo-telemetry items` lists them"
        other = str(uuid.uuid4())
        assert refused(*words, other) == f"There is no item {other}: `leo-telemetry items` lists them"
    assert "No baseline was learned for gate:SLOW yet" in refused("thresholds", "accept", "gate", "SLOW")
    assert "is not a dimension type" in refused("thresholds", "accept", "gate:SLOW", "SLOW")
    assert [one.is_active for one in items.all_items(db)] == [True]


@pytest.mark.with_days
@pytest.mark.only_on(EMBEDDED, reason="only the wording matters, which is the same on every server")
def test_the_list_of_items_shows_the_number_of_dimensions_per_item(db: Database):
    """Lost: an item about eight slow steps would look like one slow step."""
    assert say("items").startswith("No improvement items yet")
    work(db)
    configure(db, "gate", "STEADY", 100, 2.0)
    analysed(db)
    header, *lines = say("items").splitlines()
    assert "DIMENSIONS" in header
    of = {line.split()[7]: line.split()[4] for line in lines}
    assert of == {"subagent:DESIGN": "2", "gate:STEADY": "1"}
    assert {one["status"] for one in json.loads(say("items", "--json"))} == {"OPEN"}
