"""Long windows, very many keys and spans with wrong clocks; and queries that read no more than needed."""

import re
from contextlib import closing
from datetime import timedelta

import numpy as np
import pytest

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.dimension import OTHER_KEYS
from leo_telemetry_pipeline.store import dimensions, exact_percentiles, spans
from leo_telemetry_pipeline.store.days import Window, after
from leo_telemetry_pipeline.store.days import midnight as midnight_of
from leo_telemetry_pipeline.store.dimensions import COUNTS, observations
from leo_telemetry_pipeline.store.history import blocks, buckets, histograms, span_counts, staleness
from leo_telemetry_pipeline.store.history.watermark import lock
from leo_telemetry_pipeline.store.name_templates import Folds
from leo_telemetry_pipeline.store.retention.purge import Selection, purge
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import DAY, execute, insert, midnight, span, spans_of, week
from leo_telemetry_pipeline_tests.servers import EMBEDDED

TYPES = ["gate", "phase"]
SEASON = Window(midnight(90), midnight())


def fill(db: Database) -> dict[str, list[int]]:
    """Store spans of 90 days in two projects, and return the durations by name."""
    rng, drawn = np.random.default_rng(5), dict[str, list[int]]()
    made = []
    for day in SEASON.days:
        for name, project in (("A", ""), ("A", "shop"), ("B", ""), ("RARE", "shop")):
            if name == "RARE" and day.toordinal() % 30:
                continue
            for value in np.clip(rng.lognormal(7, 0.8, 4), 1, 10**9).astype(int).tolist():
                drawn.setdefault(name, []).append(value)
                made.append(span("gate", name, value, at=midnight_of(day) + timedelta(hours=3), project=project))
    spans.ensure_partitions(db, SEASON.start, SEASON.end)
    spans.insert(db, made)
    return drawn


def count_up(db: Database, window: Window = SEASON) -> None:
    staleness.mark_stale(db)
    stale = staleness.stale_days(db, window.start.date(), window.end.date(), TYPES)
    histograms.rebuild(db, stale, TYPES, ["gate", "phase"])


def read(db: Database, window: Window, uncounted=()) -> list[tuple]:
    """Return the history of a window, with arrays as lists."""
    rows = buckets.of_window(db, window, TYPES, ["gate", "phase"], uncounted)
    return [(*row[:7], row[7].tolist(), row[8].tolist()) for row in rows]


@pytest.mark.with_days
def test_days_read_from_blocks_equal_the_days(db: Database):
    """Lost: a trend over a season would differ from those of its weeks."""
    drawn = fill(db)
    count_up(db)
    rng = np.random.default_rng(3)
    windows = [SEASON, week(), week(project="shop")]
    for _ in range(25):
        first, last = sorted(rng.choice(91, 2, replace=False))
        windows.append(Window(midnight(int(90 - first)), midnight(int(90 - last)), [None, "shop", ""][rng.integers(3)]))
    before = [read(db, window) for window in windows]
    assert blocks.make(db, SEASON.start.date(), SEASON.end.date(), TYPES) >= 30
    assert [read(db, window) for window in windows] == before
    assert blocks.make(db, SEASON.start.date(), SEASON.end.date(), TYPES) == 0
    # Only the blocks are read: the days are no longer needed.
    execute(db, "DELETE FROM duration_histograms WHERE day < %s", (SEASON.end.date() - 8 * DAY,))
    assert read(db, SEASON)[0][2] >= 8 * 75
    assert sum(row[2] for row in before[0]) == sum(len(values) for values in drawn.values())


@pytest.mark.with_days
def test_a_late_span_shows_in_every_window_with_its_day(db: Database):
    """Lost: a block would never be corrected."""
    fill(db)
    count_up(db)
    blocks.make(db, SEASON.start.date(), SEASON.end.date(), TYPES)
    before = {row[1]: row[2] for row in read(db, SEASON)}
    insert(db, spans_of("gate", "A", [5, 6], at=midnight(37) + timedelta(hours=1)))
    count_up(db)
    assert {row[1]: row[2] for row in read(db, SEASON)} == before | {"A": before["A"] + 2}
    assert blocks.make(db, SEASON.start.date(), SEASON.end.date(), TYPES) >= 3
    assert {row[1]: row[2] for row in read(db, SEASON)} == before | {"A": before["A"] + 2}


def test_a_partial_count_of_a_day_is_read_only_for_its_own_window(db: Database):
    """Lost: an analysis would see spans after its window, or count the last day twice."""
    end = midnight(3) + timedelta(hours=12)
    window, later = Window(midnight(10), end), Window(midnight(10), end + timedelta(hours=2))
    insert(db, [span("gate", "A", 10, at=end - timedelta(hours=1)), span("gate", "A", 90, at=end)])
    arguments = window.start.date(), end.date(), TYPES
    histograms.rebuild(db, staleness.stale_days(db, *arguments, end), TYPES, ["gate"], part_day=end)
    assert staleness.stale_days(db, *arguments, end) == []
    assert [row[2] for row in read(db, window)] == [1]
    assert staleness.stale_days(db, *arguments, later.end) == [end.date()]
    assert [row[2] for row in read(db, later, [end.date()])] == [2]
    # Once the day has ended, a count of half of it is no longer valid.
    assert staleness.stale_days(db, window.start.date(), end.date() + DAY, TYPES) == [end.date()]
    # A span that came meanwhile is counted when the day is counted next.
    insert(db, [span("gate", "A", 10, at=end - timedelta(hours=1))])
    assert staleness.stale_days(db, *arguments, end) == []
    assert end.date() in staleness.stale_days(db, window.start.date(), end.date() + DAY, TYPES)


WRONG = {
    "of a closed day": timedelta(days=-3),
    "a year old": timedelta(days=-365),
    "of tomorrow": timedelta(days=1),
    "an hour ahead": timedelta(hours=1),
    "an hour behind": timedelta(hours=-1),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_span_at_a_wrong_time_is_stored_and_counts_once_in_its_own_window(db: Database, name: str):
    """Lost: spans of a machine with a wrong clock would vanish, or count on the wrong days."""
    now = one_moment(db)
    at = now + WRONG[name]
    count_up(db, Window(midnight(7), midnight()))
    made = span("gate", name, 77, at=at)
    assert spans.store(db, [made]).new == 1
    assert spans.store(db, [made]).new == 0
    day = Window(midnight_of(at.date()), after(at.date()))
    count_up(db, day)
    assert [row[:3] for row in read(db, day)] == [("gate", name, 1)]
    assert [row[:3] for row in exact_percentiles.of_window(db, day, ["gate"], ["gate"])] == [("gate", name, 1)]
    for window in (Window(midnight(7), now), Window(day.start - DAY, day.start), Window(day.end, day.end + DAY)):
        inside = window.start <= at < window.end
        assert len(exact_percentiles.of_window(db, window, ["gate"], ["gate"])) == inside
    assert sum(one.spans for one in span_counts.by_type_and_day(db, day, [])) == 1


def one_moment(db: Database):
    return db.rows("SELECT date_trunc('second', now())")[0][0]


@pytest.mark.only_on(EMBEDDED, reason="many spans; the server makes no difference")
def test_of_very_many_keys_the_most_frequent_are_kept_and_the_rest_is_pooled(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: names that contain ids would fill memory and tables, and hide everything else."""
    most_keys = 2_000
    for module in (dimensions, histograms):
        monkeypatch.setattr(module, "MOST_KEYS", most_keys)
    number = most_keys + 500
    for days_ago in (2, 3):
        execute(
            db,
            "INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, duration_ms)"
            " SELECT gen_random_uuid(), gen_random_uuid(), 'gate',"
            " CASE WHEN n < 1000 THEN 'BUSY' ELSE 'id-' || %s::text || '-' || n END, %s, n"
            " FROM generate_series(1, %s) AS n",
            (days_ago, int(midnight(days_ago).timestamp() * 1000), number + 999),
        )
    window = week()
    count_up(db, window)
    assert db.rows("SELECT day, count(*) FROM duration_histograms GROUP BY 1 ORDER BY 1") == [
        (midnight(3).date(), most_keys + 1),
        (midnight(2).date(), most_keys + 1),
    ]
    by_history = p50.from_buckets(buckets.of_window(db, window, ["gate"], ["gate"]), histograms.GAMMA)
    exactly = p50.exact(exact_percentiles.of_window(db, window, ["gate"], ["gate"]))
    for measured in (by_history, exactly):
        assert len(measured) == most_keys + 1
        of_key = dict(zip(measured["dimension_key"], measured["sample_count"], strict=True))
        assert of_key["BUSY"] == 1998
        assert of_key[OTHER_KEYS] + most_keys - 1 + 1998 == 2 * (number + 999)


def partitions(db: Database, sql: str, parameters: dict) -> set[str]:
    plan = "\n".join(line for (line,) in db.rows("EXPLAIN " + sql, parameters))
    return set(re.findall(r"workflow_trace_log_(\d{8}|default)", plan))


@pytest.mark.with_days
def test_a_query_of_a_window_reads_only_its_days_and_the_default_partition(db: Database):
    """Lost: each analysis would read every stored span."""
    spans.ensure_partitions(db, midnight(80), midnight())
    window = Window(midnight(40), midnight(33))
    days = {f"{midnight(ago):%Y%m%d}" for ago in range(40, 33, -1)}
    around = {f"{midnight(ago):%Y%m%d}" for ago in range(47, 26, -1)}
    sql, parameters = observations(["gate"], ["gate"], Folds())
    assert partitions(db, sql, parameters | window.parameters()) <= around | {"default"}
    created = {"created_from": None, "created_to": None}
    assert partitions(db, COUNTS, window.parameters() | created) == days
    execute(db, f"DROP TABLE workflow_trace_log_{midnight(36):%Y%m%d}")
    assert partitions(db, COUNTS, window.parameters() | created) == days - {f"{midnight(36):%Y%m%d}"} | {"default"}


@pytest.mark.with_days
def test_a_purge_before_a_day_keeps_later_days(db: Database):
    """Lost: deleting January would empty the first days of February."""
    fill(db)
    count_up(db)
    blocks.make(db, SEASON.start.date(), SEASON.end.date(), TYPES)
    for ago in (61, 42, 40, 13):
        kept = Window(midnight(ago), SEASON.end)
        expected = read(db, kept)
        purge(db, Selection(before=kept.start.date()))
        assert read(db, kept) == expected
        assert {row[1]: row[2] for row in read(db, SEASON)} == {row[1]: row[2] for row in expected}


@pytest.mark.with_days
@pytest.mark.transactions_at_once
def test_two_analyses_of_the_same_days_make_each_block_once(db: Database, target: Target):
    """Lost: of two concurrent analyses, one would fail."""
    fill(db)
    count_up(db)
    days = SEASON.start.date(), SEASON.end.date()
    with closing(Database(target)) as other:
        made: list[int] = []

        def both(cursor) -> None:
            if not made:
                made.append(0)
                made[0] = blocks.make(other, days[0] + 40 * DAY, days[1], TYPES)

        assert blocks.make(db, days[0], days[0] + 20 * DAY, TYPES, both) > 0
        assert made[0] > 0
        with other.transaction() as cursor:
            lock(cursor, days[:1])
        assert blocks.make(other, *days, TYPES) + blocks.make(db, *days, TYPES) >= 0
    assert db.rows("SELECT count(*) - count(DISTINCT (first_day, days, dimension_type))"
                   " FROM duration_histogram_blocks_made") == [(0,)]  # fmt: skip


def test_a_day_that_another_analysis_counted_in_part_is_read_whole_from_its_spans(db: Database):
    """Lost: while one analysis reads a day up to noon, all others would miss its afternoon."""
    noon = midnight(4) + timedelta(hours=12)
    insert(db, [span("gate", "A", 10, at=noon - timedelta(hours=1)), span("gate", "A", 90, at=noon)])
    count_up(db, week())
    assert read(db, week())[0][2] == 2
    histograms.rebuild(db, [noon.date()], TYPES, ["gate"], part_day=noon)
    assert read(db, week())[0][2] == 2
    assert read(db, Window(midnight(7), noon))[0][2] == 1
    assert read(db, Window(midnight(7), noon + timedelta(hours=1)))[0][2] == 2


def test_a_row_out_of_all_bounds_does_not_stop_counting(db: Database):
    """Lost: one bad INSERT of some program would fail all analyses forever."""
    made = span("gate", "A", 10, at=midnight(3))
    insert(db, [made])
    count_up(db, week())
    for values in (
        ("handoff", "H", 2**63 - 1, 1, None),
        ("gate", "FAR", 2**62, 2**62, None),
        *[("wait", "W", made.start_time_ms, 2**62, made.span_id)] * 3,
    ):
        execute(
            db,
            "INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, duration_ms,"
            " parent_span_id) VALUES (%s, gen_random_uuid(), %s, %s, %s, %s, %s)",
            (made.trace_id, *values),
        )
    count_up(db, week())
    assert [row[:6] for row in read(db, week())] == [("gate", "A", 1, 1, 0.0, 0)]
    assert purge(db, Selection(trace_id=made.trace_id)).spans == 6
