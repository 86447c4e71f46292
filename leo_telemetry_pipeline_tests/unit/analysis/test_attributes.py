"""Attributes that separate slow spans from the others."""

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis.attributes import Separator, separate, slow_cut, with_trace_attributes
from leo_telemetry_pipeline.analysis.critical_path import TraceSpan


def drawn(count: int = 400, seed: int = 0) -> tuple[list[dict], np.ndarray]:
    """Draw spans, half of them slow: most of one model, and retried; all other attributes are random."""
    rng = np.random.default_rng(seed)
    is_slow = np.arange(count) % 2 == 0
    made = [
        {
            "model": "opus-5" if rng.random() < (0.92 if slow else 0.1) else str(rng.choice(["haiku-4", "sonnet-4"])),
            "retry_attempt": int(rng.integers(1, 4)) if rng.random() < (0.6 if slow else 0.05) else 0,
            "sd_type": str(rng.choice(["feature", "bugfix", "docs"])),
            "host": f"runner-{rng.integers(4)}",
            "request_id": f"r-{number}",
            "gate_score": int(rng.integers(70, 101)),
            "tags": ["a", "b"],
        }
        for number, slow in enumerate(is_slow)
    ]
    return made, is_slow


def test_separating_attributes_are_named_with_their_shares_best_first():
    """Lost: people know that a step is slow, but not that the new model is why."""
    made, is_slow = drawn()
    model, retry = separate(made, is_slow)
    assert (model.name, model.value, retry.name, retry.value) == ("model", "opus-5", "retry_attempt", ">= 1")
    assert model.slow_share == pytest.approx(0.92, abs=0.05)
    assert model.other_share == pytest.approx(0.1, abs=0.05)


def test_a_separator_reads_as_a_sentence():
    """Lost: people see percentages without the number that they refer to."""
    assert str(Separator("model", "opus-5", 0.92, 0.1)) == "model=opus-5: 92 % of slow spans, 10 % of the others"
    assert str(Separator("retries", ">= 2", 0.5, 0.0)) == "retries >= 2: 50 % of slow spans, 0 % of the others"


@pytest.mark.parametrize("seed", range(5))
def test_random_attributes_are_not_named(seed):
    """Lost: trust, after the third host that was not the reason."""
    made, is_slow = drawn(seed=seed)
    assert separate(made, np.random.default_rng(seed).permutation(is_slow)) == []


def test_ids_are_left_out_even_if_each_slow_span_has_its_own():
    """Lost: the best separator of spans is always their own id."""
    is_slow = np.arange(100) >= 50
    made = [{"span_id": n, "request": f"r-{n}", "file": f"f-{n % 60}", "nested": {"n": n}} for n in range(100)]
    assert separate(made, is_slow) == []


def test_at_most_three_attributes_are_named_once_each():
    """Lost: people get a list of all attributes, with every limit of the same number."""
    is_slow = np.arange(200) < 100
    made = [{name: int(slow) * 5 + n % 3 for name in "abcde"} for n, slow in enumerate(is_slow)]
    assert [each.name for each in separate(made, is_slow)] == ["a", "b", "c"]
    assert len(separate(made, is_slow, 1)) == 1


def test_an_attribute_that_only_slow_spans_have_separates_by_itself():
    """Lost: a flag that is written only when it is true is never named."""
    is_slow = np.arange(100) < 40
    [found] = separate([{"degraded": True} if slow else {} for slow in is_slow], is_slow)
    assert (found.value, found.slow_share, found.other_share) == ("true", 1.0, 0.0)


def test_too_few_spans_or_no_attributes_give_no_answer_and_no_error():
    """Lost: an analysis fails on a dimension with three slow spans."""
    assert separate([{"model": "x"}] * 3 + [{"model": "y"}] * 90, [True] * 3 + [False] * 90) == []
    assert separate([None] * 20, [True, False] * 10) == []
    assert separate([], []) == []


def test_a_span_is_slow_above_the_geometric_mean_of_both_medians():
    """Lost: what counts as slow depends on how many spans were slow."""
    assert slow_cut([400, 400, 390], [100, 110, 90]) == pytest.approx(200)
    assert slow_cut([10], [0]) == 5


def test_spans_inherit_missing_attributes_from_the_handoff_of_their_trace():
    """Lost: sd_type separates nothing, because only handoffs have it."""
    spans = [
        TraceSpan("1", "a", None, "gate", "G", 5, 9, None, attributes={"model": "x"}, host="one"),
        TraceSpan("1", "b", None, "handoff", "H", 1, 9, None, attributes={"sd_type": "docs", "model": "y"}),
        TraceSpan("2", "c", None, "gate", "G", 1, 9, None),
    ]
    assert [span.attributes for span in with_trace_attributes(spans)] == [
        {"sd_type": "docs", "model": "x", "host": "one"},
        {"sd_type": "docs", "model": "y"},
        {},
    ]
