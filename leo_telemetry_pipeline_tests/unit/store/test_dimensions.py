"""Which dimension types a day can have, given the span types that it has."""

from leo_telemetry_pipeline.store.dimensions import types_among

WORDS = ["gate", "gate+sd_type", "sd_type", "team", "tool"]


def test_a_day_can_have_those_types_alone_whose_spans_it_has():
    """Lost: a day would miss a dimension, or take longer to plan than to count."""
    assert types_among(WORDS, {"gate"}) == ["gate", "gate+sd_type"]
    assert types_among(WORDS, {"tool", "wait"}) == ["tool"]
    assert types_among(WORDS, set()) == []


def test_where_there_are_handoffs_a_word_may_be_an_attribute_of_theirs():
    """Lost: the history of every attribute, which no span type has the name of."""
    assert types_among(WORDS, {"handoff"}) == ["gate", "sd_type", "team", "tool"]
