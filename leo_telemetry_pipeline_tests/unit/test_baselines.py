"""What is learned to be normal, when that moves, and what is judged slow by it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from leo_telemetry_pipeline.analysis import baselines, judgement
from leo_telemetry_pipeline.analysis.bottlenecks import LEARNED_COLUMNS

FIRST = datetime(2026, 1, 5, tzinfo=UTC)
KEY = ["dimension_type", "dimension_key"]
GUARDS = ["enough_spans", "enough_days", "changed", "large_enough", "separated", "confirmed", "false_discoveries"]
NOTHING = pd.DataFrame(columns=[*KEY, "p50_ms", "multiplier", "regime_start", "regime_days"])


def daily(
    *levels: tuple[int, float], key: str = "G", spans: int = 50, seed: int = 1, noise: float = 0.05
) -> pd.DataFrame:
    """Make days from a Monday on: so many days at each level in ms."""
    level = np.concatenate([np.full(days, ms) for days, ms in levels])
    p50_ms = level * np.exp(noise * np.random.default_rng(seed).standard_normal(len(level)))
    days = pd.date_range(FIRST.replace(tzinfo=None), periods=len(level))
    columns = {"dimension_type": "gate", "dimension_key": key, "day": days, "count": spans, "p50_ms": p50_ms}
    return pd.DataFrame(columns).astype(dict.fromkeys(KEY, "object"))


def learn(days: pd.DataFrame, kept: pd.DataFrame = NOTHING, **said: bool | int) -> pd.DataFrame:
    """Learn, with what people said of every baseline that is kept."""
    read = baselines.days_of(days)
    return baselines.learn(read, baselines.found_changes(read), kept.assign(**said))


def judged(days: pd.DataFrame, learned: pd.DataFrame) -> pd.DataFrame:
    """Judge the last seven days."""
    end = pd.Timestamp(days["day"].max()).tz_localize(UTC).to_pydatetime() + timedelta(days=1)
    read = baselines.days_of(days)
    return baselines.judge(read, baselines.found_changes(read), learned, end - timedelta(days=7), end)


def only(frame: pd.DataFrame) -> pd.Series:
    """Return the one row."""
    [row] = [row for _, row in frame.iterrows()]
    return row


def failed(row: pd.Series) -> list[str]:
    return [guard.name for guard in row["guards"] if not guard.passed]


def test_the_baseline_is_the_level_before_a_fresh_change():
    """Lost: a week's regression would be the first thing that the system takes for normal."""
    row = only(learn(daily((40, 1000.0), (7, 2000.0))))
    assert row["moved"] == "learned"
    assert row["p50_ms"] == pytest.approx(1000, rel=0.05)
    assert row["regime_start"] == pd.Timestamp("2026-01-05")
    assert row["evidence"]["days"] == row["regime_days"] == 28


def test_who_never_looked_before_gets_the_last_level_of_two_weeks():
    """Lost: on the first day, alarms about what changed last winter."""
    assert only(learn(daily((40, 1000.0), (30, 2000.0))))["p50_ms"] == pytest.approx(2000, rel=0.05)


@pytest.mark.parametrize("days", [7, 14, 40])
def test_a_regression_does_not_become_normal_by_waiting(days: int):
    """Lost: whoever waits long enough has no bottlenecks."""
    kept = learn(daily((40, 1000.0)))
    after = daily((40, 1000.0), (days, 2000.0))
    learned = learn(after, kept)
    row = only(learned)
    assert row["p50_ms"] == pytest.approx(only(kept)["p50_ms"], rel=0.1)
    assert row["moved"] == "kept"
    assert only(judged(after, learned))["outcome"] == "bottleneck"


def test_a_regression_older_than_the_history_is_still_one():
    """Lost: after ninety days the old level is forgotten, and the slow one is normal."""
    kept = learn(daily((40, 1000.0)))
    after = daily((40, 1000.0), (90, 2000.0)).iloc[40:]
    row = only(judged(after, learn(after, kept)))
    assert row["outcome"] == "bottleneck"
    assert row["ratio"] == pytest.approx(2, rel=0.05)
    assert pd.isna(row["onset_day"])


def test_a_level_that_somebody_accepted_becomes_the_baseline():
    """Lost: work that was made slower on purpose would be a bottleneck for ever."""
    kept = learn(daily((40, 1000.0)))
    after = daily((40, 1000.0), (6, 2000.0))
    learned = learn(after, kept, may_rise=True)
    assert only(learned)["moved"] == "accepted"
    assert only(learned)["p50_ms"] == pytest.approx(2000, rel=0.05)
    assert only(judged(after, learned))["outcome"] == "ok"


def test_an_improvement_moves_the_baseline_down_once_it_lasted_two_weeks():
    """Lost: what was gained could be lost again unseen; or a quiet holiday would be the new normal."""
    kept = learn(daily((40, 1000.0)))
    assert only(learn(daily((40, 1000.0), (10, 500.0)), kept))["moved"] == "kept"
    row = only(learn(daily((40, 1000.0), (14, 500.0)), kept))
    assert (row["moved"], row["p50_ms"]) == ("improved", pytest.approx(500, rel=0.05))


def test_a_settled_baseline_does_not_creep_with_its_days():
    """Lost: a dimension that slows by a little each week would take its baseline along."""
    kept = learn(daily((30, 1000.0)))
    row = only(learn(daily((30, 1000.0), (60, 1030.0)), kept))
    assert row["p50_ms"] == only(kept)["p50_ms"]


def test_a_young_baseline_settles_with_more_days():
    """Lost: two weeks' luck would be normal for ever."""
    kept = learn(daily((14, 1000.0)))
    row = only(learn(daily((20, 1000.0)), kept))
    assert (row["moved"], row["regime_days"]) == ("settling", 20)


def test_noise_sets_the_multiplier_and_dismissals_raise_it():
    """Lost: noisy dimensions would be flagged by chance, quiet ones never; a dismissal would change nothing."""
    quiet, noisy = only(learn(daily((40, 1000.0)))), only(learn(daily((40, 1000.0), noise=0.3)))
    assert quiet["multiplier"] == baselines.MULTIPLIER_LEAST
    assert noisy["multiplier"] > 1.4
    again = only(learn(daily((40, 1000.0)), learn(daily((40, 1000.0))), noise_dismissals=2))
    assert again["multiplier"] == pytest.approx(1.15 * 1.21)


def test_a_bottleneck_passes_every_guard_and_says_so_with_its_numbers():
    """Lost: alarms without evidence."""
    after = daily((40, 1000.0), (6, 1500.0))
    row = only(judged(after, learn(after)))
    assert row["outcome"] == "bottleneck"
    assert [guard.name for guard in row["guards"]] == GUARDS
    assert row["ratio"] == pytest.approx(1.5, rel=0.07)
    assert row["observed_p50_ms"] == pytest.approx(row["baseline_p50_ms"] * row["ratio"])
    assert row["onset_day"] == pd.Timestamp("2026-02-14")
    assert row["onset_from"] <= row["onset_day"] <= row["onset_to"]
    assert row["sample_count"] == 300
    assert row["p_value"] <= row["p_limit"]


def test_what_is_as_before_is_ok_and_says_which_guards_it_failed():
    """Lost: `why` would have nothing to say of what was not flagged."""
    row = only(judged(daily((40, 1000.0)), learn(daily((40, 1000.0)))))
    assert row["outcome"] == "ok"
    assert set(failed(row)) >= {"changed", "large_enough", "separated", "confirmed"}
    assert row["ratio"] == pytest.approx(1, rel=0.1)


def test_a_sure_but_small_change_is_no_bottleneck():
    """Lost: the difference between what is certain and what matters."""
    after = daily((40, 1000.0), (7, 1100.0), noise=0.01)
    row = only(judged(after, learn(after)))
    assert (row["outcome"], failed(row)) == ("ok", ["large_enough"])


def test_a_regression_that_is_over_is_no_bottleneck():
    """Lost: items about what was repaired already."""
    kept = learn(daily((40, 1000.0)))
    after = daily((40, 1000.0), (10, 2000.0), (5, 1000.0))
    assert only(judged(after, learn(after, kept)))["outcome"] == "ok"


def test_a_dimension_dismissed_as_noise_is_harder_to_flag():
    """Lost: the same false alarm, week after week."""
    kept, after = learn(daily((40, 1000.0))), daily((40, 1000.0), (6, 1300.0))
    assert only(judged(after, learn(after, kept)))["outcome"] == "bottleneck"
    row = only(judged(after, learn(after, kept, noise_dismissals=3)))
    assert (row["outcome"], failed(row)) == ("ok", ["large_enough"])
    assert "noise" in row["guards"][4].says


def test_five_spans_a_day_are_not_enough_data_and_say_what_is_needed():
    """Lost: an alarm that rests on five spans, or silence that looks like health."""
    few = daily((60, 1000.0), (7, 3000.0), spans=5)
    learned = learn(few)
    row = only(judged(few, learned))
    assert learned.empty
    assert row["outcome"] == "not_enough_data"
    assert failed(row) == ["enough_spans", "enough_days"]
    assert [guard.limit for guard in row["guards"]] == [baselines.DAY_SPANS, 14]
    assert row["guards"][0].says == "5 spans a day, 8 are needed"


def test_a_new_dimension_is_not_judged_and_a_removed_one_keeps_its_baseline():
    """Lost: a crash on the first day of a gate, or the memory of one that pauses."""
    kept = learn(daily((40, 1000.0), key="OLD"))
    new = daily((3, 1000.0), key="NEW")
    learned = learn(new, kept)
    assert list(learned["dimension_key"]) == ["OLD"]
    assert only(learned)["p50_ms"] == only(kept)["p50_ms"]
    assert only(judged(new, learned))["outcome"] == "not_enough_data"


def test_among_many_dimensions_only_what_stands_out_of_them_all_is_discovered():
    """Lost: with ten thousand dimensions, five false alarms a day."""
    assert judgement.discovery_limit([0.001, 0.9, 0.9, 0.9], 0.05) == pytest.approx(0.0125)
    assert judgement.discovery_limit([0.001, 0.02, 0.9, 0.9], 0.05) == pytest.approx(0.025)
    assert judgement.discovery_limit([0.0002, *[0.9] * 999], 0.05) == pytest.approx(0.00005)
    assert judgement.discovery_limit([], 0.05) == 0


@pytest.mark.parametrize(
    "p50_ms",
    [
        [5.0] * 30,
        [0.0] * 30,
        [0.0] * 20 + [40.0] * 10,
        [5.0] * 29 + [1e12],
        [5.0],
        [np.nan] * 30,
        [5.0] * 16 + [9.0] * 6,
    ],
)
@pytest.mark.parametrize("gap", [1, 5])
def test_odd_series_have_a_defined_answer(p50_ms: list[float], gap: int):
    """Lost: one odd dimension would fail the analysis of all others, or put a NaN in its report."""
    days = daily((len(p50_ms) * gap, 1.0)).iloc[::gap].assign(p50_ms=p50_ms)
    learned = learn(days)
    row = only(judged(days, learned))
    assert row["outcome"] in {"ok", "bottleneck", "not_enough_data"}
    assert np.isfinite(learned["p50_ms"].to_numpy()).all()
    assert (learned["p50_ms"] > 0).all()
    if row["outcome"] != "not_enough_data":
        assert np.isfinite([row["ratio"], row["observed_p50_ms"], row["score"], row["p_value"]]).all()


def test_no_dimension_at_all_is_an_empty_answer_with_the_same_columns():
    """Lost: the first analysis of an empty database."""
    empty = baselines.days_of(daily((1, 1.0)).iloc[:0])
    found = baselines.found_changes(empty)
    learned = baselines.learn(empty, found, NOTHING)
    none = baselines.judge(empty, found, learned, FIRST, FIRST + timedelta(days=7))
    full = daily((30, 1000.0))
    assert list(none.columns) == list(judged(full, learn(full)).columns)
    assert set(LEARNED_COLUMNS) <= set(none.columns)
    assert (len(found), len(learned), len(none)) == (0, 0, 0)
