"""What the demo concludes from the items that are open, in words."""

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
    """Make an open item about a dimension, because of which some phases are slow."""
    detail = {
        "dimension_type": dimension_type,
        "dimension_key": key,
        "ratio": ratio,
        "members": [{"dimension_type": "phase", "dimension_key": name} for name in members],
    }
    return Item("i", "f", f"{dimension_type}:{key} takes {ratio}x as long as normal", "", "OPEN", detail, THEN, THEN)


def test_each_item_is_named_with_what_it_slows_the_slowest_first():
    """Lost: a newcomer sees eight lines, and not that they are two problems."""
    found = [item("gate", "A", 2.9), item("subagent", "B", 3.5, "LEAD", "PLAN")]
    assert conclusion(found, PLANTED).splitlines() == [
        "   2 improvement item(s) are open, one per cause, not one per bottleneck:",
        "   - subagent:B takes 3.5x as long as normal",
        "     which also slows phase:LEAD, phase:PLAN",
        "   - gate:A takes 2.9x as long as normal",
        "   These are exactly the 2 slowdowns that were planted.",
    ]


def test_a_demo_that_found_something_else_says_so():
    """Lost: the demo would praise itself for what it did not find."""
    for found in ([item("gate", "A", 2.9)], [], [item("gate", "A", 2.9), item("gate", "B", 2)]):
        said = conclusion(found, PLANTED)
        assert "exactly" not in said
        assert said.endswith(
            "   These are not the slowdowns that were planted: gate:A was made 3 times as long;"
            " subagent:B was made 2 times as long."
        )
