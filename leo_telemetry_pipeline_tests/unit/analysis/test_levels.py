"""Daily levels of dimensions whose source knows only whole seconds."""

import numpy as np

from leo_telemetry_pipeline.analysis.levels import DailyP50s, History, days_of


def history(dimension_type: str, p50_ms: list[float], tail_ms: float = 2_000.0) -> History:
    """Return the history of one dimension with twenty spans per day, none of them with microseconds."""
    days = len(p50_ms)
    center = np.log(np.maximum(p50_ms, 0.5)) + 0.01
    [found] = days_of(
        DailyP50s(
            [(dimension_type, "shop / CI")],
            np.zeros(days, int),
            np.arange(20_000, 20_000 + days),
            np.full(days, 20),
            np.array(p50_ms),
            center,
            np.log(np.full(days, tail_ms)),
            np.zeros(days, int),
        )
    ).histories
    return found


def test_steps_of_github_are_compared_in_whole_seconds():
    """Lost: a step that takes half a second is called a thousand times slower once it rounds up to 1 s."""
    seconds = history("github_step", [0.0, 1_000.0] * 8)
    assert seconds.resolution_ms == 1_000
    assert np.exp(seconds.raw).round().tolist() == [500, 1_000] * 8
    assert np.array_equal(seconds.centers, seconds.x)
    assert history("github_step+event", [0.0] * 8).resolution_ms == 1_000
    assert history("gate", [0.0] * 8).resolution_ms == 1


def test_means_of_logs_are_used_once_a_second_hardly_matters():
    """Lost: jobs of minutes, of which there are few per day, are judged as coarsely as steps of a second."""
    long = history("github_job", [61_000.0, 63_000.0] * 8, tail_ms=90_000.0)
    assert np.allclose(long.centers, long.x + 0.01)
    assert np.isfinite(long.tails).all() if long.tails is not None else False
    short = history("github_step", [2_000.0, 3_000.0] * 8, tail_ms=4_000.0)
    assert np.array_equal(short.centers, short.x)
    assert short.tails is not None
    assert np.isnan(short.tails).all()
