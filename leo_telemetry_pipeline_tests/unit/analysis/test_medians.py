"""Weighted, masked and running medians against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.analysis import medians

values = st.lists(st.integers(-1000, 1000), min_size=1, max_size=20)


@given(values, st.data())
def test_a_weight_counts_like_that_many_equal_values(of: list[int], data: st.DataObject):
    """Lost: a busy day would count differently than its spans."""
    weights = data.draw(st.lists(st.integers(1, 5), min_size=len(of), max_size=len(of)))
    assert medians.weighted(np.array(of, float), np.array(weights)) == np.median(np.repeat(of, weights))


@pytest.mark.parametrize("weights", [[0.1, 0.2, 0.3], [0.7, 0.1, 0.8], [1 / 3, 1 / 3, 2 / 3]])
def test_halves_that_differ_only_by_rounding_are_equal(weights: list[float]):
    """Lost: the same days in another order have another level."""
    found = {
        medians.weighted(np.array([1.0, 2.0, 3.0])[order], np.array(weights)[order]) for order in ([0, 1, 2], [2, 1, 0])
    }
    assert found == {2.5}


@given(values, st.data())
def test_the_masked_median_is_the_median_of_the_selected_points(of: list[int], data: st.DataObject):
    """Lost: a weekend is compared with itself."""
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(of), max_size=len(of))))
    expected = np.median(np.array(of)[chosen]) if chosen.any() else 0.0
    assert medians.masked(np.array([of], float), chosen[None])[0, 0] == expected


def test_only_the_running_median_by_day_follows_a_step_in_the_last_days():
    """Lost: a forecast takes a step of three days ago for three outliers."""
    x = np.where(np.arange(20) < 17, 1.0, 5.0)
    assert medians.running(x[None])[0].tolist() == [1.0] * 20
    assert medians.running_by_day(np.arange(20), x).tolist() == [1.0] * 17 + [3.0, 5.0, 5.0]
    assert medians.running(np.array([[1.0, 2.0, 9.0]])).tolist() == [[2.0] * 3]
    assert medians.running_by_day(np.array([0, 10, 11]), np.array([1.0, 2.0, 4.0])).tolist() == [1.0, 3.0, 3.0]
