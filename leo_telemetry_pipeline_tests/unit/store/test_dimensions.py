"""Dimension types that a day can have, given its span types."""

from leo_telemetry_pipeline.store.dimensions import types_among

WORDS = ["gate", "gate+sd_type", "sd_type", "team", "tool"]


def test_a_day_only_has_dimension_types_of_its_span_types():
    """Lost: a dimension of a day is missed, or time is spent on planning queries without rows."""
    assert types_among(WORDS, {"gate"}) == ["gate", "gate+sd_type"]
    assert types_among(WORDS, {"tool", "wait"}) == ["tool"]
    assert types_among(WORDS, set()) == []


def test_a_bare_word_may_be_an_attribute_of_handoffs():
    """Lost: the history of attribute dimensions."""
    assert types_among(WORDS, {"handoff"}) == ["gate", "sd_type", "team", "tool"]
