"""Forecasts: accuracy, selection, and defined answers for unusual histories."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import medians
from leo_telemetry_pipeline.analysis.forecast import (
    HORIZONS,
    LEAST_DAYS,
    NO_BASELINE,
    NOT_SEEN,
    TOO_FEW_DAYS,
    Calibration,
    Forecast,
    ForecastInput,
    choose,
    forecast,
    threshold,
    why_not,
    window_p50,
)

TODAY = 20_089
STILL = np.full(90, 1000.0)


def history(p50: np.ndarray, *, key: str = "A", baseline: float | None = 1000.0, week_ms: float = 1.0) -> ForecastInput:
    """Return a dimension with one P50 per day up to today (NaN: no spans) and a multiplier of 1.4."""
    days = np.arange(TODAY - len(p50) + 1, TODAY + 1)
    there = ~np.isnan(p50)
    return ForecastInput("gate", key, days[there], np.full(there.sum(), 50), p50[there], baseline, 1.4, week_ms)


def noisy(level: np.ndarray, seed: int = 7) -> np.ndarray:
    """Add 10 % noise to a level."""
    return level * np.exp(0.1 * np.random.default_rng(seed).normal(size=len(level)))


def forecast_of(p50: np.ndarray) -> list[Forecast]:
    return forecast([history(p50)], TODAY)


def probabilities_in(rows: list[Forecast]) -> list[float]:
    return [row.probability for row in rows if row.probability is not None]


def probabilities(p50: np.ndarray) -> list[float]:
    return probabilities_in(forecast_of(p50))


def test_a_stable_dimension_is_forecast_to_stay_on_its_side_of_the_threshold():
    """Lost: forecasts are worse than a look at the last week."""
    below, above = probabilities(noisy(STILL)), probabilities(noisy(STILL * 2))
    assert len(below) == len(above) == len(HORIZONS)
    assert max(below) < 0.1
    assert min(above) > 0.9


def test_a_drift_is_forecast_before_it_crosses_the_threshold():
    """Lost: the purpose of a forecast; people notice a slow drift only when it is a bottleneck."""
    drifting = history(noisy(1000 * 1.01 ** np.maximum(np.arange(90) - 64, 0)))
    now = window_p50(drifting, TODAY)
    week, fortnight = forecast([drifting], TODAY)
    assert now is not None
    assert now < threshold(drifting)
    assert week.probability is not None
    assert fortnight.probability is not None
    assert 0.1 < week.probability < fortnight.probability
    assert fortnight.probability > 0.3


def test_a_new_level_replaces_the_old_one_after_a_few_days():
    """Lost: for weeks after a step, forecasts lie halfway between both levels."""
    stepped = np.where(np.arange(90) < 80, 1000.0, 1800.0)
    week, _ = forecast_of(noisy(stepped))
    assert week.probability is not None
    assert week.probability > 0.9
    assert week.p50_ms == pytest.approx(1800, rel=0.1)


def test_one_huge_outlier_does_not_forecast_a_bottleneck():
    """Lost: a single unusual day raises an alarm about the future."""
    for day in (40, -1):
        p50 = noisy(STILL)
        p50[day] *= 1000
        assert max(probabilities(p50)) < 0.25


def test_the_interval_contains_the_median_and_grows_with_the_horizon():
    """Lost: a forecast is as certain for two weeks as for one."""
    week, fortnight = forecast_of(noisy(STILL))
    widths = []
    for row in (week, fortnight):
        assert row.low_ms is not None
        assert row.p50_ms is not None
        assert row.high_ms is not None
        assert row.low_ms < row.p50_ms < row.high_ms
        widths.append(row.high_ms / row.low_ms)
    assert widths[0] < widths[1]
    assert [row.day for row in (week, fortnight)] == [TODAY + 7, TODAY + 14]


def test_the_interval_covers_nine_in_ten_future_weeks():
    """Lost: intervals are too narrow to trust or too wide to use."""
    held = 0
    for seed in range(60):
        p50 = noisy(np.full(97, 1000.0), seed)
        row = forecast([history(p50[:90])], TODAY, horizons=(7,))[0]
        assert row.low_ms is not None
        assert row.high_ms is not None
        held += row.low_ms <= np.median(p50[90:]) <= row.high_ms
    assert held >= 48


def test_a_weekly_rhythm_is_not_noise():
    """Lost: with different weekends, intervals are as wide as the weekly rhythm."""
    weekend = (np.arange(TODAY - 89, TODAY + 1) + 3) % 7 >= 5
    week, _ = forecast_of(np.where(weekend, 600.0, 1000.0) * np.exp(0.02 * np.random.default_rng(3).normal(size=90)))
    assert week.p50_ms == pytest.approx(1000, rel=0.03)
    assert week.low_ms is not None
    assert week.low_ms > 900


def test_days_with_few_spans_weigh_less():
    """Lost: a day with two spans moves the forecast as much as one with hundreds."""
    p50 = noisy(STILL)
    p50[-3:] = 1250.0
    many = history(p50)
    few = replace(many, counts=np.where(np.arange(90) < 87, 50, 2))
    expected = [forecast([one], TODAY)[0].p50_ms for one in (few, many)]
    assert expected[0] is not None
    assert expected[1] is not None
    assert expected[0] < expected[1]


ODD = {
    "constant": STILL,
    "constant at its threshold": np.full(90, 1400.0),
    "zero durations": np.zeros(90),
    "zeros and a step": np.where(np.arange(90) < 85, 0.0, 5.0),
    "gaps": np.where(np.arange(90) % 5 == 0, STILL, np.nan),
    "a long gap": np.where((np.arange(90) > 10) & (np.arange(90) < 80), np.nan, STILL),
    "days that end before today": np.where(np.arange(90) < 85, noisy(STILL), np.nan),
    "huge": np.full(90, 1e15),
    "a step of a million": np.where(np.arange(90) < 45, 1.0, 1e6),
    "a new dimension": noisy(np.full(LEAST_DAYS, 1000.0)),
    "years": noisy(np.full(1000, 1000.0)),
}


@pytest.mark.parametrize("name", ODD)
def test_unusual_histories_have_finite_forecasts(name: str):
    """Lost: one unusual dimension leaves all others without a forecast, or prints nan."""
    rows = forecast_of(ODD[name])
    assert [row.reason for row in rows] == ["", ""]
    for row in rows:
        numbers = [row.probability, row.p50_ms, row.low_ms, row.high_ms]
        assert all(number is not None and math.isfinite(number) for number in numbers)
        assert row.probability is not None
        assert 0 < row.probability < 1


@pytest.mark.parametrize(
    ("days", "baseline", "reason"),
    [
        (noisy(STILL), None, NO_BASELINE),
        (noisy(STILL), 0.0, NO_BASELINE),
        (noisy(STILL), float("nan"), NO_BASELINE),
        (np.array([]), 1000.0, NOT_SEEN),
        (np.where(np.arange(90) < 83, STILL, np.nan), 1000.0, NOT_SEEN),
        (np.array([1000.0]), 1000.0, TOO_FEW_DAYS),
        (np.full(LEAST_DAYS - 1, 1000.0), 1000.0, TOO_FEW_DAYS),
        (np.where(np.arange(200) % 10 == 9, 1000.0, np.nan), 1000.0, TOO_FEW_DAYS),
    ],
)
def test_a_dimension_without_a_forecast_says_why(days: np.ndarray, baseline: float | None, reason: str):
    """Lost: a dimension that is new, gone or without a baseline is missing without a reason."""
    rows = forecast([history(days, baseline=baseline)], TODAY)
    assert [(row.reason, row.probability, row.p50_ms, row.low_ms, row.high_ms) for row in rows] == 2 * [
        (reason, None, None, None, None)
    ]


def test_the_dimensions_with_the_most_time_that_can_be_forecast_are_chosen():
    """Lost: forecasts of some dimensions, in favour of busier ones that cannot be forecast."""
    times = {"GATE": 5.0, "LONG": 9.0, "SAME": 5.0, "SHORT": 1.0}
    histories = [history(STILL, key=key, week_ms=week) for key, week in times.items()]
    histories.append(history(STILL, key="LONGEST", week_ms=99.0, baseline=None))
    assert choose(histories, TODAY, 2) == {("gate", "LONG"), ("gate", "GATE")}
    rows = forecast(histories, TODAY, horizons=(7,), most=2)
    assert [row.dimension_key for row in rows] == ["GATE", "LONG", "SAME", "SHORT", "LONGEST"]
    assert [row.reason for row in rows] == [
        "",
        "",
        "not among the 2 dimensions with the most time per week",
        "not among the 2 dimensions with the most time per week",
        NO_BASELINE,
    ]


def test_days_after_today_and_invalid_values_are_ignored():
    """Lost: a backtest knows the future, or one invalid row spoils a forecast."""
    known = noisy(STILL)
    later = history(np.concatenate([known, np.full(20, 9000.0)]))
    later = replace(later, days=later.days + 20)
    assert forecast([later], TODAY) == forecast([history(known)], TODAY)
    broken = history(known)
    broken = replace(
        broken,
        days=np.append(broken.days, [TODAY - 200, TODAY - 201, TODAY - 202]),
        counts=np.append(broken.counts, [5, 0, 5]),
        p50_ms=np.append(broken.p50_ms, [-1.0, 5.0, np.nan]),
    )
    assert forecast([broken], TODAY) == forecast([history(known)], TODAY)


def test_the_order_of_days_does_not_matter():
    """Lost: a query without ORDER BY changes forecasts."""
    one = history(noisy(STILL))
    mixed = np.random.default_rng(1).permutation(90)
    other = replace(one, days=one.days[mixed], counts=one.counts[mixed], p50_ms=one.p50_ms[mixed])
    assert forecast([one], TODAY) == forecast([other], TODAY)


def test_calibration_changes_probabilities_and_keeps_their_order():
    """Lost: calibration is not applied, or turns likely into unlikely."""
    rows = [history(noisy(STILL)), history(noisy(STILL * 1.4), key="B"), history(noisy(STILL * 2), key="C")]
    plain = probabilities_in(forecast(rows, TODAY, horizons=(7,)))
    moved = probabilities_in(forecast(rows, TODAY, horizons=(7,), calibration=Calibration(-1.0, 0.5)))
    assert len(plain) == len(moved) == 3
    assert plain == sorted(plain)
    assert moved == sorted(moved)
    assert plain != moved
    assert Calibration().of(0.3) == pytest.approx(0.3)
    assert Calibration(-1.0, 1.0).of(0.5) == pytest.approx(1 / (1 + math.e))
    assert 0 < Calibration().of(0.0) < Calibration().of(1.0) < 1


def test_the_p50_of_a_window_is_the_median_of_its_days_weighted_by_spans():
    """Lost: the forecast is about another P50 than the analysis of that day."""
    p50 = np.array([9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    one = history(p50)
    assert window_p50(one, TODAY) == 4.0
    assert window_p50(replace(one, counts=np.array([1, 1, 1, 1, 1, 1, 1, 9])), TODAY) == 7.0
    assert window_p50(one, TODAY - 7) == 9.0
    assert window_p50(one, TODAY - 8) is None
    assert medians.weighted(np.array([1.0, 2.0]), np.array([3, 3])) == 1.5


def test_a_nan_multiplier_is_not_a_threshold():
    """Lost: people see the probability of crossing a threshold that does not exist."""
    assert why_not(replace(history(STILL), multiplier=float("nan")), TODAY) == NO_BASELINE


def test_statsmodels_is_imported_only_by_forecasts():
    """Lost: every command that reads a forecast waits a second for statsmodels."""
    code = (
        "import sys; from leo_telemetry_pipeline.analysis import backtest, forecast; "
        "sys.exit(any(name.split('.')[0] in ('statsmodels', 'scipy') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
