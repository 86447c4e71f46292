"""Slices of dimensions, and slow slices that say no more than their dimension."""

from dataclasses import replace

from leo_telemetry_pipeline.analysis import slices
from leo_telemetry_pipeline.dimension import Dimension, Guard, Judgement
from leo_telemetry_pipeline.mix import Mix

G, SD_TYPE = ("gate", "G"), "gate+sd_type"
FEATURE, BUGFIX, DOCS = ((SD_TYPE, f"G:{value}") for value in ("feature", "bugfix", "docs"))


def judgement(name: Dimension, ratio: float) -> Judgement:
    """Return a judgement of 30 spans, slow from a ratio of 1.5."""
    return Judgement(*name, (Guard("all", ratio >= 1.5, ratio, 1.5, ""),), True, ratio=ratio, sample_count=30)


def outcomes(ratios: dict[Dimension, float], counted: set[str]) -> dict[Dimension, str]:
    """Return the outcomes after like_wholes."""
    judged = [judgement(name, ratio) for name, ratio in ratios.items()]
    return {one.dimension: one.outcome for one in slices.like_wholes(judged, slices.slices_of(ratios), counted)}


def test_a_key_belongs_to_the_longest_name_that_exists():
    """Lost: a slice of GET:users is taken for one of GET, whose mix is then wrong."""
    names = [("operation", "GET"), ("operation", "GET:users"), ("operation+host", "GET:users:a")]
    [(whole, found)] = slices.slices_of(names).items()
    assert (whole, found) == (("operation", "GET:users"), {"host": [("operation+host", "GET:users:a")]})
    assert slices.value_of(whole, found["host"][0]) == "a"


def test_handoffs_are_slices_of_their_sd_type():
    """Lost: an SD type is called slow because more of its handoffs are of a long kind."""
    names = [("sd_type", "feature"), ("handoff", "A"), ("handoff+sd_type", "A:feature")]
    slice_ = ("handoff+sd_type", "A:feature")
    found = slices.slices_of(names)
    assert found == {("handoff", "A"): {"sd_type": [slice_]}, ("sd_type", "feature"): {"handoff": [slice_]}}
    assert [slices.value_of(whole, slice_) for whole in found] == ["feature", "A"]


def test_slices_that_are_slow_like_their_dimension_are_no_findings_of_their_own():
    """Lost: one slow gate is reported once per SD type, host and model."""
    everywhere = {G: 2.0, FEATURE: 2.0, BUGFIX: 1.9, DOCS: 2.2}
    assert set(outcomes(everywhere, {SD_TYPE}).values()) == {"bottleneck", "like_whole"}
    assert outcomes(everywhere, {SD_TYPE})[G] == "bottleneck"
    assert set(outcomes(everywhere, set()).values()) == {"bottleneck"}


def test_a_slice_that_is_slow_alone_is_a_finding_and_names_the_cause():
    """Lost: the one slow host of four is not named."""
    ratios = {G: 1.6, FEATURE: 5.0, BUGFIX: 1.0, DOCS: 1.0}
    assert outcomes(ratios, {SD_TYPE})[FEATURE] == "bottleneck"
    judged = [judgement(name, ratio) for name, ratio in ratios.items()]
    assert slices.slow_alone(judged, slices.slices_of(ratios)) == {G: ("sd_type", "feature")}


def test_a_slice_whose_dimension_only_has_another_mix_is_no_finding_unless_it_is_slow_alone():
    """Lost: more work on a slow host opens an item for every SD type."""
    ratios = {G: 2.0, FEATURE: 2.0, BUGFIX: 2.0}
    judged = [judgement(name, ratio) for name, ratio in ratios.items()]
    judged[0] = replace(judged[0], mix=Mix("host", 1.0, ()))
    found = slices.like_wholes(judged, slices.slices_of(ratios), ())
    assert [one.outcome for one in found] == ["mix", "like_whole", "like_whole"]
