"""Backtest: scores, rules, calibration, the verdict, and no look-ahead."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from leo_telemetry_pipeline.analysis import backtest as module
from leo_telemetry_pipeline.analysis.backtest import (
    COLUMNS,
    Backtest,
    Score,
    backtest,
    bins,
    calibrate,
    calibration_error,
    score,
    verdict,
    with_learning,
)
from leo_telemetry_pipeline.analysis.forecast import Calibration, ForecastInput

TODAY = 20_089


def history(p50: np.ndarray, key: str = "A", baseline: float | None = 1000.0, week_ms: float = 1.0) -> ForecastInput:
    days = np.arange(TODAY - len(p50) + 1, TODAY + 1)
    return ForecastInput("gate", key, days, np.full(len(p50), 50), p50, baseline, 1.4, week_ms)


def drifting(count: int = 12, seed: int = 3) -> list[ForecastInput]:
    """Return dimensions that drift over their thresholds at different times and rates."""
    rng = np.random.default_rng(seed)
    day = np.arange(90)
    return [
        history(1000 * np.exp(rate * np.maximum(day - 30, 0) + 0.08 * rng.normal(size=90)), f"K{index:02}")
        for index, rate in enumerate(np.linspace(-0.005, 0.02, count))
    ]


@cache
def backtest_of_drifts() -> Backtest:
    return backtest(drifting(), TODAY)


def raw(*rows: tuple[int, int, float, bool, bool]) -> pd.DataFrame:
    """Return forecasts: origin, horizon, probability, bottleneck at the origin, bottleneck later."""
    made = [("gate", "A", origin, horizon, said, now, True, came) for origin, horizon, said, now, came in rows]
    return pd.DataFrame(made, columns=list(COLUMNS))


def scored(brier: float, *, count: int = 100, horizon: int | None = None) -> Score:
    return Score(horizon, count, 10, brier, 0.10, 0.08, 0.20, 0.01, 0.9)


def test_a_forecast_of_drifts_is_better_than_every_rule_and_the_verdict_says_so():
    """Lost: the forecast's advantage over a look at today's state, or the report of that advantage."""
    tested = backtest_of_drifts()
    everything, week, fortnight = tested.scores
    assert (everything.horizon_days, week.horizon_days, fortnight.horizon_days) == (None, 7, 14)
    assert everything.forecasts == week.forecasts + fortnight.forecasts == len(tested.pairs) == 12 * (8 + 7)
    assert everything.brier < 0.9 * everything.best_rule[1]
    assert "better than the rule" in tested.verdict


def test_the_verdict_says_when_a_rule_is_as_good():
    """Lost: people trust a forecast that a constant would beat."""
    words = verdict([scored(0.09), scored(0.05, horizon=7), scored(0.08, horizon=14)])
    assert words == (
        "All forecasts: no better than the rule 'as after days like today' (Brier score 0.0900 against 0.0800). "
        "7 days ahead: 38% better than the rule 'as after days like today' (Brier score 0.0500 against 0.0800). "
        "14 days ahead: no better than the rule 'as after days like today' (Brier score 0.0800 against 0.0800)."
    )


def test_unpredictable_noise_does_not_score_well():
    """Lost: the verdict is always good news."""
    rng = np.random.default_rng(5)
    histories = [history(1400 * np.exp(0.3 * rng.normal(size=90)), f"K{index}") for index in range(10)]
    tested = backtest(histories, TODAY)
    assert tested.scores[0].brier > 0.9 * tested.scores[0].base_rate


def test_later_days_do_not_change_a_forecast():
    """Lost: a backtest knows the future and promises too much."""
    origin = TODAY - 28
    changed = [
        ForecastInput(
            *one.dimension, one.days, one.counts, np.where(one.days > origin, 9e6, one.p50_ms), 1000.0, 1.4, 1.0
        )
        for one in drifting()
    ]
    forecasts = []
    for tested in (backtest_of_drifts(), backtest(changed, TODAY)):
        pairs = tested.pairs
        forecasts.append(pairs.loc[pairs["origin"] == origin, ["raw", "probability", "as_today", "as_today_learned"]])
    assert len(forecasts[0]) == 24
    pd.testing.assert_frame_equal(*forecasts)


def test_each_forecast_learns_only_from_outcomes_known_at_its_origin():
    """Lost: the calibration would know the future."""
    early = [(0, 7, 0.1, False, True)] * 100
    learned = with_learning(raw(*early, (6, 7, 0.1, False, True), (7, 7, 0.1, False, True), (7, 7, 0.1, True, True)))
    before, after, other_state = (learned.iloc[index] for index in (100, 101, 102))
    assert before["probability"] == pytest.approx(0.1)
    assert before["as_today_learned"] == pytest.approx(0.05)
    assert after["probability"] > 0.5
    assert after["as_today_learned"] == pytest.approx((100 + 0.5) / 110)
    assert other_state["as_today_learned"] == pytest.approx(0.8)


def test_the_score_of_each_rule_is_its_mean_squared_error():
    """Lost: the reference for the forecast."""
    learned = with_learning(raw((0, 7, 0.75, True, True), (0, 7, 0.25, True, False)))
    found = score(learned, 7)
    assert found.brier == pytest.approx(0.0625)
    assert found.as_today == pytest.approx(0.5)
    assert found.base_rate == pytest.approx(0.25)
    assert found.as_today_learned == pytest.approx((0.2**2 + 0.8**2) / 2)
    assert found.best_rule == ("base_rate", pytest.approx(0.25))


def test_bins_show_predicted_and_observed_frequencies():
    """Lost: people cannot see whether 80 % means 80 %."""
    learned = with_learning(raw(*[(0, 7, 0.85, True, index < 6) for index in range(10)], (0, 7, 1.0, True, True)))
    found = bins(learned)
    assert (found[0].low, found[0].high, found[0].forecasts) == (0.8, 0.9, 10)
    assert (found[0].predicted, found[0].observed) == (pytest.approx(0.85), pytest.approx(0.6))
    assert (found[1].low, found[1].forecasts, found[1].observed) == (0.9, 1, 1.0)
    assert calibration_error(found) == pytest.approx((10 * 0.25 + 1 - found[1].predicted) / 11)


def test_calibration_corrects_overconfident_forecasts_and_keeps_good_ones():
    """Lost: an overconfident model stays overconfident."""
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.02, 0.98, 2000)
    came = rng.random(2000) < truth
    odds = 2 * np.log(truth / (1 - truth)) + 1
    loud = calibrate(
        raw(*[(0, 7, float(1 / (1 + np.exp(-x))), False, bool(c)) for x, c in zip(odds, came, strict=True)])
    )
    good = calibrate(raw(*[(0, 7, float(p), False, bool(c)) for p, c in zip(truth, came, strict=True)]))
    assert (loud.intercept, loud.slope) == (pytest.approx(-0.5, abs=0.15), pytest.approx(0.5, abs=0.08))
    assert (good.intercept, good.slope) == (pytest.approx(0, abs=0.15), pytest.approx(1, abs=0.15))


@pytest.mark.parametrize("came", [True, False])
def test_calibration_of_one_sided_outcomes_is_finite_and_never_turns_likely_into_unlikely(came: bool):
    """Lost: after a quiet year, every forecast is 0 or nan, or reversed."""
    learned = calibrate(raw(*[(0, 7, said, False, came) for said in np.linspace(0, 1, 200)]))
    assert np.isfinite([learned.intercept, learned.slope]).all()
    assert learned.slope >= 0
    contrary = calibrate(raw(*[(0, 7, said, False, said < 0.5) for said in np.linspace(0, 1, 200)]))
    assert contrary.slope == 0
    assert calibrate(raw()) == Calibration()


def test_only_the_dimensions_with_the_most_time_are_tested():
    """Lost: the duration of a nightly job grows with the number of dimensions."""
    histories = [history(np.full(90, 1000.0), str(index), week_ms=index) for index in range(5)]
    assert set(backtest(histories, TODAY, most=2).pairs["dimension_key"]) == {"3", "4"}


@pytest.mark.parametrize(
    "histories",
    [
        [],
        [history(np.full(20, 1000.0))],
        [history(np.full(90, 1000.0), baseline=None)],
        [history(np.array([5.0]))],
    ],
)
def test_too_little_history_is_reported_and_does_not_calibrate(histories: list[ForecastInput]):
    """Lost: a new installation sees a crash, or a verdict from three forecasts."""
    tested = backtest(histories, TODAY)
    assert tested.verdict.startswith("Not enough history to judge the forecast:")
    assert len(tested.pairs) < module.LEAST_FORECASTS
    assert list(tested.pairs.columns) == [*COLUMNS, "probability", *module.RULES]
    assert np.isfinite([tested.calibration.intercept, tested.calibration.slope]).all()


@pytest.mark.parametrize("p50", [np.zeros(90), np.full(90, 1000.0), np.full(90, 1400.0)])
def test_constant_and_zero_durations_are_scored_without_nan(p50: np.ndarray):
    """Lost: one constant dimension makes the whole score nan."""
    for one in backtest([history(p50), history(p50, "B")], TODAY).scores:
        assert np.isfinite([one.brier, one.as_today, one.as_today_learned, one.base_rate, one.calibration_error]).all()
