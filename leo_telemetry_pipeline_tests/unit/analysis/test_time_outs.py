"""Time-outs that follow from a dimension's own spans."""

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis.time_outs import SPANS_MOST, time_out_ms


@pytest.mark.parametrize(("spans", "factor"), [(80, 1.95), (99, 1.95), (100, 1.85), (499, 1.6), (SPANS_MOST, 1.05)])
def test_a_time_out_is_closer_to_the_longest_span_the_more_spans_there_are(spans, factor):
    """Lost: a notice for work that is only slow, or none until hours later."""
    assert time_out_ms(spans, 1000.0) == pytest.approx(factor * 1000)


def test_fewer_than_eighty_spans_have_no_time_out():
    """Lost: the first long span of a new gate is announced as stuck."""
    assert time_out_ms(79, 1000.0) is None


def test_a_span_in_a_thousand_exceeds_the_time_out_of_log_normal_work():
    """Lost: people stop reading notices that are mostly wrong."""
    rng = np.random.default_rng(16)
    limits = [time_out_ms(200, of_past.max()) or 0.0 for of_past in np.exp(0.5 * rng.standard_normal((400, 200)))]
    spans = np.sort(np.exp(0.5 * rng.standard_normal(200_000)))
    false = 1 - np.searchsorted(spans, limits) / len(spans)
    # 95 %, less four standard errors of 400 draws.
    assert np.mean(false <= 0.001) >= 0.9
