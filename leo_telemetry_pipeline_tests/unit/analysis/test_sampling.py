"""Which days and traces are compared."""

import random
from datetime import date, timedelta

from leo_telemetry_pipeline.analysis.sampling import has_enough, in_order, normal_traces, size, slow_traces
from leo_telemetry_pipeline.dimension import Bottleneck, DaySample

SLOW = Bottleneck("gate", "G", 90_000.0, 30_000.0, "learned", 1.15, 100)


def day(number: int, p50_ms: float, traces: int = 50) -> DaySample:
    return DaySample(traces, p50_ms, [f"{number}-{place}" for place in range(min(traces, 100))])


def test_of_an_incident_that_is_over_only_the_slow_days_are_compared():
    """Lost: two days after its end, the newest traces are fast, and one cause makes three items that do not name it."""
    days = [*(day(n, 90_000) for n in range(5)), *(day(n, 30_000) for n in (5, 6))]
    chosen = slow_traces(days, SLOW, 100)
    assert len(chosen) == len(set(chosen)) == 100
    assert {trace[0] for trace in chosen} == set("01234")


def test_an_earlier_incident_is_not_what_was_normal():
    """Lost: slow traces among the normal ones hide the cause."""
    days = [day(0, 30_000), day(1, 95_000), day(2, 31_000)]
    assert {trace[0] for trace in normal_traces(days, SLOW, 60)} == set("02")


def test_each_day_gives_its_share_from_its_shortest_to_its_longest_trace():
    """Lost: the sample's median is not that of all spans, and the headline contradicts the parts."""
    chosen = slow_traces([day(0, 90_000, 100), day(1, 90_000, 50)], SLOW, 30)
    places = [[int(trace[2:]) for trace in chosen if trace.startswith(f"{n}-")] for n in (0, 1)]
    assert [len(each) for each in places] == [20, 10]
    assert [[place // 5 for place in each] for each in places] == [list(range(20)), list(range(10))]


def test_dimensions_of_the_same_traces_share_most_of_their_samples():
    """Lost: a hundred slow dimensions of the same traces read nearly all of these into memory."""
    rng = random.Random(1)
    traces = [f"trace-{number}" for number in range(1_000)]
    chosen: set[str] = set()
    for _ in range(50):
        rng.shuffle(traces)
        chosen.update(slow_traces([DaySample(1_000, 90_000.0, list(traces))], SLOW, 40))
    assert len(chosen) < 400


def test_days_with_too_few_traces_to_tell_and_days_all_alike_are_kept():
    """Lost: the cause of a dimension with one trace per day, or of a threshold that was always exceeded."""
    thin = [day(n, 30_000, 1) for n in range(15)]
    assert len(slow_traces(thin, SLOW, 100)) == len(normal_traces(thin, SLOW, 100)) == 15
    assert len(slow_traces([day(0, 30_000)], SLOW, 100)) == 50
    assert len(normal_traces([day(0, 95_000)], SLOW, 100)) == 50
    assert slow_traces([], SLOW, 100) == []


def test_reference_days_are_spread_over_weekdays_and_read_until_there_are_enough():
    """Lost: Mondays are compared with Sundays, or an analysis reads a month of spans for a hundred traces."""
    month = [date(2026, 3, 1) + timedelta(days=n) for n in range(28)]
    order = in_order(month)
    assert sorted(order) == month
    assert {each.weekday() for each in order[:7]} == set(range(7))
    assert not has_enough([day(n, 30_000, 100) for n in range(6)], SLOW, 100)
    assert has_enough([day(n, 30_000, 100) for n in range(7)], SLOW, 100)
    assert not has_enough([day(n, 30_000, 20) for n in range(7)], SLOW, 100)


def test_many_dimensions_share_a_bounded_number_of_traces():
    """Lost: an incident that slows a hundred dimensions runs out of memory."""
    assert [size(count) for count in (0, 1, 30, 50, 100)] == [100, 100, 100, 60, 40]
