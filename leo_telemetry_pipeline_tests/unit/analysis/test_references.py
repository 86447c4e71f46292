"""References: what they follow, how far they lag, and what the latest days prove against them."""

from dataclasses import replace

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import levels, references
from leo_telemetry_pipeline.analysis.levels import DailyP50s, History
from leo_telemetry_pipeline.analysis.references import Distance, Reference

MONDAY = 20_458
FIRST = 28


def histories(logs: np.ndarray) -> tuple[History, ...]:
    """Return the histories of series of daily logarithms, one per row."""
    series, days = logs.shape
    names = [("gate", f"G{number:03}") for number in range(series)]
    columns = np.repeat(np.arange(series), days), np.tile(MONDAY + np.arange(days), series), np.full(series * days, 30)
    return levels.days_of(DailyP50s(names, *columns, 1000 * np.exp(logs.ravel()))).histories


def referred(history: History) -> Reference:
    """Return the reference of the first four weeks, moved forward."""
    return references.forward(history, references.first(history, np.arange(FIRST)))


def latest(history: History, reference: Reference) -> Distance:
    """Return the distance of the latest days."""
    return references.distance(history, reference, int(history.days[-1]) + 1)


def noise(series: int, days: int, seed: int = 1) -> np.ndarray:
    """Draw noise of 10 %."""
    return 0.1 * np.random.default_rng(seed).standard_normal((series, days))


def test_a_regression_that_returns_after_an_incident_is_found():
    """Lost: work that was slow once may be slow again unnoticed, because its noise seems larger since."""
    logs = noise(40, 28 + 10 + 28 + 7)
    logs[:, 28:38] += np.log(3)
    logs[:, 66:] += np.log(3)
    found = []
    for history in histories(logs):
        reference = referred(history)
        found.append(latest(history, reference).p_value <= references.P_MOST)
    # In a few histories, the slow days look like a rhythm of the week.
    assert np.mean(found) >= 0.8


def test_a_reference_lags_a_drift_by_no_more_than_nine_weeks():
    """Lost: work that takes 10 % longer after a year alarms, because it is compared with last season."""
    drift = 0.0005 * np.arange(90)
    lags = [
        (history.raw[-1] - references.forward(history, references.first(history, np.arange(FIRST))).level) / 0.0005
        for history in histories(drift[None] + np.zeros((1, 1)))
    ]
    assert lags == [pytest.approx(55, abs=8)]


def test_the_slower_of_two_modes_becomes_normal_although_the_first_weeks_had_none_of_it():
    """Lost: false alarms all year for work that takes twice as long on one day in five."""
    rng = np.random.default_rng(3)
    days = noise(1, 90)
    days[:, FIRST:] += np.log(2) * (rng.random(90 - FIRST) < 0.2)
    [history] = histories(days)
    reference = referred(history)
    assert reference.days > 60
    assert reference.sigma > 0.13


def test_slow_days_that_a_reference_did_not_follow_do_not_make_slow_days_likely():
    """Lost: a regression of eight weeks is no longer found, because slow days are no longer rare."""
    days = noise(1, 90)
    days[:, 34:] += np.log(2)
    [history] = histories(days)
    reference = referred(history)
    assert reference.level == pytest.approx(np.log(1000), abs=0.06)
    assert latest(history, reference).p_value < 1e-4


def test_more_noise_is_not_slower():
    """Lost: trust, because dimensions that only vary more than before alarm."""
    days = noise(60, 74)
    calm = [latest(history, referred(history)).score for history in histories(days)]
    days[:, 60:] *= 4
    wild = [latest(history, referred(history)).score for history in histories(days)]
    assert np.mean(np.array(calm) > 4) == 0
    assert np.mean(np.array(wild) > 4) < 0.1


def test_a_slow_week_after_few_days_is_found_if_it_is_far_outside_their_noise():
    """Lost: people who began two weeks ago are never told that work takes twice as long."""
    days = 0.5 * noise(1, 24)
    days[:, 12:] += np.log(2)
    [history] = histories(days)
    assert latest(history, references.first(history, np.arange(10))).p_value < 5e-4


def test_two_slower_weeks_are_a_drift_only_if_the_reference_has_followed_it():
    """Lost: false alarms whenever the anchor's four weeks happened to be fast."""
    [history] = histories(0.2 * noise(1, 90) + 0.3)
    reference = referred(history)
    low = replace(reference, anchor=reference.level - 0.3, anchor_error=0.01)
    assert latest(history, low).p_value < 1e-4
    assert latest(history, replace(low, level=low.anchor + 0.01, sigma=0.5)).score < 4


def test_a_short_stretch_needs_a_higher_score_than_a_long_one():
    """Lost: false alarms of daily analyses, as a year has more stretches of three days than of two weeks."""
    assert references.p_value(4.1, 7) == pytest.approx(5e-4, rel=0.05)
    assert references.p_value(4.1, 3) > references.p_value(4.1, 7) > references.p_value(4.1, 14)


def test_days_before_a_pause_are_not_admitted_and_warn_of_nothing():
    """Lost: lines about an invalid division on the terminal, for work that paused for three weeks."""
    [history] = histories(noise(1, 90))
    before, after = slice(0, 60), slice(60, 90)
    paused = replace(history, days=np.concatenate([history.days[before], history.days[after] + 21]))
    reference = referred(paused)
    assert MONDAY + 90 < reference.until < MONDAY + 111
    assert reference.level == pytest.approx(referred(history).level, abs=0.02)
