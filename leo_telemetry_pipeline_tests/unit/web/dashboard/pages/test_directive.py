"""Text of directives as pieces: names between backticks, and nothing else is interpreted."""

import pytest

from leo_telemetry_pipeline.actions import inert
from leo_telemetry_pipeline.web.dashboard.pages import directive as page
from leo_telemetry_pipeline.web.dashboard.pages.directive import Piece, pieces
from leo_telemetry_pipeline_tests.directive_builders import directive
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE


def test_names_between_backticks_are_code():
    """Lost: a reader sees backticks, or cannot tell a name from the words around it."""
    assert pieces("The P50 of `gate:A` is `` `x` ``.") == (
        Piece("The P50 of ", False),
        Piece("gate:A", True),
        Piece(" is ", False),
        Piece("`x`", True),
        Piece(".", False),
    )
    assert pieces("no code, **no** [link](x) and an odd ` mark") == (
        Piece("no code, **no** [link](x) and an odd ` mark", False),
    )


@pytest.mark.parametrize("name", [name for name in HOSTILE if inert.in_a_line(name).strip() and "|" not in name])
def test_a_name_that_was_made_inert_is_one_piece_of_code(name: str):
    """Lost: a hostile name ends its code, and the rest of it is read as our words."""
    [piece] = pieces(inert.markdown(name))
    assert piece == Piece(inert.in_a_line(name), True)


def test_a_directive_has_a_section_for_each_of_its_parts():
    """Lost: what to change, or how to check it, is missing on the page."""
    made = page.sections_of(directive())
    assert [section.title for section in made if section.paragraphs] == [
        "What is slow", "Why it matters", "Intent", "Scope",
    ]  # fmt: skip
    entries = {section.title: len(section.entries) for section in made if section.entries}
    assert entries == {
        "What to change": 2, "Done when": 2, "Metrics": 3, "How to check": 3, "Risks": 2, "Principles": 3,
    }  # fmt: skip
    assert [section.title for section in made if section.is_ordered] == ["How to check"]


@pytest.mark.parametrize("outcome", [None, 1, [], {"items": 1}, {"items": [1, None]}])
def test_an_outcome_written_by_hand_is_left_out(outcome: object):
    """Lost: one wrong row, and the page of the directive fails."""
    assert page.outcome_of(directive(metadata={"outcome": outcome})) == []


def test_an_outcome_says_how_each_item_ended():
    """Lost: nobody sees whether the work helped."""
    made = directive(metadata={"outcome": {"items": [{"item_id": "a", "status": "RESOLVED", "reason": "fast"}]}})
    assert page.outcome_of(made) == [page.Ended("a", "RESOLVED", "fast")]
