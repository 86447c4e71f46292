"""Policy of directives: which items get one, and what follows when items end."""

from typing import Any

import pytest

from leo_telemetry_pipeline.actions.directive_policy import Candidate, Policy, Step, settle, to_draft
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.items import SYSTEM, Event, Item
from leo_telemetry_pipeline_tests.directive_builders import END, directive, item

POLICY = Policy(ratio=1.5, analyses=2, lost_ms_a_week=300_000.0)


def named(key: str, **found: Any) -> Item:
    """Return an open item of a gate, with an id and a cause of its own."""
    return item(found={"dimension_key": key, "cause": f"gate:{key}"} | found, id=key)


def keys(candidates: list[Candidate], *live: Any) -> list[list[str]]:
    """Return the ids of the items of each new directive."""
    return [[one.id for one in group] for group in to_draft(candidates, live, POLICY)]


def event(from_status: str, to_status: str, reason: str, effect: dict[str, Any] | None = None) -> Event:
    """Return an analysis's event of an item."""
    return Event(1, from_status, to_status, END, SYSTEM, reason, "a-run", effect, END)


def test_the_settings_are_the_policy():
    """Lost: an operator's settings would change nothing."""
    environ = {"LEO_TELEMETRY_DIRECTIVE_RATIO": "2", "LEO_TELEMETRY_DIRECTIVE_LOST": "1h"}
    assert Policy.of(Settings(environ)) == Policy(2.0, 2, 3_600_000.0)
    assert Policy.of(Settings({})) == POLICY


@pytest.mark.parametrize(
    ("found", "analyses"),
    [({"ratio": 1.4}, 2), ({}, 1), ({"lost_ms_a_week": 299_999.0}, 2), ({"lost_ms_a_week": None}, 2)],
)
def test_an_item_below_one_of_the_limits_gets_no_directive(found: dict[str, Any], analyses: int):
    """Lost: people drown in drafts about trifles and one-off spikes."""
    assert keys([Candidate(named("A"), 2)]) == [["A"]]
    assert keys([Candidate(named("A", **found), analyses)]) == []


@pytest.mark.parametrize("status", ["IN_PROGRESS", "VERIFYING", "RESOLVED", "ACCEPTED", "DISMISSED", "STALE"])
def test_an_item_that_someone_works_on_or_that_ended_gets_no_directive(status: str):
    """Lost: work that is done already is drafted again."""
    assert keys([Candidate(item(id="A", status=status), 9)]) == []


def test_items_of_one_cause_share_a_directive_named_after_the_cause():
    """Lost: two people repair the same cause."""
    member = named("B", cause="gate:A", lost_ms_a_week=9e9)
    small = named("C", cause="gate:A", ratio=1.1)
    assert keys([Candidate(member, 1), Candidate(named("A"), 2), Candidate(small, 2)]) == [["A", "B", "C"]]


def test_the_same_cause_in_two_projects_gets_two_directives():
    """Lost: one project's repair would hide the other's."""
    found = {"dimension_key": "A", "cause": "gate:A"}
    assert keys([Candidate(item("p", found, id="p"), 2), Candidate(item("q", found, id="q"), 2)]) == [["p"], ["q"]]


def test_the_most_time_lost_comes_first():
    """Lost: the most expensive slowdown is drafted last."""
    cheap, dear = named("A", lost_ms_a_week=1e6), named("B", lost_ms_a_week=1e8)
    assert keys([Candidate(cheap, 2), Candidate(dear, 2)]) == [["B"], ["A"]]


def test_neither_an_item_nor_a_cause_with_a_live_directive_gets_another():
    """Lost: the same work is drafted after every analysis."""
    first = named("A")
    live = directive(first)
    assert keys([Candidate(first, 9)], live) == []
    assert keys([Candidate(named("B", cause="gate:A"), 9)], live) == []
    assert keys([Candidate(named("B"), 9)], live) == [["B"]]


def test_a_row_written_by_hand_is_left_out():
    """Lost: one incomplete row ends drafting for all."""
    by_hand = item(source_detail={"note": "look at the build"}, id="H")
    assert keys([Candidate(by_hand, 9), Candidate(named("A"), 2)]) == [["A"]]


@pytest.mark.parametrize("status", ["draft", "active", "in_progress", "review"])
def test_a_directive_goes_on_while_an_item_is_verified(status: str):
    """Lost: a directive would end before its effect is known."""
    assert settle(directive(status=status), [item(status="VERIFYING")], {}) is None


def test_a_change_that_did_not_help_takes_the_directive_back_to_work():
    """Lost: a useless fix would count as done."""
    reopened = item(status="OPEN")
    measured = event("VERIFYING", "OPEN", "The fix did not help: P50 60s before, 59s since")
    step = settle(directive(status="review"), [reopened], {reopened.id: measured})
    assert step == Step("in_progress", "The fix did not help: P50 60s before, 59s since")


def test_a_resolved_item_completes_the_directive_with_its_outcome():
    """Lost: nobody would learn whether the work paid off."""
    fixed = item(status="RESOLVED")
    measured = event("VERIFYING", "RESOLVED", "Fast again", {"after_ms": 1.0})
    step = settle(directive(status="review"), [fixed], {fixed.id: measured})
    assert step is not None
    assert (step.to, step.reason) == ("completed", "Fast again")
    assert step.outcome == {
        "items": [
            {
                "item_id": fixed.id,
                "status": "RESOLVED",
                "episode": 1,
                "reason": "Fast again",
                "at": END.isoformat(),
                "effect": {"after_ms": 1.0},
            }
        ]
    }


@pytest.mark.parametrize("status", ["ACCEPTED", "DISMISSED", "STALE"])
def test_an_item_that_ended_without_a_fix_cancels_the_directive(status: str):
    """Lost: drafts about what is normal or gone stay forever."""
    step = settle(directive(status="active"), [item(status=status)], {})
    assert step is not None
    assert (step.to, step.reason) == ("cancelled", f"The items ended without a fix: {status}")


def test_an_item_resolved_before_the_work_began_cancels_the_draft():
    """Lost: a draft nobody worked on would count as a success."""
    step = settle(directive(), [item(status="RESOLVED")], {})
    assert step is not None
    assert step.to == "cancelled"
