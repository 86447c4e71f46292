"""The change detector on series with known changes."""

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import changes, noise, scan
from leo_telemetry_pipeline.analysis.changes import ChangePoint, Series

MONDAY = 20_458


def noisy(seed: int, points: int, sigma: float = 0.1) -> np.ndarray:
    """Draw log-normal noise around 100."""
    return 100 * np.exp(sigma * np.random.default_rng(seed).standard_normal(points))


def remembering(seed: int, points: int, rho: float = 0.6) -> np.ndarray:
    """Draw first-order autoregressive noise around 100."""
    drawn, made = np.random.default_rng(seed).standard_normal(points), np.zeros(points)
    for at in range(1, points):
        made[at] = rho * made[at - 1] + np.sqrt(1 - rho**2) * drawn[at]
    return 100 * np.exp(0.1 * made)


def is_plain(change: ChangePoint) -> bool:
    """Tell whether every number of a change is finite and in range."""
    numbers = (change.before, change.after, change.ratio, change.score, change.p_value)
    return bool(np.isfinite(numbers).all()) and change.ratio > 0 and 0 <= change.p_value <= scan.P_MOST


def test_a_step_is_found_with_its_onset_size_and_interval():
    """Lost: nobody learns that work got slower, since when, or by how much."""
    values = noisy(1, 120)
    values[70:] *= 1.5
    [change] = changes.find(values)
    assert abs(change.at - 70) <= 1
    assert change.earliest <= 70 <= change.latest
    assert change.ratio == pytest.approx(1.5, rel=0.07)
    assert is_plain(change)


def test_a_faster_level_is_a_change_too():
    """Lost: the proof that an improvement worked."""
    values = noisy(2, 80)
    values[50:] /= 2
    [change] = changes.find(values)
    assert change.ratio == pytest.approx(0.5, rel=0.1)


def test_several_changes_are_found_in_order():
    """Lost: a fresh change would hide behind a larger one of last month."""
    values = noisy(3, 150)
    values[50:] *= 1.6
    values[100:] *= 1.5
    assert [round(change.at, -1) for change in changes.find(values)] == [50, 100]


def test_a_past_slow_week_is_found_and_does_not_hide_a_later_change():
    """Lost: last month's incident hides this month's."""
    once, twice = [], []
    for seed in range(20):
        values = noisy(200 + seed, 90, 0.07)
        values[50:57] *= 2
        once.append(Series(values))
        twice.append(Series(np.where(np.arange(90) >= 85, 2.0, 1.0) * values))
    both = [[change.at for change in found] for found in changes.find_all(once)]
    assert sum(places == [50, 57] for places in both) >= 15
    assert sum(any(change.at == 85 for change in found) for found in changes.find_all(twice)) >= 13


def test_three_clearly_slower_points_at_the_end_are_enough_and_two_are_not():
    """Lost: a change is not found within three days, or every two slow days cause an alarm."""
    values = noisy(4, 63)
    values[60:] *= 2
    assert [change.at for change in changes.find(values)] == [60]
    assert changes.find(values[:62]) == []


def test_outliers_of_any_size_are_not_a_change():
    """Lost: trust; alarms about single spikes are the most common complaint."""
    values = noisy(5, 100)
    values[[20, 55, 56, 98, 99]] *= 1e6
    assert changes.find(values) == []


def test_three_points_of_the_slower_mode_in_a_row_are_not_a_change():
    """Lost: gates whose result is sometimes cached, as with most gates, cause false alarms."""
    rng = np.random.default_rng(6)
    values = noisy(6, 100) * np.where(rng.random(100) < 0.2, 2.0, 1.0)
    values[97:] = 200 * np.exp(0.1 * rng.standard_normal(3))
    assert changes.find(values) == []


def test_autocorrelated_series_are_rarely_taken_for_steps():
    """Lost: days whose load resembles that of the day before cause false alarms."""
    found = changes.find_all([Series(remembering(seed, 200)) for seed in range(100)])
    assert sum(map(bool, found)) <= 3


def test_a_wave_is_not_a_change_and_does_not_hide_one():
    """Lost: a daily rhythm would alarm every day, or hide steps."""
    wave = 1 + 0.2 * np.sin(2 * np.pi * np.arange(200) / 24)
    values = noisy(7, 200) * wave
    assert changes.find(values) == []
    values[120:] *= 1.2
    [change] = changes.find(values)
    assert abs(change.at - 120) <= 5


def test_a_weekly_rhythm_is_not_a_change_and_does_not_hide_one():
    """Lost: every Monday would be a regression, or one on a weekend would be missed."""
    days = MONDAY + np.arange(63)
    week = np.where(np.arange(63) % 7 >= 5, 0.6, 1.0)
    many = [noisy(100 + seed, 63, 0.05) * week for seed in range(40)]
    looks = [Series(values[:upto], None, days[:upto]) for values in many for upto in range(14, 61, 2)]
    assert sum(map(bool, changes.find_all(looks))) <= 2
    for values in many:
        values[60:] *= 1.3
    found = changes.find_all([Series(values, None, days) for values in many])
    assert sum(any(change.at == MONDAY + 60 for change in each) for each in found) >= 38


def test_points_with_few_spans_weigh_less():
    """Lost: a quiet weekend would count as much as days with fifty spans."""
    values, counts = noisy(9, 64, 0.05), np.full(64, 50)
    values[60:] *= 1.3
    assert changes.find(values, counts)
    counts[60:] = 2
    assert changes.find(values, counts) == []


@pytest.mark.parametrize("points", [0, 1, 2, 7, 8, 40, 100])
def test_a_constant_series_of_any_length_has_no_change(points: int):
    """Lost: an analysis fails on the simplest dimension."""
    assert changes.find(np.full(points, 5.0)) == []
    assert changes.find(np.zeros(points), np.ones(points), MONDAY + np.arange(points)) == []


def test_a_step_in_a_series_without_noise_is_a_change():
    """Lost: the clearest changes are missed, because of a division by zero."""
    [change] = changes.find([20.0] * 20 + [30.0] * 5)
    assert (change.at, change.ratio) == (20, pytest.approx(1.5))
    assert is_plain(change)


def test_a_step_from_zero_durations_is_a_change_of_finite_size():
    """Lost: sub-millisecond work that became slow is not found, because zero has no logarithm."""
    [change] = changes.find([0.0] * 20 + [30.0, 31.0, 29.0, 30.0, 32.0])
    assert change.at == 20
    assert is_plain(change)


def test_gaps_are_skipped_and_indices_are_those_of_the_input():
    """Lost: days without spans crash the detector or shift every onset."""
    values = noisy(10, 80)
    values[50:] *= 2
    values[[3, 30, 49]] = [np.nan, np.inf, np.nan]
    counts = np.ones(80)
    counts[10:15] = 0
    [change] = changes.find(values, counts)
    assert 50 <= change.at <= 51
    assert changes.find(np.full(30, np.nan)) == []


def test_series_in_a_batch_give_the_same_changes_as_alone():
    """Lost: batching by length would change the results."""
    many = [Series(np.where(np.arange(30 + seed % 3) > 20, 1.8, 1.0) * noisy(seed, 30 + seed % 3)) for seed in range(9)]
    assert changes.find_all(many) == [changes.find(each.values) for each in many]


def test_equal_values_share_their_rank():
    """Lost: a series of whole milliseconds would seem to rise by the order of its points."""
    shared = scan.ranks(np.array([[3.0, 1.0, 1.0, 2.0, 1.0]]))
    assert shared[0, 1] == shared[0, 2] == shared[0, 4]
    assert shared.mean() == pytest.approx(0)


def test_the_critical_score_has_the_configured_p_value():
    """Lost: the displayed p-value would not match the decision."""
    for points in (10, 60, 200):
        assert scan.p_value(scan.score_least(points), points) == pytest.approx(scan.P_MOST)


def test_a_clear_step_is_found_in_five_weeks_despite_random_autocorrelation():
    """Lost: after a month of use, several in a hundred slowdowns by a factor of 3.5 would be missed."""
    series = []
    for seed in range(100):
        values = noisy(seed, 35)
        values[28:] *= 3.5
        series.append(Series(values))
    found = changes.find_all(series)
    assert sum(any(abs(change.at - 28) <= 1 for change in each) for each in found) >= 99


def test_autocorrelation_is_distinguished_from_a_step():
    """Lost: each step would look like autocorrelation and be ignored."""
    step = np.log(noisy(11, 200))[None] + np.where(np.arange(200) < 100, 0, 0.3)
    left = noise.without_step(step, np.array([100]))
    assert noise.memory(left, step - np.median(step), noise.sigma(left))[0, 0] == 0
    wandering = np.log(remembering(12, 400))[None]
    wandering = wandering - np.median(wandering)
    assert noise.memory(wandering, wandering, noise.sigma(wandering))[0, 0] == pytest.approx(0.6, abs=0.15)
