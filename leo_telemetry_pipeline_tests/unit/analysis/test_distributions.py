"""Distributions of two periods over the same bins."""

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import distributions
from leo_telemetry_pipeline.analysis.compare import Side
from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET

GAMMA = 1.005


def side(spans: dict[float, int]) -> Side:
    """Return a day with some spans per duration in ms."""
    at = {ZERO_BUCKET if ms == 0 else int(np.ceil(np.log(ms) / np.log(GAMMA))): count for ms, count in spans.items()}
    lowest = min(at)
    row = np.zeros(max(at) - lowest + 1)
    for bucket, count in at.items():
        row[bucket - lowest] = count
    return Side(np.array([0]), row[None], lowest, min(spans), max(spans))


def test_both_periods_have_the_same_bins_and_every_span_is_in_one():
    """Lost: two histograms that cannot be laid over each other."""
    found = distributions.distributions([side({100: 50, 110: 50}), side({300: 30, 320: 10})], GAMMA)
    before, now = found.shares
    assert len(before) == len(now) == len(found.edges_ms) - 1 <= distributions.BINS
    assert sum(before) == pytest.approx(1)
    assert sum(now) == pytest.approx(1)
    assert found.edges_ms[0] <= 100
    assert found.edges_ms[-1] >= 320
    assert sum(share for share, edge in zip(now, found.edges_ms, strict=False) if edge < 290) == 0


def test_a_few_outliers_do_not_widen_the_bins():
    """Lost: one hung span makes everything else one bar."""
    found = distributions.distributions([side({100: 5000, 150: 5000, 1_000_000: 1})], GAMMA)
    assert found.edges_ms[-1] < 200
    assert sum(found.shares[0]) == pytest.approx(1)


def test_zeros_count_as_the_shortest_duration():
    """Lost: steps of less than a millisecond stretch the axis to a microsecond, or fail the page."""
    found = distributions.distributions([side({0: 10, 20: 10}), side({40: 10})], GAMMA)
    assert 18 < found.edges_ms[0] <= 20
    only = distributions.distributions([side({0: 10})], GAMMA)
    assert sum(only.shares[0]) == pytest.approx(1)
