"""Daily series from history: they cover the spans of their window, however each day is stored."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import levels, p50, trends
from leo_telemetry_pipeline.analysis.changes import date_of
from leo_telemetry_pipeline.defs.assets.learning import daily_p50s
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import exact_percentiles
from leo_telemetry_pipeline.store.days import Window, after
from leo_telemetry_pipeline.store.days import midnight as midnight_of
from leo_telemetry_pipeline.store.history import buckets, daily, histograms
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import configure, execute, insert, midnight, span

A, B, PHASE = ("gate", "A"), ("gate", "B"), ("phase", "A")
WANTED = [B, PHASE, A]
SEEN = ["gate", "phase"]
FORTNIGHT = Window(midnight(14), midnight())


def fill(db: Database) -> list[Span]:
    """Store spans of two projects on most days of a fortnight."""
    rng, made = np.random.default_rng(12), []
    for day in FORTNIGHT.days:
        for (span_type, name), project, number in ((A, "", 5), (A, "shop", 3), (B, "shop", 2), (PHASE, "", 4)):
            if name == "B" and day.toordinal() % 3:
                continue
            for value in np.clip(rng.lognormal(6, 1, number), 0, 10**9).astype(int).tolist():
                at = midnight_of(day) + timedelta(hours=int(rng.integers(24)))
                made.append(span(span_type, name, value, at=at, project=project))
    insert(db, made)
    return made


def series(
    db: Database, window: Window = FORTNIGHT, uncounted: Sequence[date] = (), wanted: Sequence[tuple[str, str]] = WANTED
) -> trends.Daily:
    rows = daily.read(db, window, wanted, SEEN, uncounted)
    return trends.daily(rows, len(wanted), len(window.days), GAMMA)


def same(one: trends.Daily, other: trends.Daily) -> bool:
    return all(np.allclose(getattr(one, name), getattr(other, name), rtol=1e-12, equal_nan=True) for name in vars(one))


def expected(made: Sequence[Span], day: date, dimension: tuple[str, str], project: str | None) -> list[int]:
    start = midnight_of(day).timestamp() * 1000
    return [
        each.duration_ms or 0
        for each in made
        if (each.span_type, each.span_name) == dimension
        and start <= each.start_time_ms < start + 86_400_000
        and project in (None, each.project)
    ]


@pytest.mark.parametrize("project", [None, "", "shop", "nobody"])
def test_every_day_of_every_dimension_has_its_own_spans(db: Database, project: str | None):
    """Lost: a trend would add up the wrong days, projects or dimensions."""
    made = fill(db)
    histograms.rebuild(db, FORTNIGHT.days, SEEN, SEEN)
    window = Window(FORTNIGHT.start, FORTNIGHT.end, project)
    found = series(db, window)
    for place, dimension in enumerate(WANTED):
        for number, day in enumerate(window.days):
            values = expected(made, day, dimension, project)
            assert found.count[place, number] == len(values)
            assert found.sum_ms[place, number] == sum(values)
            if values:
                exact = np.percentile(values, [50, 90, 95, 99])
                ours = [getattr(found, name)[place, number] for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms")]
                assert ours == pytest.approx(exact.tolist(), rel=0.005)
            else:
                assert np.isnan(found.p50_ms[place, number])


def test_a_day_gives_the_same_counted_uncounted_sealed_and_in_parts(db: Database):
    """Lost: a trend would show a step on the day an analysis ran or spans were dropped."""
    fill(db)
    fresh = series(db, uncounted=FORTNIGHT.days)
    histograms.rebuild(db, FORTNIGHT.days, SEEN, SEEN)
    assert same(series(db), fresh)
    some = [FORTNIGHT.days[place] for place in (0, 3, 4, 13)]
    assert same(series(db, uncounted=some), fresh)
    sealed = FORTNIGHT.days[3]
    assert histograms.seal(db, sealed) == 1
    late = span("gate", "A", 77, at=midnight_of(sealed) + timedelta(hours=5))
    insert(db, [late])
    with_late = series(db, uncounted=[sealed])
    assert with_late.count[2].sum() == fresh.count[2].sum() + 1
    histograms.rebuild(db, [sealed], SEEN, SEEN)
    assert same(series(db), with_late)
    execute(
        db, "DELETE FROM workflow_trace_log WHERE span_id <> %s AND start_time_ms BETWEEN %s AND %s",
        (late.span_id, midnight_of(sealed).timestamp() * 1000, after(sealed).timestamp() * 1000 - 1),
    )  # fmt: skip
    assert same(series(db), with_late)
    assert same(series(db, uncounted=[sealed]), with_late)


def test_days_add_up_to_their_window(db: Database):
    """Lost: trends and findings of the same days would differ."""
    fill(db)
    histograms.rebuild(db, FORTNIGHT.days, SEEN, SEEN)
    window = buckets.of_window(db, FORTNIGHT, SEEN, SEEN)
    found = series(db)
    for row in window:
        place = WANTED.index((row[0], row[1]))
        assert found.count[place].sum() == row[2]
        assert (found.count[place] > 0).sum() == row[3]
        assert found.sum_ms[place].sum() == pytest.approx(row[4])
    [one_day] = buckets.of_window(db, Window(midnight(2), midnight(1)), ["phase"], SEEN)
    # The P50 of a window is that of duration_ms.
    assert found.p50_ms[1, 12] == pytest.approx(p50.from_buckets([one_day], GAMMA)["p50_ms"][0], abs=0.5)


def test_the_stored_p50_of_a_day_is_that_of_its_buckets(db: Database):
    """Lost: baselines would be learned from other numbers than a trend shows, or from one of two projects."""
    fill(db)
    insert(db, [span("phase", "A", value, at=midnight(3)) for value in (0, 0, 0, 7)])
    histograms.rebuild(db, FORTNIGHT.days, SEEN, SEEN)
    [(dimension, day, count, p50_ms, center, tail, fine)], added_up = daily.medians(db, FORTNIGHT, WANTED)
    found = series(db)
    assert added_up == [WANTED.index(A)]
    assert len(day) == np.count_nonzero(found.count[:2])
    assert count.tolist() == found.count[dimension, day].tolist()
    assert p50_ms.tolist() == pytest.approx(found.p50_ms[dimension, day].tolist(), rel=1e-12)
    [rows] = daily.read(db, FORTNIGHT, WANTED, SEEN)
    days, _, _, *means, _ = levels.of_rows(rows, *histograms.LEVELS)
    for computed, column in zip(means, (center, tail), strict=True):
        of_day = dict(zip(zip(rows.dimension.tolist(), days.tolist(), strict=True), computed.tolist(), strict=True))
        stored = dict(zip(zip(dimension.tolist(), day.tolist(), strict=True), column.tolist(), strict=True))
        assert stored == pytest.approx({each: of_day[each] for each in stored}, rel=1e-12)
    assert fine.sum() == found.fine_count.sum() == 0


def test_a_day_with_microseconds_has_the_median_of_its_microseconds(db: Database):
    """Lost: work of half a millisecond would be 0 or 1 ms, and a source without microseconds would pass for exact."""
    us = [390, 460, 1_004, 999_999]
    fine = [span("gate", "A", (each + 500) // 1000, duration_rest_us=(each + 500) % 1000 - 500) for each in us]
    wait = span("wait", "A", 1, duration_rest_us=-300, trace_id=fine[3].trace_id, parent_span_id=fine[3].span_id)
    made = [span("gate", "B", value) for value in (1, 1, 2)]
    # A wait without microseconds, and one longer than the span that waits.
    made += [span("wait", "B", 1, trace_id=made[2].trace_id, parent_span_id=made[2].span_id)]
    made += [span("gate", "B", 0, duration_rest_us=400)]
    made += [span("wait", "B", 1, duration_rest_us=0, trace_id=made[4].trace_id, parent_span_id=made[4].span_id)]
    insert(db, [*fine, wait, *made])
    for part in ([], FORTNIGHT.days):
        histograms.rebuild(db, part, SEEN, SEEN)
        found = series(db, uncounted=[] if part else FORTNIGHT.days, wanted=[A, B])
        assert found.p50_ms[:, 12] == pytest.approx([(0.46 + 1.004) / 2, 1.0], rel=0.005)
        assert found.sum_ms[:, 12] == pytest.approx([1_001_153 / 1000, 3.0])
        assert found.fine_count[:, 12].tolist() == [4, 1]
    [(_, _, _, p50_ms, _, _, counts)], _ = daily.medians(db, FORTNIGHT, [A, B])
    assert (p50_ms.tolist(), counts.tolist()) == (pytest.approx([0.732, 1.0], rel=0.005), [4, 1])
    # A configured threshold decides on duration_ms, whether from spans or from history.
    exact = p50.exact(exact_percentiles.of_window(db, FORTNIGHT, ["gate"], SEEN))
    counted = p50.from_buckets(buckets.of_window(db, FORTNIGHT, ["gate"], SEEN), GAMMA)
    assert counted["p50_ms"].tolist() == exact["p50_ms"].tolist() == [0.5, 1.0]


def test_a_partial_last_day_is_read_up_to_its_end_whatever_was_counted_of_it(db: Database):
    """Lost: the partial day would include spans after the window, or none."""
    end = midnight(2) + timedelta(hours=12)
    insert(db, [span("gate", "A", 10, at=end - timedelta(hours=1)), span("gate", "A", 90, at=end)])
    window = Window(midnight(4), end)
    assert series(db, window).count[2].tolist() == [0, 0, 1]
    histograms.rebuild(db, window.days, SEEN, SEEN)
    assert series(db, window).count[2].tolist() == [0, 0, 1]
    assert series(db, Window(midnight(4), midnight(1))).count[2].tolist() == [0, 0, 2]


def test_portions_of_days_and_all_at_once_give_the_same(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: ten thousand dimensions would give other results than three."""
    fill(db)
    histograms.rebuild(db, FORTNIGHT.days[:9], SEEN, SEEN)
    at_once = list(daily.read(db, FORTNIGHT, WANTED, SEEN, FORTNIGHT.days[9:]))
    monkeypatch.setattr(daily, "_ROWS_AT_ONCE", 2 * len(WANTED))
    portions = list(daily.read(db, FORTNIGHT, WANTED, SEEN, FORTNIGHT.days[9:]))
    assert (len(at_once), len(portions)) == (1, 7)
    assert same(*(trends.daily(rows, len(WANTED), 14, GAMMA) for rows in (at_once, portions)))
    for number, (span_type, name) in enumerate(WANTED):
        alone = series(db, uncounted=FORTNIGHT.days[9:], wanted=[(span_type, name)])
        assert alone.count[0].tolist() == trends.daily(at_once, len(WANTED), 14, GAMMA).count[number].tolist()


def test_a_scope_covers_what_an_analysis_would_and_names_the_uncounted_days(db: Database):
    """Lost: trends of newly imported spans would be empty until an analysis has run."""
    fill(db)
    configure(db, "model", None, None, 2.0)
    window = Window(FORTNIGHT.start, midnight() + timedelta(hours=1))
    scope = daily.scope(db, window)
    assert {"gate", "phase", "sd_type", "model"} <= set(scope.types)
    assert scope.seen == SEEN
    assert scope.uncounted == FORTNIGHT.days
    histograms.rebuild(db, FORTNIGHT.days, scope.types, SEEN)
    assert daily.scope(db, window).uncounted == []
    assert daily.scope(db, window, ["gate"]) == daily.Scope(["gate"], SEEN, [])
    assert daily.scope(db, window, ["host"]).uncounted == FORTNIGHT.days
    insert(db, [span("gate", "A", 5, at=midnight(6))])
    assert daily.scope(db, window).uncounted == [midnight(6).date()]


def test_dimensions_come_with_their_time_those_with_most_first(db: Database):
    """Lost: a list of trends would begin with dimensions that take no time."""
    made = fill(db)
    sums = {
        dimension: sum(each.duration_ms or 0 for each in made if (each.span_type, each.span_name) == dimension)
        for dimension in WANTED
    }
    order = sorted(WANTED, key=lambda dimension: -sums[dimension])
    fresh = daily.dimensions(db, FORTNIGHT, SEEN, SEEN, FORTNIGHT.days)
    assert [row[:2] for row in fresh] == order
    assert {row[:2]: row[3] for row in fresh} == sums
    histograms.rebuild(db, FORTNIGHT.days, SEEN, SEEN)
    assert daily.dimensions(db, FORTNIGHT, SEEN, SEEN) == fresh
    assert daily.dimensions(db, FORTNIGHT, SEEN, SEEN, FORTNIGHT.days[:5]) == fresh
    assert {row[:2] for row in daily.dimensions(db, FORTNIGHT, ["phase"], SEEN)} == {PHASE}
    assert {row[:2] for row in daily.dimensions(db, Window(FORTNIGHT.start, FORTNIGHT.end, "shop"), SEEN, SEEN)} == {
        A,
        B,
    }


def test_the_queue_share_is_waiting_over_waiting_plus_working_and_only_for_complete_days(db: Database):
    """Lost: a day whose spans are dropped would look like one without a queue."""
    at = [midnight(ago) + timedelta(hours=2) for ago in (3, 4, 5, 6)]
    insert(db, [span("gate", "A", 300, at=at[0], queue_wait_ms=100), span("gate", "A", 100, at=at[0])])
    insert(db, [span("gate", "A", 300, at=at[1]), span("gate", "B", 100, at=at[1], queue_wait_ms=50)])
    insert(db, [span("gate", "A", 0, at=at[2], queue_wait_ms=0)])
    insert(db, [span("gate", "A", 300, at=at[3], queue_wait_ms=100)])
    assert daily.queue_share(db, FORTNIGHT, A, SEEN) == {
        at[3].date(): 0.25,
        at[2].date(): 0.0,
        at[0].date(): pytest.approx(0.2),
    }
    histograms.seal(db, at[3].date())
    execute(db, "UPDATE telemetry_sealed_days SET dropped_at = now() WHERE day = %s", (at[3].date(),))
    assert set(daily.queue_share(db, FORTNIGHT, A, SEEN)) == {at[0].date(), at[2].date()}


def test_a_count_beyond_32_bits_and_a_window_of_a_year_are_read(db: Database):
    """Lost: the busiest dimension would wrap around, and last year would be out of reach."""
    day = midnight(300).date()
    execute(
        db,
        "INSERT INTO duration_histograms (day, dimension_type, dimension_key, project, count, sum_ms, min_ms, max_ms,"
        " buckets, counts) VALUES (%s, 'gate', 'A', '', 3000000000001, 1e18, 0, 10000000000, '{-1,4600}',"
        " '{1,3000000000000}')",
        (day,),
    )
    found = series(db, Window(midnight(365), midnight()), wanted=[A])
    assert found.count[0, 65] == 3_000_000_000_001
    assert found.count.sum() == 3_000_000_000_001
    assert found.p50_ms[0, 65] == pytest.approx(GAMMA**4599.5, rel=0.005)


@pytest.mark.parametrize("project", [None, "", "shop", "nobody"])
@pytest.mark.parametrize("kept", [True, False])
def test_learning_uses_the_median_of_each_days_spans(db: Database, project: str | None, kept: bool):
    """Lost: baselines would be learned from other numbers than those that are judged."""
    made = fill(db)
    histograms.rebuild(db, FORTNIGHT.days, SEEN, SEEN)
    if not kept:
        # Make some days look as if they had been counted before P50s were stored with them.
        execute(db, "UPDATE duration_histograms SET p50_ms = NULL WHERE day < %s", (FORTNIGHT.days[5],))
    found = daily_p50s(db, Window(FORTNIGHT.start, FORTNIGHT.end, project), WANTED, SEEN)
    days = zip(found.place, found.day, found.count, found.p50_ms, strict=True)
    ours = {(*WANTED[place], date_of(int(day))): (count, value) for place, day, count, value in days}
    wanted = {}
    for dimension in WANTED:
        for day in FORTNIGHT.days:
            if values := expected(made, day, dimension, project):
                wanted[*dimension, day] = (len(values), pytest.approx(np.median(values), rel=0.005))
    assert ours == wanted


def test_only_a_closed_day_has_a_stored_median(db: Database):
    """Lost: baselines would be learned from half a day as if it were a whole one."""
    end = midnight(2) + timedelta(hours=12)
    insert(db, [span("gate", "A", 10, at=end - timedelta(hours=1)), span("gate", "A", 90, at=end)])
    histograms.rebuild(db, [end.date()], SEEN, SEEN, part_day=end)
    assert db.rows("SELECT count, p50_ms FROM duration_histograms") == [(1, None)]
    histograms.rebuild(db, [end.date()], SEEN, SEEN)
    assert db.rows("SELECT count, p50_ms FROM duration_histograms") == [(2, pytest.approx(50, rel=0.005))]
