"""Weighted, masked and running medians, beside NumPy's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.analysis import medians

values = st.lists(st.integers(-1000, 1000), min_size=1, max_size=20)


@given(values, st.data())
def test_a_weight_is_as_many_equal_values(of: list[int], data: st.DataObject):
    """Lost: a busy day would count otherwise than its spans."""
    weights = data.draw(st.lists(st.integers(1, 5), min_size=len(of), max_size=len(of)))
    assert medians.weighted(np.array(of, float), np.array(weights)) == np.median(np.repeat(of, weights))


@pytest.mark.parametrize("weights", [[0.1, 0.2, 0.3], [0.7, 0.1, 0.8], [1 / 3, 1 / 3, 2 / 3]])
def test_halves_that_differ_by_rounding_alone_are_equal(weights: list[float]):
    """Lost: the same days in another order would have another level."""
    found = {
        medians.weighted(np.array([1.0, 2.0, 3.0])[order], np.array(weights)[order]) for order in ([0, 1, 2], [2, 1, 0])
    }
    assert found == {2.5}


@given(values, st.data())
def test_the_masked_median_is_that_of_the_chosen_points(of: list[int], data: st.DataObject):
    """Lost: a weekend would be compared with itself."""
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(of), max_size=len(of))))
    expected = np.median(np.array(of)[chosen]) if chosen.any() else 0.0
    assert medians.masked(np.array([of], float), chosen[None])[0, 0] == expected


def test_running_medians_follow_a_step_and_the_one_by_day_up_to_the_last_days():
    """Lost: a forecast would take a step of three days ago for three odd days."""
    x = np.where(np.arange(20) < 17, 1.0, 5.0)
    assert medians.running(x[None])[0].tolist() == [1.0] * 20
    assert medians.running_by_day(np.arange(20), x).tolist() == [1.0] * 17 + [3.0, 5.0, 5.0]
    assert medians.running(np.array([[1.0, 2.0, 9.0]])).tolist() == [[2.0] * 3]
    assert medians.running_by_day(np.array([0, 10, 11]), np.array([1.0, 2.0, 4.0])).tolist() == [1.0, 3.0, 3.0]
