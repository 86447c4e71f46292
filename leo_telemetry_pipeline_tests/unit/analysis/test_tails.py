"""Slow minorities: the slowest fifth of the calls, and what the slow calls are."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import baselines, bottlenecks, judgement, levels, tails
from leo_telemetry_pipeline.analysis.levels import DailyP50s
from leo_telemetry_pipeline.daily_rows import Rows
from leo_telemetry_pipeline.dimension import Baseline, Judgement
from leo_telemetry_pipeline.slow_calls import SlowCalls
from leo_telemetry_pipeline.store.history.histograms import CENTRAL, GAMMA, SLOWEST

FIRST = datetime(2026, 1, 5, tzinfo=UTC)
FIRST_DAY = FIRST.toordinal() - date(1970, 1, 1).toordinal()
NAME = ("gate", "G")


def calls(days: int, slow_since: int, share: float = 0.25, factor: float = 10.0, spans: int = 40) -> np.ndarray:
    """Return log durations in ms, one row per day; a share of the calls is slower since a day."""
    rng = np.random.default_rng(7)
    logs = np.log(1000) + 0.4 * rng.standard_normal((days, spans))
    logs[slow_since:] += np.log(factor) * (rng.random((days - slow_since, spans)) < share)
    return np.sort(logs)


def daily(logs: np.ndarray, first: int = 0) -> DailyP50s:
    days, spans = logs.shape
    center, tail = (logs[:, round(low * spans) : round(high * spans)].mean(axis=1) for low, high in (CENTRAL, SLOWEST))
    of_days = np.zeros(days, int), FIRST_DAY + first + np.arange(days), np.full(days, spans)
    return DailyP50s([NAME], *of_days, np.exp(np.median(logs, axis=1)), center, tail)


def rows(logs: np.ndarray) -> Rows:
    days, spans = logs.shape
    buckets = np.ceil(logs / np.log(GAMMA)).astype(int)
    each, ones, times = np.full(days, spans), np.ones(days * spans, int), np.exp(logs)
    sums = times.sum(axis=1), times.min(axis=1), times.max(axis=1)
    return Rows(np.zeros(days, int), np.arange(days), each, *sums, each, np.cumsum(each), buckets.ravel(), ones)


def look(
    logs: np.ndarray, kept: Sequence[Baseline] = (), first: int = 0, **multipliers: float
) -> tuple[Judgement, list[Baseline]]:
    """Return the judgement of the last week of these days, with its slow calls, and the baselines."""
    read = levels.days_of(daily(logs, first))
    changed = levels.change_points(read)
    learned = baselines.learn(read, changed, kept)
    end = FIRST + timedelta(days=first + len(logs))
    starts = FIRST.date() + timedelta(days=first), (end - timedelta(days=7)).date()
    written = {("gate", key): multiplier for key, multiplier in multipliers.items()}
    judged = judgement.judge(read, changed, learned, end - timedelta(days=7), end, written)
    [one] = tails.with_slow_calls(judged, [NAME], [rows(logs)], starts, GAMMA)
    return one, list(learned.values())


def test_a_slow_quarter_is_called_slow_with_its_share_and_its_times():
    """Lost: one call in four takes ten times as long, and the P50 says nothing."""
    one, _ = look(calls(47, 42))
    slow = bottlenecks.minority(one)
    assert slow is not None
    assert slow.share == pytest.approx(0.25, abs=0.04)
    assert slow.p50_ms == pytest.approx(10_000, rel=0.15)
    assert 1_500 < slow.cut_ms < 6_000
    assert slow.p90_before_ms == pytest.approx(1_670, rel=0.1)
    assert slow.p90_ms > 5_000
    assert one.tail is not None
    assert one.tail.onset_day == FIRST.date() + timedelta(days=42)


def test_steady_calls_have_no_slow_minority():
    """Lost: each dimension has a slowest fifth, and all of them would alarm."""
    one, _ = look(calls(47, 47))
    assert bottlenecks.minority(one) is None
    assert one.tail is not None
    assert one.tail.outcome == "ok"


def test_a_slow_tail_does_not_become_normal_by_waiting():
    """Lost: calls that stay slow are reported for two weeks only."""
    logs, kept, slow = calls(154, 42), [], None
    for end in range(42, 155, 7):
        first = max(0, end - 90)
        one, kept = look(logs[first:end], kept, first)
        slow = bottlenecks.minority(one)
        assert (slow is not None) == (end > 42), end
    assert slow is not None
    assert slow.share == pytest.approx(0.25, abs=0.1)
    # The history no longer has calls from before.
    assert slow.p90_before_ms is None


def test_an_accepted_slow_tail_becomes_normal_and_an_earlier_decision_accepts_no_later_one():
    """Lost: calls that are slow on purpose are reported forever, or an item closed last year hides today's."""
    logs = calls(51, 42, share=0.1)
    _, before = look(logs[:42])
    silent, _ = look(logs, [replace(each, accepted_on=date.max) for each in before])
    assert bottlenecks.minority(silent) is not None
    _, slow = look(logs[:48], before)
    accepted, learned = look(logs, [replace(each, accepted_on=date.max) for each in slow])
    assert bottlenecks.minority(accepted) is None
    assert learned[0].moved == "accepted"


def test_a_configured_multiplier_and_items_closed_as_noise_apply_to_the_tail():
    """Lost: what a person allows is reported all the same."""
    logs = calls(47, 42, factor=3.0)
    assert bottlenecks.minority(look(logs)[0]) is not None
    assert bottlenecks.minority(look(logs, G=5.0)[0]) is None
    _, kept = look(logs[:42])
    dismissed = [replace(each, evidence={**each.evidence, "noise_dismissals": 8}) for each in kept]
    assert bottlenecks.minority(look(logs, dismissed)[0]) is None


def test_calls_that_are_all_slower_are_a_slow_p50():
    """Lost: a dimension that is three times as slow is called a slow minority."""
    one, _ = look(calls(91, 84, share=1.0, factor=3.0))
    assert one.outcome == "bottleneck"
    assert one.tail is not None
    assert one.tail.outcome == "bottleneck"
    assert bottlenecks.minority(one) is None


def test_few_slow_calls_are_chance():
    """Lost: a handful of outliers in three days of ten calls opens an item."""
    outliers = calls(47, 44, spans=10, share=0.0)
    outliers[44:, -1] += np.log(8)
    one, _ = look(outliers)
    assert one.tail is not None
    [guard] = [each for each in one.tail.guards if each.name == "enough_calls"]
    assert not guard.passed
    assert bottlenecks.minority(one) is None


def test_tails_of_different_resolutions_are_compared_only_if_they_are_long():
    """Lost: a source that learns to send microseconds makes all its work slower or faster."""
    days = replace(daily(calls(40, 40) - np.log(200)), fine_count=np.repeat([0, 40], 20))
    [history] = levels.days_of(days).histories
    assert not len(history.tail.days)
    [history] = levels.days_of(replace(days, tail=np.full(40, np.log(30.0)))).histories
    assert len(history.tail.days) == 40


def test_a_judgement_with_a_slow_tail_is_the_same_after_it_was_stored():
    """Lost: `why` would not show what the analysis saw."""
    one, _ = look(calls(47, 42))
    assert one.tail is not None
    assert isinstance(one.tail.slow_calls, SlowCalls)
    again = Judgement.from_json(*NAME, one.as_json())
    assert again.as_json() == one.as_json()
    assert again.tail is not None
    assert again.tail.slow_calls == one.tail.slow_calls
