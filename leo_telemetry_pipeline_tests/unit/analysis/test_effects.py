"""Effect of a repair: the interval allows for days that resemble their neighbours, and short stretches have numbers."""

import math

import numpy as np
import pytest

from benchmarks import series
from benchmarks.bench_compare import side
from leo_telemetry_pipeline.analysis import effects
from leo_telemetry_pipeline.analysis.compare import Side
from leo_telemetry_pipeline.analysis.effects import Effect
from leo_telemetry_pipeline.store.history.histograms import GAMMA


def stretch(levels: np.ndarray, first: int = 0, spans: int = 40) -> Side:
    """Return a side from the level of each day in ms, around which its spans spread."""
    around = np.exp(0.3 * np.linspace(-1, 1, spans))
    return side(np.rint(levels[:, None] * around).ravel(), np.repeat(np.arange(len(levels)), spans), first)


def of_days(days: np.ndarray) -> Effect:
    """Return the effect of a repair: 28 normal days, 14 that are three times as slow, 14 after it."""
    levels = 3000 * np.exp(0.1 * days) * np.repeat([1, 3, 1], [28, 14, 14])
    return effects.effect(stretch(levels[:28]), stretch(levels[28:42], 28), stretch(levels[42:], 42), 9000.0, GAMMA)


def width(effect: Effect) -> float:
    return math.log((effect.ratio_high or math.inf) / (effect.ratio_low or 1))


def test_days_that_resemble_their_neighbours_widen_the_interval():
    """Lost: a spell of quick days after a useless edit looks like an effect."""
    days = series.ar1(np.random.default_rng(16), 1, 56, 0.8)[0]
    alike = of_days(days)
    # The same days of each stretch, in an order without memory.
    shuffled = np.concatenate([np.random.default_rng(1).permutation(part) for part in np.split(days, [28, 42])])
    assert width(alike) > 1.5 * width(of_days(shuffled))


def test_the_effect_of_a_repair_says_what_it_gives_back_per_week():
    """Lost: nobody can tell whether a repair was worth it."""
    effect = of_days(np.zeros(56))
    assert (effect.before_ms, effect.worst_ms) == (pytest.approx(3000, rel=0.01), 9000.0)
    assert (effect.slow_ms, effect.after_ms) == (pytest.approx(9000, rel=0.01), pytest.approx(3000, rel=0.01))
    assert effect.ratio == pytest.approx(1 / 3, rel=0.01)
    assert (effect.spans_per_week, effect.slow_days, effect.after_days) == (280, 14, 14)
    assert effect.given_back_ms_per_week == pytest.approx(6000 * 280, rel=0.01)


@pytest.mark.parametrize(("slow", "after"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_short_episode_without_a_past_has_an_effect(slow: int, after: int):
    """Lost: an analysis fails because an episode was short."""
    sides = stretch(np.full(slow, 9000.0)), stretch(np.full(after, 3000.0), slow)
    effect = effects.effect(None, *sides, None, GAMMA)
    assert effect.before_ms is None
    assert effect.ratio is not None
    assert effect.ratio == pytest.approx(1 / 3, rel=0.01)
    assert (effect.ratio_low or 0) <= effect.ratio <= (effect.ratio_high or 0)
    assert width(effect) < math.inf
