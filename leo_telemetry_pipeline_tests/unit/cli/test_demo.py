"""Conclusion that the demo draws from the open items."""

from dataclasses import replace
from datetime import UTC, datetime

from leo_telemetry_pipeline.cli.demo import conclusion, handed_over
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline.store.outbox import Stored
from leo_telemetry_pipeline_tests import directive_builders

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


def costing(hours: float, key: str) -> Item:
    detail = {"lost_ms_a_week": hours * 3_600_000}
    return replace(
        directive_builders.item(), id=key, title=f"gate:{key} takes 3x as long as normal", source_detail=detail
    )


def test_the_demo_ends_with_an_item_its_directive_and_the_command_that_sends_its_alert():
    """Lost: a newcomer sees findings, and not that the work is drafted and somebody is told."""
    drafted = directive_builders.directive(item_ids=["B"])
    waiting = [
        Stored(key, f"{key}:1:new:high", "new", "high", f"Slow: gate:{key}", THEN, THEN, 0, [], None, None, None)
        for key in ("A", "B")
    ]
    lines = handed_over([costing(1, "A"), costing(12.5, "B")], [drafted], waiting, "leo").splitlines()
    assert lines == [
        "   The item that costs the most time, 12.5 h per week: gate:B takes 3x as long as normal",
        "      leo items show B",
        f"   The work, drafted as directive {drafted.sd_key}:",
        f"      leo directives show {drafted.sd_key}",
        '   The alert, which waits for a channel: "[high] Slow: gate:B". To send it to a webhook:',
        "      LEO_TELEMETRY_ALERT_URLS=webhook+https://HOST/PATH leo alerts retry",
    ]
    assert "directive" not in handed_over([costing(1, "A")], [drafted], [], "leo")
    assert handed_over([], [], [], "leo") == "   Nothing, as no item is open."
