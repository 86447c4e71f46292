"""Wording of directives, from ordinary items and from any item an analysis could open."""

from dataclasses import asdict

import pytest

from leo_telemetry_pipeline.actions.directives import APPLICATION, draft, facts_of, key_prefix
from leo_telemetry_pipeline_tests.directive_builders import FOUND, ID, item
from leo_telemetry_pipeline_tests.directive_rules import broken_in_columns


def test_a_directive_says_what_to_change_by_how_much_and_how_that_is_verified():
    """Lost: the person who gets the work has to guess when it is done."""
    made = draft([item()])
    assert made.title == "Make `gate:GATE_PRD_REQUIRED` fast again: it takes 3.5x as long as normal"
    assert made.description.startswith(
        "The P50 of `gate:GATE_PRD_REQUIRED` is 3.5s since `2026-02-05`, 3.5x its `learned` baseline of 1s."
        f" Slow is over 1.2x the baseline; fast again is at most 1.1s. The evidence: `leo-telemetry items show {ID}`."
        " Slowest traces: `t1`, `t2`.\n\n"
    )
    assert "This costs 3 h per week." in made.description
    assert "Because of it, `phase:LEAD` took longer too." in made.description
    assert made.success_criteria[0] == {
        "criterion": "The P50 of `gate:GATE_PRD_REQUIRED` is at most 1.1s",
        "measure": f"`leo-telemetry items show {ID}` says RESOLVED: the item is under this limit in two analyses at"
        " least one day apart, each with enough new spans since the fix",
    }
    assert made.success_metrics[0] == {
        "metric": "P50 of `gate:GATE_PRD_REQUIRED`",
        "target": "at most 1.1s (now 3.5s, baseline P50 1s)",
    }
    assert made.metadata["target_ms"] == pytest.approx(1000 * 1.2**0.5)
    assert (made.metadata["item_ids"], made.metadata["run_id"]) == ([ID], "a-run")
    assert made.priority == "high"
    assert broken_in_columns(asdict(made)) == []


def test_an_item_about_a_minority_of_slow_calls_asks_for_the_tail_to_return():
    """Lost: a directive about 1 in 4 calls would promise a P50 that never was slow."""
    slow_calls = {"share": 0.25, "p50_ms": 3500.0, "cut_ms": 2000.0, "p90_ms": 3400.0, "p90_before_ms": 1300.0}
    made = draft([item(found={"slow_calls": slow_calls})])
    assert made.title == "Make `gate:GATE_PRD_REQUIRED` fast again: 1 in 4 calls is slow"
    assert made.success_criteria[0]["criterion"] == "The P90 of `gate:GATE_PRD_REQUIRED` is at most 1.3s"
    assert (made.metadata["target_measure"], made.metadata["target_ms"]) == ("P90", 1300.0)
    assert broken_in_columns(asdict(made)) == []


def test_a_directive_without_a_known_cause_says_so_and_starts_with_the_slowest_traces():
    """Lost: a directive would name a cause that nobody found."""
    unknown = dict.fromkeys(("why", "onset_day", "lost_ms_a_week", "p_value"))
    made = draft([item(found=unknown | {"members": [], "measured": [], "set_apart_by": []})])
    assert "Where the added time goes is not known yet." in made.rationale
    assert [one["change"] for one in made.key_changes] == [
        "Find and remove what makes `gate:GATE_PRD_REQUIRED` slow, starting with the slowest traces: `t1`, `t2`"
    ]
    assert "The cause is not known yet" in [one["risk"] for one in made.risks]
    assert broken_in_columns(asdict(made)) == []


@pytest.mark.parametrize(("ratio", "priority"), [(1.2, "medium"), (2.9, "medium"), (3.0, "high"), (5.0, "critical")])
def test_the_priority_follows_from_how_slow_it_is(ratio: float, priority: str):
    """Lost: the worst work waits behind trifles."""
    assert draft([item(found={"ratio": ratio})]).priority == priority


@pytest.mark.parametrize(
    ("dimension", "prefix"),
    [
        (("gate", "GATE_PRD_REQUIRED"), "SD-LEO-FIX-PERF-GATE-PRD-REQUIRED"),
        (("phase", "LEAD"), "SD-LEO-FIX-PERF-PHASE-LEAD"),
        (("gate+sd_type", "A:two words"), "SD-LEO-FIX-PERF-GATE-SD-TYPE-A-TWO"),
        (("ärger", "日本"), "SD-LEO-FIX-PERF-RGER"),
        (("é", "日本"), "SD-LEO-FIX-PERF-STEP"),
        (("tool", "x" * 900), "SD-LEO-FIX-PERF-TOOL-" + "X" * 24),
    ],
)
def test_the_key_is_native_to_leo_whatever_the_name(dimension: tuple[str, str], prefix: str):
    """Lost: LEO refuses the key, or nobody recognizes the step by it."""
    of_type, key = dimension
    assert key_prefix(item(found={"dimension_type": of_type, "dimension_key": key})) == prefix


@pytest.mark.parametrize(
    ("project", "setting", "application"),
    [(None, "", APPLICATION), ("shop", "", "shop"), ("two words", "", APPLICATION), ("shop", "EHG", "EHG")],
)
def test_a_directive_names_the_application_to_change(project: str | None, setting: str, application: str):
    """Lost: LEO sends the work to a repository that has nothing to do with it."""
    assert draft([item(project)], setting).target_application == application


@pytest.mark.parametrize("name", ["dimension_type", "dimension_key", "observed_p50_ms", "baseline_p50_ms", "ratio"])
@pytest.mark.parametrize("value", [None, "", 0, [], "x" * 3])
def test_an_item_without_the_facts_gets_no_directive(name: str, value: object):
    """Lost: one row written by hand ends drafting for all."""
    detail = item().source_detail | {name: value}
    has_facts = value == "xxx" and name.startswith("dimension_")
    assert (facts_of(item(source_detail=detail)) is not None) == has_facts
    assert FOUND[name]
