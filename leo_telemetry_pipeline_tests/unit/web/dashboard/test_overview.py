"""Overview: causes and what they slow down, and counts of minutes."""

from datetime import UTC, datetime

from leo_telemetry_pipeline.web.dashboard import overview

NOW = datetime(2026, 3, 1, 12, 30, 20, tzinfo=UTC)


def bottleneck(name: str, ratio: float, cause: str | None = None) -> dict:
    of_type, _, key = name.partition(":")
    return {"dimension_type": of_type, "dimension_key": key, "ratio": ratio, "cause": cause}


def test_each_cause_is_one_row_worst_first_with_what_it_slows_down():
    """Lost: one slow gate fills the page with its phases and handoffs, and hides the next one."""
    found = overview.by_cause(
        [
            bottleneck("phase:LEAD", 1.5, "gate:A"),
            bottleneck("gate:B", 2, "gate:B"),
            bottleneck("gate:A", 3, "gate:A"),
            bottleneck("handoff:H", 1.4, "gate:A"),
            bottleneck("gate:C", 2.5),
        ]
    )
    assert [(one["dimension_key"], members) for one, members in found] == [
        ("A", ("phase:LEAD", "handoff:H")),
        ("C", ()),
        ("B", ()),
    ]


def test_a_cause_that_is_no_bottleneck_itself_does_not_hide_what_it_slows_down():
    """Lost: a bottleneck that nobody sees, because the service behind it is not measured as slow."""
    [(one, members)] = overview.by_cause(
        [bottleneck("handoff:H", 2, "service:db"), bottleneck("phase:P", 1.8, "service:db")]
    )
    assert (one["dimension_key"], members) == ("H", ("phase:P",))
