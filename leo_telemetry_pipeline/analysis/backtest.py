"""Backtest of the forecast against rules without a model, and calibration from its errors.

Belongs here: forecasts from earlier days, their scores, calibration, and the verdict in words.
Does not: the forecast itself (forecast), which sees no data after its origin.

The rules: ``as_today`` predicts 1 for a bottleneck on the day, else 0; ``base_rate`` always predicts the share of
bottlenecks, the best constant in hindsight; ``as_today_learned`` predicts how often the state of the day (bottleneck
or not) was followed by a bottleneck before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leo_telemetry_pipeline.analysis.forecast import (
    HORIZONS,
    INTERVAL,
    Calibration,
    ForecastInput,
    choose,
    expect,
    log_odds,
    threshold,
    why_not,
    window_p50,
)

MOST_DIMENSIONS = 100
EVERY_DAYS = 7
ORIGINS = 8
LEAST_FORECASTS = 20
RULES = ("as_today", "as_today_learned", "base_rate")
BINS = 10

COLUMNS = (
    "dimension_type",
    "dimension_key",
    "origin",
    "horizon_days",
    "raw",
    "today",
    "inside",
    "outcome",
)
# Weights of the two priors, as numbers of outcomes: calibration changes nothing, and states mostly persist.
_PRIOR_OUTCOMES = 20.0
_STAYS, _BEGINS, _PRIOR_TODAY = 0.8, 0.05, 10.0


@dataclass(frozen=True)
class Score:
    """Brier scores (0 is perfect) of the forecast and the rules, calibration error and interval coverage.

    ``horizon_days`` is None for all horizons. ``coverage``: the share of P50s inside their 90 % interval.
    """

    horizon_days: int | None
    forecasts: int
    outcomes: int
    brier: float
    as_today: float
    as_today_learned: float
    base_rate: float
    calibration_error: float
    coverage: float

    @property
    def best_rule(self) -> tuple[str, float]:
        """The rule with the lowest Brier score, and that score."""
        return min(((rule, getattr(self, rule)) for rule in RULES), key=lambda rule: rule[1])


@dataclass(frozen=True)
class Bin:
    """Forecasts with a probability from ``low`` to ``high``: their number, mean probability and share of events."""

    low: float
    high: float
    forecasts: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Backtest:
    """Scores (all horizons, then each), bins, the verdict, and the calibration of the next forecast.

    ``pairs``: one row per forecast and outcome, with COLUMNS, probability and RULES.
    """

    scores: tuple[Score, ...]
    bins: tuple[Bin, ...]
    verdict: str
    calibration: Calibration
    pairs: pd.DataFrame


def backtest(
    histories: Sequence[ForecastInput], today: int, *, horizons: Sequence[int] = HORIZONS, most: int = MOST_DIMENSIONS
) -> Backtest:
    """Forecast the ``most`` dimensions with the most time as of 8 past days, a week apart, and score known outcomes.

    ``today``: the last closed UTC day. Past forecasts use today's thresholds, and are calibrated only with outcomes
    known at their origin.
    """
    chosen = choose(histories, today, most)
    judged = [history for history in histories if history.dimension in chosen]
    origins = [today - EVERY_DAYS * back for back in range(ORIGINS, 0, -1)]
    rows = [row for history in judged for origin in origins for row in _of_a_day(history, origin, today, horizons)]
    pairs = with_learning(pd.DataFrame(rows, columns=list(COLUMNS)))
    parts = [(None, pairs), *((horizon, pairs.loc[pairs["horizon_days"] == horizon]) for horizon in horizons)]
    scores = tuple(score(part, horizon) for horizon, part in parts if len(part))
    return Backtest(scores, bins(pairs), verdict(scores), calibrate(pairs), pairs)


def _of_a_day(history: ForecastInput, origin: int, today: int, horizons: Sequence[int]) -> Iterable[tuple]:
    now = window_p50(history, origin)
    known = [horizon for horizon in horizons if origin + horizon <= today]
    if why_not(history, origin) or now is None or not known:
        return
    limit = threshold(history)
    for horizon, expected in zip(known, expect(history, origin, known), strict=True):
        came = window_p50(history, origin + horizon)
        if came is not None:
            low, _, high = expected.interval(INTERVAL)
            probability = expected.above(limit)
            yield (*history.dimension, origin, horizon, probability, now > limit, low <= came <= high, came > limit)


def with_learning(pairs: pd.DataFrame) -> pd.DataFrame:
    """Add the calibrated ``probability`` and the rules to raw forecasts.

    For each origin, all but ``base_rate`` use only outcomes that were known then.
    """
    made = pairs.astype({"origin": "int64", "horizon_days": "int64", "raw": "float64"})
    made = made.astype(dict.fromkeys(("today", "inside", "outcome"), "bool"))
    made = made.assign(probability=made["raw"], as_today=made["today"].astype("float64"), as_today_learned=0.0)
    made["base_rate"] = made.groupby("horizon_days")["outcome"].transform("mean").astype("float64")
    for origin in sorted(made["origin"].unique()):
        known = made.loc[made["origin"] + made["horizon_days"] <= origin]
        here = made["origin"] == origin
        made.loc[here, "probability"] = calibrate(known).of(made.loc[here, "raw"].to_numpy())
        for state, belief in ((True, _STAYS), (False, _BEGINS)):
            came = known.loc[known["today"] == state, "outcome"]
            share = (came.sum() + belief * _PRIOR_TODAY) / (len(came) + _PRIOR_TODAY)
            made.loc[here & (made["today"] == state), "as_today_learned"] = share
    return made


def calibrate(pairs: pd.DataFrame) -> Calibration:
    """Fit Platt scaling: a logistic regression of the outcomes on the log odds of ``raw``.

    Shrunk towards the identity with the weight of 20 outcomes; the slope is never negative.
    """
    odds, came = log_odds(pairs["raw"].to_numpy("float64")), pairs["outcome"].to_numpy("float64")
    design = np.column_stack([np.ones_like(odds), odds])
    start = np.array([0.0, 1.0])
    line = start
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-design @ line))
        slope = design.T @ (came - fitted) - _PRIOR_OUTCOMES * (line - start)
        curve = (design.T * (fitted * (1 - fitted))) @ design + _PRIOR_OUTCOMES * np.eye(2)
        step = np.linalg.solve(curve, slope)
        line = line + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(float(line[0]), max(float(line[1]), 0.0))


def score(pairs: pd.DataFrame, horizon: int | None) -> Score:
    """Score one or more forecasts, and the rules."""
    came = pairs["outcome"].to_numpy(dtype="float64")
    brier = {name: float(np.mean((pairs[name].to_numpy() - came) ** 2)) for name in ("probability", *RULES)}
    return Score(
        horizon_days=horizon,
        forecasts=len(pairs),
        outcomes=int(came.sum()),
        brier=brier["probability"],
        as_today=brier["as_today"],
        as_today_learned=brier["as_today_learned"],
        base_rate=brier["base_rate"],
        calibration_error=calibration_error(bins(pairs)),
        coverage=float(pairs["inside"].mean()),
    )


def bins(pairs: pd.DataFrame) -> tuple[Bin, ...]:
    """Return the reliability bins, one per tenth of probability, without empty ones."""
    tenth = np.minimum((pairs["probability"].to_numpy() * BINS).astype(int), BINS - 1)
    means = pairs.groupby(tenth).agg(
        forecasts=("outcome", "size"), predicted=("probability", "mean"), observed=("outcome", "mean")
    )
    return tuple(
        Bin(int(index) / BINS, (int(index) + 1) / BINS, int(row.forecasts), float(row.predicted), float(row.observed))
        for index, row in zip(means.index, means.itertuples(index=False), strict=True)
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: mean ``abs(predicted - observed)`` of the bins, weighted by forecasts."""
    total = sum(each.forecasts for each in bins)
    return sum(each.forecasts * abs(each.predicted - each.observed) for each in bins) / total if total else 0.0


def verdict(scores: Sequence[Score]) -> str:
    """Return, in words, whether the forecast beats the best rule, for each score."""
    if not scores or scores[0].forecasts < LEAST_FORECASTS:
        count = scores[0].forecasts if scores else 0
        return f"Not enough history to judge the forecast: {count} of {LEAST_FORECASTS} past forecasts."
    return " ".join(_verdict(score) for score in scores)


def _verdict(score: Score) -> str:
    name, rule = score.best_rule
    when = "All forecasts" if score.horizon_days is None else f"{score.horizon_days} days ahead"
    words = {"as_today": "as today", "as_today_learned": "as after days like today", "base_rate": "the base rate"}
    gain = "no" if score.brier >= rule else f"{1 - score.brier / rule:.0%}"
    figures = f"(Brier score {score.brier:.4f} against {rule:.4f})"
    return f"{when}: {gain} better than the rule '{words[name]}' {figures}."
