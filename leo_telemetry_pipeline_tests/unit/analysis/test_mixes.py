"""Changed mixes of slices."""

import numpy as np

from leo_telemetry_pipeline.analysis import mixes
from leo_telemetry_pipeline.analysis.mixes import Durations
from leo_telemetry_pipeline.mix import Mix

LOGS = np.linspace(np.log(100), np.log(100_000), 600)


def spans(*slices: tuple[int, float]) -> np.ndarray:
    """Return histograms of log-normal slices: number of spans and median in ms."""
    weights = [np.exp(-0.5 * ((LOGS - np.log(median)) / 0.4) ** 2) for _, median in slices]
    return np.array(
        [np.round(count * each / each.sum() * 100) / 100 for (count, _), each in zip(slices, weights, strict=True)]
    )


def mix(before: np.ndarray, since: np.ndarray) -> Mix | None:
    """Return the mix of slices a, b, ... with a threshold of 1.15."""
    return mixes.explanation("host", "abc"[: len(before)], Durations(before, since, LOGS), 1.15)


def test_a_share_that_grows_from_10_to_60_percent_is_a_mix_and_shows_both():
    """Lost: more work of a long kind is reported as slow."""
    found = mix(spans((756, 1000), (84, 10_000)), spans((84, 1000), (126, 10_000)))
    assert found is not None
    assert abs(found.reweighted - 1) < 0.02
    assert [(share.value, round(share.before, 1), round(share.since, 1)) for share in found.shares] == [
        ("a", 0.9, 0.4),
        ("b", 0.1, 0.6),
    ]
    assert Mix.from_json(found.as_json()) == found


def test_a_value_that_was_not_there_before_is_a_mix():
    """Lost: more callers of a method that are instrumented make it look 3.6 times as slow."""
    assert mix(spans((840, 1000), (0, 5000)), spans((100, 1000), (300, 5000)))


def test_slices_that_all_got_slower_are_not_a_mix_even_if_shares_moved():
    """Lost: a slowdown of everything is explained away by a share that moved meanwhile."""
    assert mix(spans((400, 1000), (400, 3000)), spans((80, 2000), (130, 6000))) is None


def test_the_same_values_with_quite_other_shares_are_a_mix():
    """Lost: work that moved from one known host to another, slower one is reported as slow."""
    assert mix(spans((700, 1000), (70, 10_000)), spans((1, 1000), (200, 10_000)))


def test_equal_shares_are_not_a_mix():
    """Lost: noise is called a mix."""
    assert mix(spans((400, 1000), (400, 3000)), spans((100, 1200), (100, 3600))) is None


def test_other_values_throughout_are_not_a_mix():
    """Lost: work that moved to new, slower hosts is not reported."""
    assert mix(spans((800, 1000), (0, 3000)), spans((0, 1000), (200, 3000))) is None
