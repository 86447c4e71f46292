"""Threshold suggestions: values, days they are based on, and alarm rates."""

from dataclasses import replace

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import alarm_replay, alarm_simulation
from leo_telemetry_pipeline.analysis.alarm_simulation import Stable, simulate
from leo_telemetry_pipeline.analysis.tuning import MULTIPLIER_LEAST, Past, Suggestion, tune
from leo_telemetry_pipeline.daily_rows import Rows

GAMMA = 1.01
FIRST_DAY = 20_458


def by_bucket(days: list[tuple[int, int, np.ndarray]]) -> Rows:
    """Return rows from the durations in ms of (dimension, day)."""
    found = [np.unique(np.ceil(np.log(of) / np.log(GAMMA)).astype(int), return_counts=True) for *_, of in days]
    count = np.array([len(of) for *_, of in days])
    nothing = np.zeros(len(days))
    return Rows(
        np.array([dimension for dimension, *_ in days]),
        np.array([day for _, day, _ in days]),
        count,
        nothing,
        nothing,
        nothing,
        nothing,
        np.cumsum([len(buckets) for buckets, _ in found]),
        np.concatenate([buckets for buckets, _ in found]),
        np.concatenate([spans for _, spans in found]),
    )


def past(levels: np.ndarray, *, sigma: float = 0.2, spans: int = 20, seed: int = 3, **more: object) -> Past:
    """Draw days around levels in ms, with a configured threshold of 2 x 1 s."""
    rng = np.random.default_rng(seed)
    drawn = levels[:, None] * np.exp(sigma * rng.standard_normal((len(levels), spans)))
    weeks = np.full(len(levels), np.nan)
    for day in range(6, len(levels)):
        weeks[day] = np.median(drawn[day - 6 : day + 1])
    counts = np.full(len(levels), spans)
    made = Past("gate", "G", "key", FIRST_DAY, counts, np.median(drawn, axis=1), weeks, 1000.0, 2.0, True)
    return replace(made, **more)  # type: ignore[arg-type]


def suggested(one: Past, alarms_a_year: float = 1.0) -> Suggestion:
    [found] = tune([one], alarms_a_year)
    return found


def noisy(days: int, level: float, seed: int = 1, cv: float = 0.1) -> np.ndarray:
    return level * np.maximum(1 + cv * np.random.default_rng(seed).standard_normal(days), 0.1)


def test_the_p50_of_a_week_is_that_of_its_spans_and_not_of_its_days():
    """Lost: the replay would differ from the rule, and no alarm rate would be right."""
    rng = np.random.default_rng(4)
    days = [np.exp(6 + 0.5 * rng.standard_normal(rng.integers(5, 60))) for _ in range(20)]
    portions = [by_bucket([(1, day, days[day]) for day in part]) for part in (range(12), range(12, 20))]
    counts, p50_ms = alarm_replay.weeks(portions, 2, 20, GAMMA)
    assert np.isnan(p50_ms[0]).all()
    assert np.isnan(p50_ms[1, :6]).all()
    for day in range(6, 20):
        of_week = np.concatenate(days[day - 6 : day + 1])
        assert counts[1, day] == len(of_week)
        assert p50_ms[1, day] == pytest.approx(np.median(of_week), rel=0.01)


def test_weeks_without_spans_have_no_p50():
    """Lost: a gap in the history is an error, or looks like a fast week."""
    counts, p50_ms = alarm_replay.weeks(
        [by_bucket([(0, 1, np.array([50.0, 50.0])), (0, 19, np.array([9.0]))])], 1, 20, GAMMA
    )
    assert counts[0].tolist() == [0] * 6 + [2] * 2 + [0] * 11 + [1]
    assert np.isfinite(p50_ms[0]).tolist() == (counts[0] > 0).tolist()
    assert np.isnan(alarm_replay.weeks([], 1, 3, GAMMA)[1]).all()


def test_consecutive_weeks_over_the_limit_are_one_alarm():
    """Lost: a slow month counts as thirty alarms, and every multiplier is too high."""
    assert alarm_replay.alarms(np.array([np.nan, 3, 3, 1, 3, 2, 2, 3]), 2.0) == 3
    assert alarm_replay.alarms(np.array([3.0, 3.0]), 2.0) == 1
    assert alarm_replay.alarms(np.array([np.nan]), 2.0) == 0


def test_the_suggestion_is_the_current_level_and_the_smallest_quiet_multiplier():
    """Lost: an outdated threshold alarms always or never, and there is no better value."""
    found = suggested(past(noisy(90, 400)))
    assert found.baseline_p50_ms == pytest.approx(400, rel=0.05)
    assert found.multiplier is not None
    assert MULTIPLIER_LEAST < found.multiplier < 1.3
    assert found.alarms_a_year_now == 0
    assert found.alarms_a_year_then is not None
    assert 0.5 < found.alarms_a_year_then <= 1.2
    assert found.evidence["days"] == 90
    assert found.evidence["weeks_replayed"] == 84
    always = suggested(past(noisy(90, 4000)))
    assert always.share_over_now == 1
    assert always.evidence["alarms_replayed_now"] == 1


def test_a_higher_target_of_alarms_gives_a_lower_multiplier():
    """Lost: --target-alarms has no effect."""
    of = past(noisy(90, 1000))
    multipliers = [suggested(of, rate).multiplier or 0 for rate in (0.2, 1.0, 6.0)]
    assert multipliers == sorted(multipliers, reverse=True)
    assert len(set(multipliers)) == 3


def test_for_a_learned_baseline_only_the_multiplier_is_suggested():
    """Lost: tuning a multiplier switches off learning permanently."""
    found = suggested(past(noisy(90, 1000), has_baseline=False))
    assert found.baseline_p50_ms is None
    assert found.multiplier
    unknown = suggested(past(noisy(90, 1000), has_baseline=False, baseline_p50_ms=None))
    assert unknown.multiplier is None
    assert unknown.reason == "its baseline is learned, but there is none yet"


@pytest.mark.parametrize(
    ("step", "level", "is_slower"),
    [(2.0, 2000, True), (0.5, 500, False)],
)
def test_the_last_level_of_four_weeks_is_used_and_a_step_up_is_marked(step: float, level: float, is_slower: bool):
    """Lost: a regression becomes normal by waiting if suggestions are applied automatically."""
    found = suggested(past(np.concatenate([noisy(60, 1000), noisy(40, 1000 * step)])))
    assert found.baseline_p50_ms == pytest.approx(level, rel=0.1)
    assert found.is_slower is is_slower
    assert 38 <= found.evidence["days"] <= 42
    fresh = suggested(past(np.concatenate([noisy(60, 1000), noisy(10, 1000 * step)])))
    assert fresh.baseline_p50_ms == pytest.approx(1000, rel=0.1)
    assert not fresh.is_slower
    assert 8 <= fresh.evidence["days_since"] <= 12


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (past(noisy(27, 1000)), "27 days with at least 8 spans, 28 are needed"),
        (past(noisy(90, 1000), spans=5), "0 days with at least 8 spans, 28 are needed"),
        (past(np.repeat([1000.0, 2000.0], 20)), "at most 20 of its 40 days are on one level, 28 are needed"),
    ],
)
def test_too_few_days_give_no_suggestion_and_say_why(one: Past, reason: str):
    """Lost: people get a threshold based on noise, or no suggestion and no reason for that."""
    found = suggested(one)
    assert (found.multiplier, found.baseline_p50_ms, found.reason) == (None, None, reason)


@pytest.mark.parametrize("value", [0.0, 1.0, 250.0])
def test_constant_days_get_the_smallest_multiplier(value: float):
    """Lost: dimensions with constant or zero durations get NaN."""
    alike = np.full(60, value)
    weeks = np.where(np.arange(60) < 6, np.nan, value)
    found = suggested(replace(past(noisy(60, 1000)), p50_ms=alike, week_p50_ms=weeks))
    assert (found.multiplier, found.baseline_p50_ms) == (MULTIPLIER_LEAST, max(value, 0.5))
    assert found.alarms_a_year_then == 0


def test_missing_weekends_and_long_gaps_have_a_defined_answer():
    """Lost: work that pauses on weekends or holidays cannot be tuned."""
    of = past(noisy(120, 1000))
    rests = ((np.arange(120) % 7) >= 5) | ((np.arange(120) > 40) & (np.arange(120) < 60))
    found = suggested(replace(of, counts=np.where(rests, 0, of.counts), p50_ms=np.where(rests, np.nan, of.p50_ms)))
    assert found.multiplier
    assert np.isfinite([found.multiplier, found.alarms_a_year_then or 0, found.share_over_now or 0]).all()


def test_no_thresholds_give_no_suggestions():
    """Lost: an installation without thresholds fails after every run."""
    assert tune([]) == []


def test_equal_days_give_equal_suggestions():
    """Lost: every run suggests other numbers, which cannot be verified."""
    of = past(noisy(90, 1000))
    assert tune([of, of]) == tune([of, of])


@pytest.mark.parametrize(("spread", "expected"), [(2.0, 1.0), (0.001, 0.0)])
def test_a_simulated_week_is_the_mean_of_its_days_for_wide_spreads_and_their_median_for_narrow_ones(
    spread: float, expected: float
):
    """Lost: one slow day counts in full or not at all, whatever the spread of its spans."""
    x = np.array([[0.0, 0, 0, 0, 0, 0, 7.0]]) / 10
    found = alarm_simulation.week_p50(x, np.full(7, 10.0), np.arange(7)[None], spread)
    assert found[0, 0] == pytest.approx(expected / 10, abs=0.005)


def test_simulated_weeks_alarm_as_often_as_real_weeks_of_the_same_process():
    """Lost: the predicted alarms per year are meaningless."""
    rng = np.random.default_rng(8)
    days = 4000
    x = 7 + 0.15 * rng.standard_normal(days)
    of_week = np.lib.stride_tricks.sliding_window_view(x, 7).mean(axis=1)
    simulation = simulate(Stable(np.arange(days), np.full(days, 30), x, np.zeros(days)), np.exp(of_week), 1.0)
    for sigmas in (1.0, 2.0):
        limit = float(np.exp(7 + sigmas * 0.15 / np.sqrt(7)))
        real = alarm_replay.alarms(np.exp(of_week), limit) * 365.25 / len(of_week)
        assert simulation.alarms_a_year(limit) == pytest.approx(real, rel=0.25)
        assert simulation.alarms_a_year(simulation.least_limit(real)) == pytest.approx(real, rel=0.15)
