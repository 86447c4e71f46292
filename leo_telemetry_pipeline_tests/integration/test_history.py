"""Daily history compared with exact measurement: the same numbers, whatever arrives late, whenever it is counted."""

from contextlib import closing, contextmanager
from datetime import timedelta

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import exact_percentiles, spans
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.dimensions import observations
from leo_telemetry_pipeline.store.history import buckets, histograms, span_counts, staleness
from leo_telemetry_pipeline.store.name_templates import Folds
from leo_telemetry_pipeline.store.retention.purge import Selection, purge
from leo_telemetry_pipeline.store.server.database import Database, Target, outside
from leo_telemetry_pipeline_tests.builders import (
    DAY,
    NOON,
    configure,
    execute,
    insert,
    midnight,
    new_id,
    span,
    spans_of,
    week,
)
from leo_telemetry_pipeline_tests.integration.between import Between
from leo_telemetry_pipeline_tests.servers import as_role

WEEK = week(midnight(0))

anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)


def seen(db: Database, window: Window = WEEK) -> list[str]:
    return sorted({one.span_type for one in span_counts.by_type_and_day(db, window)})


SHAPES = {
    "lognormal": lambda rng: rng.lognormal(8, 1.5, 400),
    "pareto": lambda rng: (rng.pareto(1.1, 400) + 1) * 10,
    "bimodal": lambda rng: np.where(rng.random(401) < 0.8, rng.normal(1000, 50, 401), rng.normal(9000, 90, 401)),
    "constant": lambda rng: np.full(50, 1234),
    "one": lambda rng: np.full(1, 77),
    "zeros": lambda rng: np.repeat([0, 3], 20),
    "huge": lambda rng: np.full(3, 10**9),
}


def fill(db: Database) -> dict[str, list[int]]:
    """Store spans of every shape, spread over the seven days of the window and two projects."""
    rng, drawn = np.random.default_rng(11), {}
    for name, make in SHAPES.items():
        values = np.clip(np.rint(make(rng)), 0, 10**9).astype(int).tolist()
        drawn[name] = values
        made = [
            span("gate", name, value, at=WEEK.start + timedelta(hours=int(rng.integers(0, 7 * 24))),
                 project=("", "shop")[int(rng.integers(0, 2))])
            for value in values
        ]  # fmt: skip
        insert(db, made)
    return drawn


def days_of(window: Window) -> list:
    return [(window.start + number * DAY).date() for number in range((window.end - window.start).days)]


def counted(db: Database, window: Window = WEEK, uncounted=(), types=("gate",)):
    rows = buckets.of_window(db, window, list(types), seen(db, window), uncounted)
    return p50.from_buckets(rows, histograms.GAMMA)


def test_history_gives_the_same_columns_as_exact_measurement_and_medians_within_half_a_percent(db: Database):
    """Lost: findings would change on the day an installation outgrows the limit."""
    drawn = fill(db)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    exact, got = p50.exact(exact_percentiles.of_window(db, WEEK, ["gate"], seen(db))), counted(db)
    assert list(got.columns) == list(exact.columns)
    assert list(got.dtypes) == list(exact.dtypes)
    assert got[["dimension_type", "dimension_key", "sample_count", "sum_ms"]].equals(
        exact[["dimension_type", "dimension_key", "sample_count", "sum_ms"]]
    )
    for name, values in drawn.items():
        [row] = got.loc[got["dimension_key"] == name, ["p50_ms", "p90_ms", "p95_ms", "p99_ms"]].to_numpy()
        np.testing.assert_allclose(row, np.percentile(values, [50, 90, 95, 99]), rtol=0.005, err_msg=name)


@anywhere
@given(values=st.lists(st.one_of(st.integers(0, 50), st.integers(1, 10**9)), min_size=1, max_size=30))
@example(values=[0, 172, 172, 173, 173])
def test_the_database_and_the_definition_agree_on_the_bucket_of_every_duration(db: Database, values: list[int]):
    """Lost: rounding at the edge of a bucket would shift spans by half a percent."""
    execute(db, "TRUNCATE workflow_trace_log, duration_histograms, duration_histogram_days")
    spans.insert(db, spans_of("gate", "A", values))
    histograms.rebuild(db, [NOON.date()], ["gate"], ["gate"])
    [[low, high, buckets, numbers]] = db.rows("SELECT min_ms, max_ms, buckets, counts FROM duration_histograms")
    assert (low, high, sum(numbers)) == (min(values), max(values), len(values))
    uppers = np.array([0.0 if bucket == histograms.ZERO_BUCKET else histograms.GAMMA**bucket for bucket in buckets])
    at = np.repeat(np.arange(len(buckets)), numbers)
    ordered = np.sort(values)
    assert (ordered <= uppers[at] * (1 + 1e-9)).all()
    assert (ordered >= uppers[at] / histograms.GAMMA * (1 - 1e-9)).all()
    [got] = counted(db)[["p50_ms", "p90_ms", "p95_ms", "p99_ms"]].to_numpy()
    # They are rounded to whole ms.
    np.testing.assert_allclose(got, np.percentile(values, [50, 90, 95, 99]), rtol=0.005 + 1e-9, atol=0.5)


@pytest.mark.parametrize("statement", ["COUNTED", "COUNTED_IN_MEMORY"])
def test_buckets_are_in_order_even_with_more_groups_than_memory_holds(db: Database, statement: str):
    """Lost: percentiles of large days, which rely on the order of buckets, would be arbitrary."""
    insert(db, [span("gate", f"G{n % 3000}", 10 + n * 7919 % 5000) for n in range(15_000)])
    sql, parameters = observations(["gate"], ["gate"], Folds())
    counting = getattr(histograms, statement).format(observations=sql)
    with db.transaction() as cursor:
        cursor.execute("SET LOCAL work_mem = '64kB'")
        cursor.execute(
            f"SELECT buckets, counts, count FROM ({counting}) AS counted",
            parameters | WEEK.parameters(),
        )
        rows = cursor.fetchall()
    assert len(rows) == 3000
    for numbers, counted, count in rows:
        assert numbers == sorted(set(numbers))
        assert sum(counted) == count == 5


def test_uncounted_days_give_the_same_as_counted_ones(db: Database):
    """Lost: a dry run, which counts nothing, would differ from the analysis after it."""
    fill(db)
    configure(db, "gate+project", None, 1, 2.0)
    fresh = counted(db, uncounted=days_of(WEEK))
    assert len(fresh) == len(SHAPES)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    for uncounted in ((), days_of(WEEK)[:3], days_of(WEEK)):
        assert counted(db, uncounted=uncounted).equals(fresh)


def test_a_partial_day_is_counted_up_to_the_windows_end_although_history_has_the_whole_day(db: Database):
    """Lost: an analysis of a past window would see later spans."""
    half = Window(WEEK.start, WEEK.end - timedelta(hours=12))
    last = (WEEK.end - DAY).date()
    insert(db, [span("gate", "A", 10, at=half.end - timedelta(hours=1)), span("gate", "A", 90, at=half.end)])
    histograms.rebuild(db, [last], ["gate"], ["gate"])
    assert list(counted(db, half, uncounted=[last])["p50_ms"]) == [10]
    assert list(counted(db, week(WEEK.end))["sample_count"]) == [2]


def test_history_keeps_projects_apart(db: Database):
    """Lost: projects would be judged by each other's history."""
    fill(db)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    for project in ("shop", ""):
        window = week(WEEK.end, project)
        exact = p50.exact(exact_percentiles.of_window(db, window, ["gate"], seen(db)))
        for uncounted in ((), days_of(WEEK)):
            assert counted(db, window, uncounted)["sample_count"].equals(exact["sample_count"])


def test_history_of_combined_and_bare_attribute_types_agrees_with_exact_measurement(db: Database):
    """Lost: sd_type and gate+sd_type would have no baseline, or a wrong one."""
    for day in range(1, 6):
        for number, sd_type in enumerate(("feature", "bugfix")):
            trace_id, at = new_id(), midnight(day) + timedelta(hours=23, minutes=59)
            insert(
                db,
                [
                    span("handoff", "H", 100 + day, at=at, trace_id=trace_id, attributes={"sd_type": sd_type}),
                    # A child on the next day counts on its own day, with its handoff's attribute.
                    span("gate", "A", 10 * day + number, at=at + timedelta(minutes=2), trace_id=trace_id),
                ],
            )
    types = ["gate", "gate+sd_type", "handoff", "sd_type"]
    histograms.rebuild(db, days_of(WEEK), types, seen(db))
    exact = p50.exact(exact_percentiles.of_window(db, WEEK, types, seen(db)))
    got = counted(db, types=types)
    assert got[["dimension_type", "dimension_key", "sample_count"]].equals(
        exact[["dimension_type", "dimension_key", "sample_count"]]
    )
    np.testing.assert_allclose(got["p50_ms"], exact["p50_ms"], rtol=0.005)
    assert ("gate+sd_type", "A:feature") in set(zip(got["dimension_type"], got["dimension_key"], strict=True))


HISTORY = "SELECT * FROM duration_histograms AS h ORDER BY h::text"


def test_counting_twice_gives_the_same(db: Database):
    """Lost: every analysis would double the history."""
    fill(db)
    made = histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    before = db.rows(HISTORY)
    assert made == len(before) > 0
    assert histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db)) == made
    assert db.rows(HISTORY) == before


def test_a_day_with_more_spans_than_memory_holds_has_the_same_history(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: percentiles would jump on the day that a team outgrows a limit of ours."""
    fill(db)
    types = ["gate", "gate+project"]
    histograms.rebuild(db, days_of(WEEK), types, seen(db))
    before = db.rows(HISTORY)
    monkeypatch.setattr(histograms, "MOST_IN_MEMORY", 0)
    histograms.rebuild(db, days_of(WEEK), types, seen(db))
    assert db.rows(HISTORY) == before != []


def stale(db: Database, types: list[str] | None = None) -> list:
    return staleness.stale_days(db, WEEK.start.date(), WEEK.end.date(), types or ["gate"])


def test_days_are_stale_until_they_are_counted_and_again_after_a_late_span(db: Database):
    """Lost: spans that arrive late, from a spool or an import, would never count."""
    fill(db)
    assert stale(db) == days_of(WEEK)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    assert stale(db) == []
    insert(db, [span("gate", "late", 5, at=NOON)])
    assert stale(db) == [NOON.date()]
    histograms.rebuild(db, stale(db), ["gate"], seen(db))
    assert stale(db) == []
    assert "late" in set(counted(db)["dimension_key"])


def test_a_late_handoff_makes_all_days_of_its_trace_stale(db: Database):
    """Lost: children are stored before parents, so the days of a long handoff would lack its attributes forever."""
    trace_id, begun = new_id(), NOON - DAY
    insert(db, [span("gate", "A", 5, at=NOON, trace_id=trace_id)])
    types = ["gate", "gate+sd_type", "handoff"]
    histograms.rebuild(db, days_of(WEEK), types, ["gate", "handoff"])
    day_ms = int(DAY.total_seconds() * 1000)
    insert(db, [span("handoff", "H", day_ms, at=begun, trace_id=trace_id, attributes={"sd_type": "feature"})])
    assert stale(db, types) == [begun.date(), NOON.date()]
    histograms.rebuild(db, stale(db, types), types, seen(db))
    assert "A:feature" in set(counted(db, types=types)["dimension_key"])
    # Try a handoff that began before all analyzed days, and one that never ended, too.
    early = [span("gate", "A", 5, at=WEEK.start + days * DAY, trace_id=trace_id) for days in (0, 2)]
    insert(db, early)
    histograms.rebuild(db, stale(db, types), types, seen(db))
    insert(db, [span("handoff", "H", None, at=WEEK.start - DAY, trace_id=trace_id)])
    assert stale(db, types) == sorted({WEEK.start.date(), (WEEK.start + 2 * DAY).date(), begun.date(), NOON.date()})


def test_a_new_type_makes_all_days_stale_and_an_empty_day_does_not_stay_so(db: Database):
    """Lost: a type that is added today would have no history; or empty days would be counted again forever."""
    insert(db, [span("gate", "A", 5, at=NOON)])
    histograms.rebuild(db, stale(db), ["gate"], seen(db))
    assert stale(db) == []
    assert stale(db, ["gate", "phase+sd_type"]) == days_of(WEEK)
    histograms.rebuild(db, days_of(WEEK), ["gate", "phase+sd_type"], seen(db))
    assert stale(db, ["gate", "phase+sd_type"]) == []


@contextmanager
def in_flight(target: Target, made: list[Span]):
    """Hold open a transaction that stored spans and has not committed."""
    with closing(psycopg2.connect(target.dsn)) as connection, connection.cursor() as cursor:
        for each in made:
            cursor.execute(
                "INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, duration_ms)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (each.trace_id, each.span_id, each.span_type, each.span_name, each.start_time_ms, each.duration_ms),
            )
        yield connection


@pytest.mark.transactions_at_once
def test_a_span_that_is_committed_after_its_day_was_counted_makes_the_day_stale(db: Database, target: Target):
    """Lost: spans of a long transaction would silently be missing from history forever."""
    insert(db, [span("gate", "A", 5, at=NOON)])
    with in_flight(target, [span("gate", "slow writer", 5, at=NOON)]) as writer:
        histograms.rebuild(db, days_of(WEEK), ["gate"], ["gate"])
        writer.commit()
    assert stale(db) == [NOON.date()]


@pytest.mark.transactions_at_once
@pytest.mark.parametrize("moment", ["DELETE FROM duration_histograms", "INSERT INTO duration_histogram_days"])
def test_a_span_that_is_committed_while_its_day_is_counted_is_counted_or_makes_the_day_stale(
    db: Database, target: Target, moment: str
):
    """Lost: a batch that lands at the same moment would silently be missing from history forever."""
    insert(db, [span("gate", "A", 5, at=NOON)])
    with (
        in_flight(target, [span("gate", "racing", 5, at=NOON)]) as writer,
        closing(Between(target, moment, writer.commit)) as counting,
    ):
        histograms.rebuild(counting, [NOON.date()], ["gate"], ["gate"])
    histograms.rebuild(db, [day for day in days_of(WEEK) if day != NOON.date()], ["gate"], ["gate"])
    in_history = db.rows("SELECT FROM duration_histograms WHERE dimension_key = 'racing'")
    assert in_history or stale(db) == [NOON.date()]


@pytest.mark.transactions_at_once
def test_a_transaction_of_another_user_of_the_database_is_not_overlooked(
    db: Database, target: Target, database_url: str
):
    """Lost: if each program has its own role, spans in flight are invisible and would be missing from history."""
    role = f"analyst_{new_id()[:8]}"
    execute(db, f"CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    theirs = outside(as_role(database_url, role), "dagster")
    try:
        insert(db, [span("gate", "A", 5, at=NOON)])
        with in_flight(target, [span("gate", "unseen", 5, at=NOON)]) as writer:
            with closing(Database(theirs)) as analyst:
                histograms.rebuild(analyst, days_of(WEEK), ["gate"], ["gate"])
            writer.commit()
        assert stale(db) == [NOON.date()]
    finally:
        execute(db, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_history_of_a_purged_project_is_deleted_with_its_spans(db: Database):
    """Lost: data that was deleted on request would live on in history."""
    fill(db)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    assert purge(db, Selection(project="shop")).spans > 0
    assert db.rows("SELECT DISTINCT project FROM duration_histograms") == [("",)]
    assert counted(db).equals(counted(db, uncounted=days_of(WEEK)))
