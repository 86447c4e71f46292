"""Medians, measured where the spans are: exactly, and from daily history; both against numpy."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.span import InvalidSpan, Span
from leo_telemetry_pipeline.store import dimensions, histograms, spans, thresholds
from leo_telemetry_pipeline.store.database import Database, Target, outside
from leo_telemetry_pipeline.store.purge import What, purge
from leo_telemetry_pipeline.store.spans import Window
from leo_telemetry_pipeline_tests.builders import (
    DAY,
    configure,
    execute,
    insert,
    midnight,
    new_id,
    span,
    spans_of,
    week,
)

NOON = midnight(2) + timedelta(hours=12)
WEEK = week(midnight(0))

anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)


def seen(db: Database, window: Window = WEEK) -> list[str]:
    return sorted({row[0] for row in spans.count_by_type_and_day(db, window)})


def measure(db: Database, window: Window = WEEK, types: list[str] | None = None) -> dict[tuple[str, str], tuple]:
    """Return sample_count, p50, p90, p95, p99, sum, queue p50 of every dimension, measured exactly."""
    there = seen(db, window)
    wanted = types or dimensions.types_to_judge(there, thresholds.named_types(db))
    return {row[:2]: row[2:] for row in spans.exact_p50(db, window, wanted, there)}


def counts(db: Database, window: Window = WEEK) -> dict[tuple[str, str], int]:
    return {dimension: row[0] for dimension, row in measure(db, window).items()}


def medians(db: Database, window: Window = WEEK) -> dict[tuple[str, str], float]:
    return {dimension: row[1] for dimension, row in measure(db, window).items()}


def test_hypothesis_is_deterministic_in_ci():
    """Lost: a build would fail one day for a reason that no later run shows."""
    code = "import leo_telemetry_pipeline_tests.conftest, hypothesis; print(hypothesis.settings.default.derandomize)"
    environment = os.environ | {"CI": "true"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


# Exact medians

durations = st.lists(
    st.one_of(st.integers(0, 20), st.integers(1, 10**9), st.sampled_from([0, 1, 10**9])), min_size=1, max_size=15
)
sd_types = st.sampled_from(["feature", "bugfix", "refactor"])
trace = st.fixed_dictionaries(
    {
        "sd_type": st.one_of(st.none(), sd_types),
        "handoff": durations.map(lambda values: values[0]),
        "phase": durations,
        "gate": durations,
        "deploy": durations,
    }
)


def of_trace(drawn: dict[str, Any]) -> list[Span]:
    """Make the spans of a drawn trace, a handoff and what happened in it."""
    trace_id = new_id()
    attributes = {} if drawn["sd_type"] is None else {"sd_type": drawn["sd_type"]}
    made = [span("handoff", "LEAD-TO-PLAN", drawn["handoff"], trace_id=trace_id, attributes=attributes)]
    for kind in ("phase", "gate", "deploy"):
        names = itertools.cycle((f"{kind}-a", f"{kind}-b"))
        made += [span(kind, next(names), duration, trace_id=trace_id) for duration in drawn[kind]]
    return made


def expected(traces: list[dict[str, Any]]) -> dict[tuple[str, str], list[int]]:
    """Group what was drawn by dimension, without any code of ours."""
    found: dict[tuple[str, str], list[int]] = {}
    for drawn in traces:
        found.setdefault(("handoff", "LEAD-TO-PLAN"), []).append(drawn["handoff"])
        if drawn["sd_type"]:
            found.setdefault(("sd_type", drawn["sd_type"]), []).append(drawn["handoff"])
        for kind in ("phase", "gate", "deploy"):
            for number, duration in enumerate(drawn[kind]):
                name = f"{kind}-{'ab'[number % 2]}"
                found.setdefault((kind, name), []).append(duration)
                if kind in ("gate", "phase") and drawn["sd_type"]:
                    found.setdefault((f"{kind}+sd_type", f"{name}:{drawn['sd_type']}"), []).append(duration)
    return found


ONE = {"sd_type": "feature", "handoff": 1, "phase": [1], "gate": [10**9], "deploy": [10**9, 10**9]}


@anywhere
@example(traces=[ONE])
@example(traces=[ONE, ONE | {"handoff": 10**9, "gate": [1, 1]}])
@given(traces=st.lists(trace, min_size=1, max_size=4))
def test_every_median_is_numpys(db: Database, traces: list[dict[str, Any]]):
    """Lost: what people are told about their work would not be true."""
    execute(db, "TRUNCATE workflow_trace_log, telemetry_thresholds")
    configure(db, "phase+sd_type", None, None, 2.0)
    spans.insert(db, [made for drawn in traces for made in of_trace(drawn)])
    got, wanted = measure(db), expected(traces)
    assert set(got) == set(wanted)
    for dimension, values in wanted.items():
        count, middle, p90, p95, p99, total, _ = got[dimension]
        assert (count, total) == (len(values), sum(values)), dimension
        assert middle == np.median(values), dimension
        np.testing.assert_allclose((p90, p95, p99), np.percentile(values, [90, 95, 99]), rtol=1e-12)


def test_only_direct_waits_are_taken_off(db: Database):
    """Lost: a person who takes lunch would make a gate slow; or nested waits would be taken off twice."""
    parent, middle, trace_id = new_id(), new_id(), new_id()
    insert(
        db,
        [
            span("phase", "EXEC", 1000, trace_id=trace_id, span_id=parent),
            span("gate", "A", 700, trace_id=trace_id, span_id=middle, parent_span_id=parent),
            span("wait", "approval", 100, trace_id=trace_id, parent_span_id=parent),
            span("wait", "approval", 50, trace_id=trace_id, parent_span_id=parent),
            span("wait", "approval", 300, trace_id=trace_id, parent_span_id=middle),
            span("gate", "B", 20, trace_id=trace_id, parent_span_id=parent),
            # The same span id in another trace is another span.
            span("wait", "approval", 5, parent_span_id=parent),
            span("wait", "no parent", 5, trace_id=trace_id),
            span("wait", "never ended", None, trace_id=trace_id, parent_span_id=parent),
        ],
    )
    assert medians(db) == {("phase", "EXEC"): 850, ("gate", "A"): 400, ("gate", "B"): 20}


def test_a_wait_longer_than_its_parent_leaves_nothing_and_no_negative_time(db: Database):
    """Lost: clocks that disagree would make negative durations."""
    parent, trace_id = new_id(), new_id()
    insert(
        db,
        [
            span("gate", "A", 100, trace_id=trace_id, span_id=parent),
            span("wait", "approval", 101, trace_id=trace_id, parent_span_id=parent),
        ],
    )
    assert medians(db) == {("gate", "A"): 0}


def test_a_wait_of_a_later_day_or_after_the_window_is_still_taken_off(db: Database):
    """Lost: work that waits over night would count as work all night."""
    parent, trace_id, start = new_id(), new_id(), WEEK.end - timedelta(hours=1)
    long = int(timedelta(hours=30).total_seconds() * 1000)
    insert(
        db,
        [
            span("handoff", "H", long + 10, at=start, trace_id=trace_id, span_id=parent),
            span(
                "wait", "approval", long, at=WEEK.end + timedelta(minutes=5), trace_id=trace_id, parent_span_id=parent
            ),
        ],
    )
    assert medians(db)["handoff", "H"] == 10


def test_waits_and_executions_are_measured_only_when_named(db: Database):
    """Lost: people would get an item for taking time to think; or nobody could ever watch waiting."""
    insert(db, [*spans_of("wait", "approval", [5]), *spans_of("execution", "run", [7])])
    assert medians(db) == {}
    configure(db, "wait", "approval", 1, 2.0)
    assert medians(db) == {("wait", "approval"): 5}


def test_a_span_without_the_attribute_takes_it_from_its_traces_handoff(db: Database):
    """Lost: gate+sd_type would be empty, since it is the handoff that knows the type of its SD."""
    trace_id = new_id()
    insert(
        db,
        [
            # The handoff may have begun before the window.
            span("handoff", "H", 1, at=WEEK.start - DAY, trace_id=trace_id, attributes={"sd_type": "feature"}),
            span("gate", "OWN", 10, trace_id=trace_id, attributes={"sd_type": "bugfix"}),
            span("gate", "EMPTY", 20, trace_id=trace_id, attributes={"sd_type": ""}),
            span("gate", "NONE", 30, trace_id=trace_id),
            span("gate", "ALONE", 40),
        ],
    )
    combined = {key: value for (kind, key), value in medians(db).items() if kind == "gate+sd_type"}
    assert combined == {"OWN:bugfix": 10, "EMPTY:feature": 20, "NONE:feature": 30}


def test_sd_type_is_the_time_of_handoffs_by_their_attribute(db: Database):
    """Lost: nobody could see that features take longer than they did."""
    for value, times in (("feature", [10, 30]), ("bugfix", [5]), ("", [99]), (None, [99])):
        attributes = {} if value is None else {"sd_type": value}
        insert(db, spans_of("handoff", "H", times, attributes=attributes))
    insert(db, spans_of("gate", "A", [1000], attributes={"sd_type": "feature"}))
    by_sd_type = {key: value for (kind, key), value in medians(db).items() if kind == "sd_type"}
    assert by_sd_type == {"feature": 20, "bugfix": 5}


def test_the_older_shape_is_measured_under_the_same_names(db: Database):
    """Lost: histories written before this project would have to be converted by hand."""
    insert(
        db,
        [
            span("workflow", "workflow.execute", 10, attributes={"handoff_type": "LEAD-TO-PLAN", "sd_type": "feature"}),
            span("handoff", "LEAD-TO-PLAN", 20, attributes={"sd_type": "feature"}),
            span("gate", "gate.evaluate", 1, gate_name="GATE_PRD_REQUIRED"),
            span("gate", "GATE_PRD_REQUIRED", 3),
            span("gate", "gate.evaluate", 7, gate_name=""),
            span("subagent", "subagent.run", 5, subagent_name="DESIGN"),
            span("phase", "step.verify", 11, phase="EXEC", attributes={"step_name": "verifyExit"}),
            span("phase", "phase.run", 13, phase="PLAN"),
            span("phase", "LEAD", 17, phase="PLAN"),
        ],
    )
    assert medians(db) == {
        ("handoff", "LEAD-TO-PLAN"): 15,
        ("sd_type", "feature"): 15,
        ("gate", "GATE_PRD_REQUIRED"): 2,
        ("gate", "gate.evaluate"): 7,
        ("subagent", "DESIGN"): 5,
        ("phase", "verifyExit"): 11,
        ("phase", "PLAN"): 13,
        ("phase", "LEAD"): 17,
    }


def test_a_type_named_only_in_thresholds_and_a_type_never_seen_before_are_measured(db: Database):
    """Lost: a new kind of work would need new code."""
    trace_id = new_id()
    insert(
        db,
        [
            span("handoff", "H", 50, trace_id=trace_id, attributes={"sd_type": "feature", "team": "blue"}),
            span("phase", "EXEC", 40, trace_id=trace_id),
            span("deploy", "prod", 30, trace_id=trace_id),
        ],
    )
    without = medians(db)
    assert without["deploy", "prod"] == 30
    assert not any(kind in ("phase+sd_type", "team", "deploy+team") for kind, _ in without)
    for kind in ("phase+sd_type", "team", "deploy+team"):
        configure(db, kind, None, 10, 2.0)
    assert medians(db) == without | {
        ("phase+sd_type", "EXEC:feature"): 40,
        ("team", "blue"): 50,
        ("deploy+team", "prod:blue"): 30,
    }


@pytest.mark.parametrize("odd", ["Gate", "ünïcode", "with space", "%s", "'"])
def test_a_span_type_of_any_spelling_is_measured_by_its_name(db: Database, odd: str):
    """Lost: spans of an odd type would be scanned and never judged."""
    insert(db, spans_of(odd, "x", [1, 2, 3]))
    assert medians(db)[odd, "x"] == 2


@pytest.mark.parametrize("odd", ["a+b", "sd_type", "gate+sd_type", "global"])
def test_a_span_type_that_the_grammar_needs_for_itself_is_refused_or_measured(db: Database, odd: str):
    """Lost: one such span would be scanned and never judged, and its check would stop every analysis for a week."""
    try:
        insert(db, spans_of(odd, "x", [1, 2, 3]))
    except (InvalidSpan, psycopg2.errors.CheckViolation):
        return
    assert medians(db)[odd, "x"] == 2


@pytest.mark.parametrize("name", ["a:b", "%(from_ms)s", "{i}", "naïve ☃", "\\N", "tab\tnew\nline", "'; --"])
def test_a_name_of_any_spelling_is_its_own_dimension(db: Database, name: str):
    """Lost: an odd name would break the analysis of all others."""
    insert(db, spans_of("gate", name, [3], attributes={"sd_type": name}))
    assert medians(db) == {("gate", name): 3, ("gate+sd_type", f"{name}:{name}"): 3}


def test_spans_without_an_end_are_not_judged_and_those_without_a_duration_are(db: Database):
    """Lost: work that never ended would count as quick, or work whose source gave only times as nothing."""
    insert(db, spans_of("gate", "A", [None, None, 8]))
    made = span("gate", "B", 12)
    made.duration_ms = None
    insert(db, [made])
    assert medians(db) == {("gate", "A"): 8, ("gate", "B"): 12}
    assert counts(db)["gate", "A"] == 1


def test_spans_of_less_than_a_millisecond_count(db: Database):
    """Lost: a gate that got slow now and then would look slow always."""
    insert(db, spans_of("gate", "A", [0, 0, 0, 10]))
    assert (counts(db)["gate", "A"], medians(db)["gate", "A"]) == (4, 0)


def test_a_window_holds_its_start_and_not_its_end(db: Database):
    """Lost: spans at midnight would be judged twice or never."""
    step = timedelta(milliseconds=1)
    for at, duration in ((WEEK.start - step, 1), (WEEK.start, 2), (WEEK.end - step, 3), (WEEK.end, 4)):
        insert(db, [span("gate", str(duration), duration, at=at)])
    assert set(counts(db)) == {("gate", "2"), ("gate", "3")}
    # An end in the middle of a millisecond counts that millisecond's start as inside.
    part = Window(WEEK.start, WEEK.end + timedelta(microseconds=1500))
    assert set(counts(db, part)) == {("gate", "2"), ("gate", "3"), ("gate", "4")}


def test_a_project_sees_its_own_spans(db: Database):
    """Lost: projects would be judged by each other's work."""
    insert(
        db, [*spans_of("gate", "A", [10], project="shop"), *spans_of("gate", "A", [30]), *spans_of("gate", "B", [5])]
    )
    execute(db, "UPDATE workflow_trace_log SET project = NULL WHERE span_name = 'B'")
    assert medians(db, week(WEEK.end, "shop")) == {("gate", "A"): 10}
    assert medians(db, week(WEEK.end, "")) == {("gate", "A"): 30, ("gate", "B"): 5}
    assert medians(db, week(WEEK.end, "none")) == {}
    assert medians(db) == {("gate", "A"): 20, ("gate", "B"): 5}


def test_the_median_of_queue_waits_leaves_out_spans_that_did_not_wait_in_one(db: Database):
    """Lost: nobody could tell slow work from a long queue."""
    insert(
        db,
        [*spans_of("gate", "A", [1, 1], queue_wait_ms=40), *spans_of("gate", "A", [1, 1]), *spans_of("gate", "B", [1])],
    )
    got = measure(db)
    assert (got["gate", "A"][6], got["gate", "B"][6]) == (40, None)


def test_evidence_names_the_slowest_traces_of_a_dimension(db: Database):
    """Lost: whoever gets an item would not know where to look."""
    made = spans_of("gate", "A", [5, 50, 40, 30, 1])
    insert(db, [*made, *spans_of("gate", "B", [999])])
    wanted = [made[index].trace_id for index in (1, 2, 3)]
    found = spans.evidence(db, WEEK, [("gate", "A")], seen(db))
    assert found == {("gate", "A"): wanted}
    assert spans.evidence(db, WEEK, [], seen(db)) == {}


def test_evidence_names_three_traces_also_when_the_slowest_spans_are_all_of_one(db: Database):
    """Lost: a single bad trace would be all the evidence there is."""
    one = new_id()
    bad = spans_of("gate", "A", [100, 99, 98], trace_id=one)
    others = spans_of("gate", "A", [50, 40])
    insert(db, [*bad, *others])
    found = spans.evidence(db, WEEK, [("gate", "A")], seen(db))
    assert found["gate", "A"] == [one, others[0].trace_id, others[1].trace_id]


# Medians from history

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
    totals, buckets = histograms.bucket_counts(db, window, list(types), seen(db, window), uncounted)
    return p50.from_buckets(totals, buckets, histograms.GAMMA)


def test_history_gives_the_frame_of_the_exact_way_and_medians_within_half_a_percent(db: Database):
    """Lost: the day an installation grows over the limit, its findings would change."""
    drawn = fill(db)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    exact, got = p50.exact(spans.exact_p50(db, WEEK, ["gate"], seen(db))), counted(db)
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
def test_the_database_and_the_definition_agree_on_the_bucket_of_every_duration(db: Database, values: list[int]):
    """Lost: a rounding at the edge of a bucket would put spans half a percent off."""
    execute(db, "TRUNCATE workflow_trace_log, duration_histograms, duration_histogram_days")
    spans.insert(db, spans_of("gate", "A", values))
    histograms.rebuild(db, [NOON.date()], ["gate"], ["gate"])
    [[low, high, buckets, numbers]] = db.rows("SELECT min_ms, max_ms, buckets, counts FROM duration_histograms")
    assert (low, high, sum(numbers)) == (min(values), max(values), len(values))
    uppers = np.array([0.0 if bucket < 0 else histograms.GAMMA**bucket for bucket in buckets])
    at = np.repeat(np.arange(len(buckets)), numbers)
    ordered = np.sort(values)
    assert (ordered <= uppers[at] * (1 + 1e-9)).all()
    assert (ordered >= uppers[at] / histograms.GAMMA * (1 - 1e-9)).all()
    [got] = counted(db)[["p50_ms", "p90_ms", "p95_ms", "p99_ms"]].to_numpy()
    np.testing.assert_allclose(got, np.percentile(values, [50, 90, 95, 99]), rtol=0.005 + 1e-9)


def test_days_that_are_not_counted_yet_give_the_same_as_counted_ones(db: Database):
    """Lost: a dry run, which counts nothing, would find something else than the analysis after it."""
    fill(db)
    configure(db, "gate+project", None, 1, 2.0)
    fresh = counted(db, uncounted=days_of(WEEK))
    assert len(fresh) == len(SHAPES)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    for uncounted in ((), days_of(WEEK)[:3], days_of(WEEK)):
        assert counted(db, uncounted=uncounted).equals(fresh)


def test_a_part_day_is_counted_up_to_the_windows_end_though_history_has_the_whole_day(db: Database):
    """Lost: an analysis of the past would see spans of its future."""
    half = Window(WEEK.start, WEEK.end - timedelta(hours=12))
    last = (WEEK.end - DAY).date()
    insert(db, [span("gate", "A", 10, at=half.end - timedelta(hours=1)), span("gate", "A", 90, at=half.end)])
    histograms.rebuild(db, [last], ["gate"], ["gate"])
    assert list(counted(db, half, uncounted=[last])["p50_ms"]) == [10]
    assert list(counted(db, week(WEEK.end))["sample_count"]) == [2]


def test_history_knows_projects_apart(db: Database):
    """Lost: projects would be judged by each other's history."""
    fill(db)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    for project in ("shop", ""):
        window = week(WEEK.end, project)
        exact = p50.exact(spans.exact_p50(db, window, ["gate"], seen(db)))
        for uncounted in ((), days_of(WEEK)):
            assert counted(db, window, uncounted)["sample_count"].equals(exact["sample_count"])


def test_history_of_combined_and_bare_attribute_types_agrees_with_the_exact_way(db: Database):
    """Lost: sd_type and gate+sd_type would have no baseline, or a wrong one."""
    for day in range(1, 6):
        for number, sd_type in enumerate(("feature", "bugfix")):
            trace_id, at = new_id(), midnight(day) + timedelta(hours=23, minutes=59)
            insert(
                db,
                [
                    span("handoff", "H", 100 + day, at=at, trace_id=trace_id, attributes={"sd_type": sd_type}),
                    # A child of the next day: its day is its own, its attribute the handoff's.
                    span("gate", "A", 10 * day + number, at=at + timedelta(minutes=2), trace_id=trace_id),
                ],
            )
    types = ["gate", "gate+sd_type", "handoff", "sd_type"]
    histograms.rebuild(db, days_of(WEEK), types, seen(db))
    exact = p50.exact(spans.exact_p50(db, WEEK, types, seen(db)))
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


def stale(db: Database, types: list[str] | None = None) -> list:
    return histograms.stale_days(db, WEEK.start.date(), WEEK.end.date(), types or ["gate"])


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
    """Lost: children are stored before parents, so the days of a long handoff would lack its attributes for ever."""
    trace_id, begun = new_id(), NOON - DAY
    insert(db, [span("gate", "A", 5, at=NOON, trace_id=trace_id)])
    types = ["gate", "gate+sd_type", "handoff"]
    histograms.rebuild(db, days_of(WEEK), types, ["gate", "handoff"])
    day_ms = int(DAY.total_seconds() * 1000)
    insert(db, [span("handoff", "H", day_ms, at=begun, trace_id=trace_id, attributes={"sd_type": "feature"})])
    assert stale(db, types) == [begun.date(), NOON.date()]
    histograms.rebuild(db, stale(db, types), types, seen(db))
    assert "A:feature" in set(counted(db, types=types)["dimension_key"])
    # Also one that began before all days that anybody looks at, and one that never ended.
    early = [span("gate", "A", 5, at=WEEK.start + days * DAY, trace_id=trace_id) for days in (0, 2)]
    insert(db, early)
    histograms.rebuild(db, stale(db, types), types, seen(db))
    insert(db, [span("handoff", "H", None, at=WEEK.start - DAY, trace_id=trace_id)])
    assert stale(db, types) == sorted({WEEK.start.date(), (WEEK.start + 2 * DAY).date(), begun.date(), NOON.date()})


def test_a_new_type_makes_all_days_stale_and_an_empty_day_does_not_stay_so(db: Database):
    """Lost: a type that somebody names today would have no history; or empty days would be counted for ever."""
    insert(db, [span("gate", "A", 5, at=NOON)])
    histograms.rebuild(db, stale(db), ["gate"], seen(db))
    assert stale(db) == []
    assert stale(db, ["gate", "phase+sd_type"]) == days_of(WEEK)
    histograms.rebuild(db, days_of(WEEK), ["gate", "phase+sd_type"], seen(db))
    assert stale(db, ["gate", "phase+sd_type"]) == []


@contextmanager
def in_flight(target: Target, made: list[Span]):
    """Hold a transaction open that stored spans and has not committed."""
    with closing(psycopg2.connect(target.dsn)) as connection, connection.cursor() as cursor:
        for each in made:
            cursor.execute(
                "INSERT INTO workflow_trace_log (trace_id, span_id, span_type, span_name, start_time_ms, duration_ms)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (each.trace_id, each.span_id, each.span_type, each.span_name, each.start_time_ms, each.duration_ms),
            )
        yield connection


def test_a_span_that_is_committed_after_its_day_was_counted_makes_the_day_stale(db: Database, target: Target):
    """Lost: spans of a long transaction would be in no history, for ever and without a word."""
    insert(db, [span("gate", "A", 5, at=NOON)])
    with in_flight(target, [span("gate", "slow writer", 5, at=NOON)]) as writer:
        histograms.rebuild(db, days_of(WEEK), ["gate"], ["gate"])
        writer.commit()
    assert stale(db) == [NOON.date()]


class Between(Database):
    """A database that does something just before the first statement that contains some words."""

    def __init__(self, target: Target, words: str, act) -> None:
        super().__init__(target)
        self._words, self._act = words, act

    @contextmanager
    def transaction(self, *, seconds: float = 300) -> Iterator[Any]:
        with super().transaction(seconds=seconds) as cursor:
            yield _Watched(cursor, self)

    def before(self, sql: str) -> None:
        if self._act is not None and self._words in sql:
            act, self._act = self._act, None
            act()


class _Watched:
    def __init__(self, cursor: Any, database: Between) -> None:
        self._cursor, self._database = cursor, database

    def execute(self, sql: str, parameters: Any = None) -> None:
        self._database.before(sql)
        self._cursor.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


@pytest.mark.parametrize("moment", ["DELETE FROM duration_histograms", "INSERT INTO duration_histogram_days"])
def test_a_span_that_is_committed_while_its_day_is_counted_is_counted_or_makes_the_day_stale(
    db: Database, target: Target, moment: str
):
    """Lost: a batch that lands in the same moment would be in no history, for ever and without a word."""
    insert(db, [span("gate", "A", 5, at=NOON)])
    with (
        in_flight(target, [span("gate", "racing", 5, at=NOON)]) as writer,
        closing(Between(target, moment, writer.commit)) as counting,
    ):
        histograms.rebuild(counting, [NOON.date()], ["gate"], ["gate"])
    histograms.rebuild(db, [day for day in days_of(WEEK) if day != NOON.date()], ["gate"], ["gate"])
    in_history = db.rows("SELECT FROM duration_histograms WHERE dimension_key = 'racing'")
    assert in_history or stale(db) == [NOON.date()]


def test_a_transaction_of_another_user_of_the_database_is_not_overlooked(
    db: Database, target: Target, database_url: str
):
    """Lost: where each program has its own role, spans in flight are invisible and would be in no history."""
    role = f"analyst_{new_id()[:8]}"
    execute(db, f"CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    theirs = outside(database_url.replace("postgresql://leo@", f"postgresql://{role}:pw@"), "dagster")
    try:
        insert(db, [span("gate", "A", 5, at=NOON)])
        with in_flight(target, [span("gate", "unseen", 5, at=NOON)]) as writer:
            with closing(Database(theirs)) as analyst:
                histograms.rebuild(analyst, days_of(WEEK), ["gate"], ["gate"])
            writer.commit()
        assert stale(db) == [NOON.date()]
    finally:
        execute(db, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_history_of_a_project_that_is_forgotten_goes_with_its_spans(db: Database):
    """Lost: what was deleted on request would live on in the history."""
    fill(db)
    histograms.rebuild(db, days_of(WEEK), ["gate"], seen(db))
    assert purge(db, What(project="shop")).spans > 0
    assert db.rows("SELECT DISTINCT project FROM duration_histograms") == [("",)]
    assert counted(db).equals(counted(db, uncounted=days_of(WEEK)))
