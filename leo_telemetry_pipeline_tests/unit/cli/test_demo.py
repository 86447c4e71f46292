"""Conclusion that the demo draws from the open items."""

from datetime import UTC, datetime

from leo_telemetry_pipeline.cli.demo import conclusion
from leo_telemetry_pipeline.store.items import Item

THEN = datetime(2026, 2, 9, tzinfo=UTC)
PLANTED = {
    "planted": [
        {"dimension_type": "gate", "dimension_key": "A", "cause": "gate:A was made 3 times as long"},
        {"dimension_type": "subagent", "dimension_key": "B", "cause": "subagent:B was made 2 times as long"},
    ]
}


def item(dimension_type: str, key: str, ratio: float, *members: str) -> Item:
    """Return an open item about a dimension, with slow phases as members."""
    detail = {
        "dimension_type": dimension_type,
        "dimension_key": key,
        "ratio": ratio,
        "members": [{"dimension_type": "phase", "dimension_key": name} for name in members],
    }
    return Item("i", "f", f"{dimension_type}:{key} takes {ratio}x as long as normal", "", "OPEN", detail, THEN, THEN)


def test_items_are_listed_slowest_first_with_the_dimensions_that_they_slow():
    """Lost: a newcomer sees eight lines, and not that they are two problems."""
    found = [item("gate", "A", 2.9), item("subagent", "B", 3.5, "LEAD", "PLAN")]
    assert conclusion(found, PLANTED).splitlines() == [
        "   2 improvement item(s) are open, one per cause, not one per bottleneck:",
        "   - subagent:B takes 3.5x as long as normal",
        "     which also slows phase:LEAD, phase:PLAN",
        "   - gate:A takes 2.9x as long as normal",
        "   These are exactly the 2 slowdowns that were planted.",
    ]


def test_a_demo_that_did_not_find_the_planted_slowdowns_says_so():
    """Lost: the demo claims success without having found them."""
    for found in ([item("gate", "A", 2.9)], [], [item("gate", "A", 2.9), item("gate", "B", 2)]):
        said = conclusion(found, PLANTED)
        assert "exactly" not in said
        assert said.endswith(
            "   These are not the slowdowns that were planted: gate:A was made 3 times as long;"
            " subagent:B was made 2 times as long."
        )
