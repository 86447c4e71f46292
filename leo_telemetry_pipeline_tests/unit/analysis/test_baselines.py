"""Learned baselines, when they move, and the judgements based on them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import baselines, judgement, levels
from leo_telemetry_pipeline.analysis.levels import DailyP50s
from leo_telemetry_pipeline.dimension import Baseline, Judgement

FIRST = datetime(2026, 1, 5, tzinfo=UTC)
FIRST_DAY = FIRST.toordinal() - date(1970, 1, 1).toordinal()
GUARDS = ["enough_days", "large_enough", "separated", "confirmed", "false_discoveries"]


def daily(*steps: tuple[int, float], key: str = "G", spans: int = 50, seed: int = 1, noise: float = 0.05) -> DailyP50s:
    """Return days from a Monday: (days, level in ms) of each step."""
    level = np.concatenate([np.full(days, ms) for days, ms in steps])
    p50_ms = level * np.exp(noise * np.random.default_rng(seed).standard_normal(len(level)))
    place = np.zeros(len(level), dtype=int)
    return DailyP50s([("gate", key)], place, FIRST_DAY + np.arange(len(level)), np.full(len(level), spans), p50_ms)


def some(days: DailyP50s, at: slice) -> DailyP50s:
    """Return some of these days."""
    return DailyP50s(days.dimensions, days.place[at], days.day[at], days.count[at], days.p50_ms[at])


def learn(days: DailyP50s, kept: Iterable[Baseline] = (), **decided: Any) -> list[Baseline]:
    """Learn baselines from days, earlier baselines and people's decisions."""
    read = levels.days_of(days)
    return list(baselines.learn(read, levels.change_points(read), [replace(one, **decided) for one in kept]).values())


def dismissed(kept: Iterable[Baseline], noise_dismissals: int) -> list[Baseline]:
    """Return baselines with this number of items closed as noise."""
    return [replace(one, evidence={**one.evidence, "noise_dismissals": noise_dismissals}) for one in kept]


def judged(days: DailyP50s, learned: Iterable[Baseline]) -> list[Judgement]:
    """Judge the last seven days."""
    end = FIRST + timedelta(days=int(days.day.max()) - FIRST_DAY + 1)
    read = levels.days_of(days)
    by_name = {one.dimension: one for one in learned}
    return judgement.judge(read, levels.change_points(read), by_name, end - timedelta(days=7), end)


def normal(learned: Iterable[Baseline]) -> Baseline:
    """Return the only baseline."""
    [one] = learned
    return one


def only(found: Iterable[Judgement]) -> Judgement:
    """Return the only judgement."""
    [one] = found
    return one


def failed(one: Judgement) -> list[str]:
    return [guard.name for guard in one.guards if not guard.passed]


def test_the_baseline_is_the_level_before_a_fresh_change():
    """Lost: a week's regression would be the initial baseline."""
    row = normal(learn(daily((40, 1000.0), (7, 2000.0))))
    assert row.moved == "learned"
    assert row.p50_ms == pytest.approx(1000, rel=0.05)
    assert row.regime_start == FIRST.date()
    assert row.evidence["days"] == row.regime_days == 28


def test_the_initial_baseline_is_the_last_level_of_two_weeks():
    """Lost: people get alarms about last winter's changes on the first day."""
    assert normal(learn(daily((40, 1000.0), (30, 2000.0)))).p50_ms == pytest.approx(2000, rel=0.05)


@pytest.mark.parametrize("days", [7, 14, 40])
def test_a_regression_does_not_become_normal_by_waiting(days: int):
    """Lost: bottlenecks disappear if people wait long enough."""
    kept = learn(daily((40, 1000.0)))
    after = daily((40, 1000.0), (days, 2000.0))
    learned = learn(after, kept)
    row = normal(learned)
    assert row.p50_ms == pytest.approx(normal(kept).p50_ms, rel=0.1)
    assert row.moved == "kept"
    assert only(judged(after, learned)).outcome == "bottleneck"


def test_a_regression_older_than_the_history_is_still_a_bottleneck():
    """Lost: after ninety days the slow level is normal."""
    kept = learn(daily((40, 1000.0)))
    after = some(daily((40, 1000.0), (90, 2000.0)), slice(40, None))
    row = only(judged(after, learn(after, kept)))
    assert row.outcome == "bottleneck"
    assert row.ratio == pytest.approx(2, rel=0.05)
    assert row.onset_day is None


def test_a_baseline_of_the_first_version_gets_the_reference_that_it_lacks():
    """Lost: every analysis after an upgrade fails, or a regression becomes normal with it."""
    days = daily((50, 1000.0), (60, 2000.0))
    first = normal(learn(some(days, slice(50))))
    old = replace(
        first, evidence={"days": 28, "noise_a_day": 0.05, "memory": 0.0, "noise_dismissals": 1, "moved": "kept"}
    )
    [kept] = learn(some(days, slice(-90, None)), [old])
    assert (kept.regime_start, kept.noise_dismissals) == (first.regime_start, 1)
    assert kept.p50_ms == pytest.approx(first.p50_ms, rel=0.03)
    assert only(judged(some(days, slice(-90, None)), [kept])).outcome == "bottleneck"
    # Without any day at that level, the baseline is learned again.
    assert normal(learn(some(days, slice(-50, None)), [old])).p50_ms == pytest.approx(2000, rel=0.03)


@pytest.mark.parametrize(("days", "moved"), [(10, "kept"), (20, "mixed")])
def test_the_level_of_another_mix_becomes_normal_after_two_weeks(days: int, moved: str):
    """Lost: once the days before another mix have left the history, it is reported as slow."""
    since: dict[str, object] = {"mixed_since": (FIRST + timedelta(days=40)).date().isoformat()}
    # What is around it may follow later.
    since["last_mix"] = {"since": since["mixed_since"]}
    kept = [replace(one, evidence={**one.evidence, **since}) for one in learn(daily((40, 1000.0)))]
    row = normal(learn(daily((40, 1000.0), (days, 2000.0)), kept))
    assert (row.moved, row.p50_ms) == (moved, pytest.approx(2000 if moved == "mixed" else 1000, rel=0.05))
    assert row.evidence["last_mix"] == since["last_mix"]


def test_an_accepted_level_becomes_the_baseline():
    """Lost: work that was made slower on purpose would be a bottleneck forever."""
    kept = learn(daily((40, 1000.0)))
    after = daily((40, 1000.0), (6, 2000.0))
    learned = learn(after, kept, accepted_on=(FIRST + timedelta(days=44)).date())
    assert normal(learned).moved == "accepted"
    assert normal(learned).p50_ms == pytest.approx(2000, rel=0.05)
    assert only(judged(after, learned)).outcome == "ok"


def test_an_acceptance_does_not_outlive_the_level_that_was_accepted():
    """Lost: a slowdown long after an accepted one that went away is taken for normal at once."""
    kept = learn(daily((40, 1000.0)))
    again = daily((40, 1000.0), (6, 2000.0), (20, 1000.0), (8, 2000.0))
    learned = learn(again, kept, accepted_on=(FIRST + timedelta(days=44)).date())
    assert normal(learned).p50_ms == pytest.approx(1000, rel=0.05)


def test_an_improvement_moves_the_baseline_down_after_two_weeks():
    """Lost: an improvement could be lost again unnoticed, or a quiet holiday would be the new normal."""
    kept = learn(daily((40, 1000.0)))
    assert normal(learn(daily((40, 1000.0), (10, 500.0)), kept)).moved == "kept"
    row = normal(learn(daily((40, 1000.0), (14, 500.0)), kept))
    assert (row.moved, row.p50_ms) == ("improved", pytest.approx(500, rel=0.05))


def test_a_settled_baseline_follows_a_stable_level_but_not_a_slower_one():
    """Lost: either a harmless drift of years alarms in the end, or what got slower takes its baseline along."""
    kept = learn(daily((30, 1000.0)))
    row = normal(learn(daily((30, 1000.0), (60, 1030.0)), kept))
    assert 1005 < row.p50_ms < 1030
    slower = normal(learn(daily((30, 1000.0), (60, 1200.0)), kept))
    assert slower.p50_ms == pytest.approx(normal(kept).p50_ms, rel=0.01)


def test_a_creep_that_the_baseline_followed_is_found_by_its_anchor():
    """Lost: what gets a little slower each week is never slow."""
    level = np.exp(np.log(1.35) * np.clip((np.arange(300) - 30) / 240, 0, 1))
    creeping = daily((300, 1000.0))
    creeping = replace(creeping, p50_ms=creeping.p50_ms * level)
    kept: list[Baseline] = []
    for end in range(27, 301, 7):
        kept = learn(some(creeping, slice(max(0, end - 90), end)), kept)
    row = only(judged(some(creeping, slice(210, 300)), kept))
    assert row.outcome == "bottleneck"
    assert row.ratio == pytest.approx(1.35, rel=0.1)


def test_a_regression_on_weekdays_only_is_found_from_every_weekday():
    """Lost: work that is slow from Monday to Friday never alarms if analysed on Mondays, after two normal days."""
    days = daily((91, 1000.0))
    weekday = np.arange(91) % 7 < 5
    for end in range(84, 91):
        slow = (np.arange(91) >= end - 7) & weekday
        seen = some(replace(days, p50_ms=days.p50_ms * np.where(slow, 2.0, 1.0)), slice(0, end))
        assert only(judged(seen, learn(some(seen, slice(0, end - 7))))).outcome == "bottleneck"


def test_a_young_baseline_settles_with_more_days():
    """Lost: two lucky weeks would be normal forever."""
    kept = learn(daily((14, 1000.0)))
    row = normal(learn(daily((20, 1000.0)), kept))
    assert (row.moved, row.regime_days) == ("settling", 20)


def test_noise_sets_the_multiplier_and_dismissals_raise_it():
    """Lost: noisy dimensions would be flagged by chance, quiet ones never; a dismissal would change nothing."""
    quiet, noisy = normal(learn(daily((40, 1000.0)))), normal(learn(daily((40, 1000.0), noise=0.3)))
    assert quiet.multiplier == baselines.MULTIPLIER_LEAST
    assert noisy.multiplier > 1.3
    again = normal(learn(daily((40, 1000.0)), dismissed(learn(daily((40, 1000.0))), 2)))
    assert again.multiplier == pytest.approx(1.15 * 1.21)


def test_a_bottleneck_passes_every_guard_and_shows_the_numbers():
    """Lost: people get alarms without evidence."""
    after = daily((40, 1000.0), (6, 1500.0))
    row = only(judged(after, learn(after)))
    assert row.outcome == "bottleneck"
    assert [guard.name for guard in row.guards] == GUARDS
    assert row.ratio == pytest.approx(1.5, rel=0.07)
    assert row.ratio is not None
    assert row.baseline is not None
    assert row.observed_p50_ms == pytest.approx(row.baseline.p50_ms * row.ratio)
    assert row.onset_day == date(2026, 2, 14)
    assert row.onset_from is not None
    assert row.onset_to is not None
    assert row.onset_from <= date(2026, 2, 14) <= row.onset_to
    assert row.sample_count == 300
    assert row.p_value <= row.p_limit


def test_an_unchanged_dimension_is_ok_and_names_the_failed_guards():
    """Lost: `why` could not explain dimensions that are not flagged."""
    row = only(judged(daily((40, 1000.0)), learn(daily((40, 1000.0)))))
    assert row.outcome == "ok"
    assert set(failed(row)) >= {"large_enough", "separated", "confirmed"}
    assert row.ratio == pytest.approx(1, rel=0.1)


def test_a_certain_but_small_change_is_not_a_bottleneck():
    """Lost: the difference between significant and relevant."""
    after = daily((40, 1000.0), (7, 1100.0), noise=0.01)
    row = only(judged(after, learn(after)))
    assert (row.outcome, failed(row)) == ("ok", ["large_enough"])


def test_a_past_regression_is_not_a_bottleneck():
    """Lost: people get items about problems that are already fixed."""
    kept = learn(daily((40, 1000.0)))
    after = daily((40, 1000.0), (10, 2000.0), (5, 1000.0))
    assert only(judged(after, learn(after, kept))).outcome == "ok"


def test_a_dimension_dismissed_as_noise_is_harder_to_flag():
    """Lost: people get the same false alarm week after week."""
    kept, after = learn(daily((70, 1000.0))), daily((70, 1000.0), (7, 1300.0))
    assert only(judged(after, learn(after, kept))).outcome == "bottleneck"
    row = only(judged(after, learn(after, dismissed(kept, 3))))
    assert (row.outcome, failed(row)) == ("ok", ["large_enough"])
    assert "noise" in row.guards[2].says


def test_a_few_spans_per_day_are_pooled_over_days():
    """Lost: a person with five prompts per day is never told that each takes three times as long."""
    few = daily((60, 1000.0), (7, 3000.0), spans=5, noise=0.25)
    assert only(judged(few, learn(few))).outcome == "bottleneck"


def test_two_weeks_of_days_are_needed_and_the_guard_says_so():
    """Lost: silence looks like health."""
    few = daily((10, 1000.0))
    row = only(judged(few, learn(few)))
    assert (row.outcome, failed(row)) == ("not_enough_data", ["enough_days"])
    assert row.guards[0].says == "10 days with spans, 14 are needed"


def test_a_new_dimension_is_not_judged_and_a_paused_one_keeps_its_baseline():
    """Lost: an analysis fails on the first day of a gate, or a gate that pauses loses its baseline."""
    kept = learn(daily((40, 1000.0), key="OLD"))
    new = daily((3, 1000.0), key="NEW")
    learned = learn(new, kept)
    assert [one.dimension_key for one in learned] == ["OLD"]
    assert normal(learned).p50_ms == normal(kept).p50_ms
    assert only(judged(new, learned)).outcome == "not_enough_data"


def test_the_discovery_limit_shrinks_with_the_number_of_dimensions():
    """Lost: ten thousand dimensions cause five false alarms per day."""
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
def test_unusual_series_have_a_defined_answer(p50_ms: list[float], gap: int):
    """Lost: one unusual dimension fails the analysis of all others, or puts a NaN in the report."""
    days = replace(some(daily((len(p50_ms) * gap, 1.0)), slice(None, None, gap)), p50_ms=np.array(p50_ms))
    learned = learn(days)
    row = only(judged(days, learned))
    assert row.outcome in {"ok", "bottleneck", "not_enough_data"}
    assert all(np.isfinite(one.p50_ms) and one.p50_ms > 0 for one in learned)
    if row.outcome != "not_enough_data":
        assert row.ratio is not None
        assert row.observed_p50_ms is not None
        assert np.isfinite([row.ratio, row.observed_p50_ms, row.score, row.p_value]).all()


def test_no_dimensions_give_an_empty_answer():
    """Lost: the first analysis of an empty database."""
    empty = levels.days_of(some(daily((1, 1.0)), slice(0)))
    found = levels.change_points(empty)
    learned = baselines.learn(empty, found, ())
    assert (found, learned) == ({}, {})
    assert judgement.judge(empty, found, learned, FIRST, FIRST + timedelta(days=7)) == []


@pytest.mark.parametrize("after", [daily((40, 1000.0), (6, 1500.0)), daily((10, 1000.0))])
def test_a_judgement_survives_a_round_trip_through_json(after: DailyP50s):
    """Lost: materializing some assets would give another result than the whole analysis."""
    one = only(judged(after, learn(after)))
    assert Judgement.from_json(*one.dimension, json.loads(json.dumps(one.as_json(), allow_nan=False))) == one
