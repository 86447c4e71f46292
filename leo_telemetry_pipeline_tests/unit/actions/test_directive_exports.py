"""Exports of directives: what LEO's importer takes, for any item and any name."""

import json

import hypothesis
import hypothesis.strategies as st
import pytest

from leo_telemetry_pipeline.actions.directive_exports import as_markdown, as_plan, as_proposal, as_row
from leo_telemetry_pipeline.store.directives import Directive
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline_tests.directive_builders import directive, item
from leo_telemetry_pipeline_tests.directive_rules import (
    broken_in_plan,
    broken_in_proposal,
    live_in_markdown,
    read_plan,
)
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE

# Names that jsonb holds: dense in characters that are special somewhere, or hostile as a whole.
NAMES = st.one_of(
    st.sampled_from([name for name in HOSTILE if (name and name.isprintable()) or "\n" in name]),
    st.text(
        st.sampled_from("`|\\![]()<>&;#*_~-=:./@ \n\tahtpw0\u2028\u202e")
        | st.characters(codec="utf-8", exclude_characters="\x00"),
        min_size=1,
        max_size=40,
    ),
    st.integers(50, 900).map(lambda size: "`|*" * size),
)
TIMES = st.floats(0.001, 1e9)


@st.composite
def items(draw: st.DrawFn) -> Item:
    """Generate an item as an analysis could open it."""
    baseline, ratio, multiplier = draw(TIMES), draw(st.floats(1.01, 1e4)), draw(st.floats(1.0, 100))
    optional = {
        "onset_day": st.dates().map(str),
        "p_value": st.floats(0, 1),
        "lost_ms_a_week": st.floats(0, 1e12),
        "why": NAMES,
        "cause": NAMES,
        "slow_value": NAMES,
        "baseline_source": st.sampled_from(["learned", "configured"]),
        "slow_calls": st.fixed_dictionaries(
            {"share": st.floats(0.01, 1), "p50_ms": TIMES, "cut_ms": TIMES, "p90_ms": TIMES}
            | {"p90_before_ms": st.none() | TIMES}
        ),
    }
    found = {
        "dimension_type": draw(NAMES),
        "dimension_key": draw(NAMES),
        "observed_p50_ms": baseline * ratio,
        "baseline_p50_ms": baseline,
        "ratio": ratio,
        "multiplier": multiplier,
        "sample_count": draw(st.integers(1, 10**9)),
        "measured": draw(st.lists(NAMES, max_size=9)),
        "set_apart_by": draw(st.lists(NAMES, max_size=9)),
        "evidence_trace_ids": draw(st.lists(st.uuids().map(str), max_size=9)),
        "members": [
            {"dimension_type": of_type, "dimension_key": key, "share": 0.5}
            for of_type, key in draw(st.lists(st.tuples(NAMES, NAMES), max_size=9))
        ],
        **{name: draw(st.none() | values) for name, values in optional.items()},
    }
    return item(draw(st.none() | NAMES), found)


@hypothesis.given(st.lists(items(), min_size=1, max_size=3))
@hypothesis.settings(max_examples=200, suppress_health_check=[hypothesis.HealthCheck.too_slow])
def test_any_directive_satisfies_every_rule_of_the_importer_in_both_formats(of: list[Item]):
    """Lost: LEO refuses a directive, or fills its fields with placeholders."""
    made = directive(*of)
    proposal = as_proposal(made)
    assert json.loads(json.dumps(proposal, allow_nan=False).encode()) == proposal
    assert broken_in_proposal(proposal) == []
    assert broken_in_plan(as_plan(made), as_row(made)) == []


@hypothesis.given(items())
@hypothesis.settings(max_examples=200, suppress_health_check=[hypothesis.HealthCheck.too_slow])
def test_names_are_inert_in_every_markdown_export(of: Item):
    """Lost: a span's name puts an image, a link or another heading into someone's plan."""
    made = directive(of)
    for page in (as_plan(made), as_markdown(made)):
        assert live_in_markdown(page) == []
        assert all(letter.isprintable() for letter in page.replace("\n", ""))


def test_the_rules_see_a_name_that_is_not_inert():
    """Lost: the tests above cannot fail."""
    assert live_in_markdown("# a\n\n![x](http://127.0.0.1:1/x.png)") == ["image"]
    assert live_in_markdown("- <img src=x>") != []
    assert broken_in_proposal(as_proposal(directive()) | {"more": 1, "priority": "urgent"}) == [
        "more is unknown or missing",
        "the priority is unknown",
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("description", "short"),
        ("success_criteria", [{"criterion": "a"}]),
        ("key_changes", []),
        ("sd_type", "performance"),
    ],
)
def test_the_rules_see_a_column_that_breaks_them(column: str, value: object):
    """Lost: the property above cannot fail."""
    assert broken_in_proposal(as_proposal(directive(**{column: value}))) != []


def test_a_plan_has_each_section_once_and_its_steps_before_the_objectives():
    """Lost: LEO takes check boxes for objectives."""
    title, sections = read_plan(as_plan(directive()))
    assert title.startswith("Make `gate:GATE_PRD_REQUIRED` fast again")
    assert sections["Type"] == "bugfix"
    assert sections["Target Application"] == "EHG_Engineer"
    assert sections["Steps"].startswith("- [ ] Run the changed work")
    assert sections["Objectives"].startswith("- Bring the P50 of ")
    assert list(sections)[-2:] == ["Steps", "Objectives"]


def test_a_text_that_sql_wrote_is_shown_without_terminal_commands():
    """Lost: a directive's row could drive the terminal of its readers."""
    hostile: Directive = directive(title="a\x1b[31m\nb", rationale="c\x07d\u202e")
    assert "\x1b" not in as_markdown(hostile)
    assert "\x07" not in as_markdown(hostile)
    assert as_plan(hostile).startswith("# a [31m b\n")
