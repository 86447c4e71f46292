"""Medians computed in the database, exactly and from daily history, compared with numpy."""

import itertools
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leo_telemetry_pipeline.analysis import sampling
from leo_telemetry_pipeline.span import InvalidSpan, Span
from leo_telemetry_pipeline.store import dimensions, exact_percentiles, spans, thresholds, trace_samples
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.history import span_counts
from leo_telemetry_pipeline.store.server.database import Database
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

WEEK = week(midnight(0))

anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)


def seen(db: Database, window: Window = WEEK) -> list[str]:
    return sorted({one.span_type for one in span_counts.by_type_and_day(db, window)})


def measure(db: Database, window: Window = WEEK, types: list[str] | None = None) -> dict[tuple[str, str], tuple]:
    """Return sample_count, p50, p90, p95, p99, sum, queue p50 of every dimension, measured exactly."""
    there = seen(db, window)
    wanted = types or dimensions.types_to_judge(there, thresholds.named_types(db))
    return {row[:2]: row[2:] for row in exact_percentiles.of_window(db, window, wanted, there)}


def counts(db: Database, window: Window = WEEK) -> dict[tuple[str, str], int]:
    return {dimension: row[0] for dimension, row in measure(db, window).items()}


def medians(db: Database, window: Window = WEEK) -> dict[tuple[str, str], float]:
    return {dimension: row[1] for dimension, row in measure(db, window).items()}


def test_hypothesis_is_deterministic_in_ci():
    """Lost: a build would fail for a reason that no later run reproduces."""
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
    """Build the spans of a drawn trace: a handoff and its children."""
    trace_id = new_id()
    attributes = {} if drawn["sd_type"] is None else {"sd_type": drawn["sd_type"]}
    made = [span("handoff", "LEAD-TO-PLAN", drawn["handoff"], trace_id=trace_id, attributes=attributes)]
    for kind in ("phase", "gate", "deploy"):
        names = itertools.cycle((f"{kind}-a", f"{kind}-b"))
        made += [span(kind, next(names), duration, trace_id=trace_id) for duration in drawn[kind]]
    return made


def expected(traces: list[dict[str, Any]]) -> dict[tuple[str, str], list[int]]:
    """Group drawn spans by dimension in plain Python."""
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
    """Lost: people would get wrong numbers about their work."""
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


def test_only_direct_waits_are_subtracted(db: Database):
    """Lost: a person's lunch would make a gate slow; or nested waits would be subtracted twice."""
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
            # The same span id in another trace is a different span.
            span("wait", "approval", 5, parent_span_id=parent),
            span("wait", "no parent", 5, trace_id=trace_id),
            span("wait", "never ended", None, trace_id=trace_id, parent_span_id=parent),
        ],
    )
    assert medians(db) == {("phase", "EXEC"): 850, ("gate", "A"): 400, ("gate", "B"): 20}


def test_a_wait_longer_than_its_parent_leaves_nothing_and_no_negative_time(db: Database):
    """Lost: clocks that disagree would cause negative durations."""
    parent, trace_id = new_id(), new_id()
    insert(
        db,
        [
            span("gate", "A", 100, trace_id=trace_id, span_id=parent),
            span("wait", "approval", 101, trace_id=trace_id, parent_span_id=parent),
        ],
    )
    assert medians(db) == {("gate", "A"): 0}


def test_a_wait_of_a_later_day_or_after_the_window_is_still_subtracted(db: Database):
    """Lost: a wait overnight would count as work all night."""
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
    """Lost: people would get items for taking time to think; or nobody could ever measure waiting."""
    insert(db, [*spans_of("wait", "approval", [5]), *spans_of("execution", "run", [7])])
    assert medians(db) == {}
    configure(db, "wait", "approval", 1, 2.0)
    assert medians(db) == {("wait", "approval"): 5}


def test_a_span_without_the_attribute_takes_it_from_its_traces_handoff(db: Database):
    """Lost: gate+sd_type would be empty, because only the handoff knows the type of its SD."""
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
    """Lost: data from before this project would have to be converted by hand."""
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
    """Lost: a new kind of work would need a code change."""
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
def test_a_span_type_that_is_reserved_in_the_grammar_is_refused_or_measured(db: Database, odd: str):
    """Lost: one such span would be scanned and never judged, and fail the check of every analysis for a week."""
    try:
        insert(db, spans_of(odd, "x", [1, 2, 3]))
    except (InvalidSpan, psycopg2.errors.CheckViolation):
        return
    assert medians(db)[odd, "x"] == 2


@pytest.mark.parametrize("name", ["a:b", "%(from_ms)s", "{i}", "naïve ☃", "\\N", "tab\tnew\nline", "'; --"])
def test_a_name_of_any_spelling_is_its_own_dimension(db: Database, name: str):
    """Lost: one odd name would break the analysis of all others."""
    insert(db, spans_of("gate", name, [3], attributes={"sd_type": name}))
    assert medians(db) == {("gate", name): 3, ("gate+sd_type", f"{name}:{name}"): 3}


def test_spans_without_an_end_are_not_judged_and_those_without_a_duration_are(db: Database):
    """Lost: work that never ended would count as quick; or work with only start and end times would not count."""
    insert(db, spans_of("gate", "A", [None, None, 8]))
    made = span("gate", "B", 12)
    made.duration_ms = None
    insert(db, [made])
    assert medians(db) == {("gate", "A"): 8, ("gate", "B"): 12}
    assert counts(db)["gate", "A"] == 1


def test_spans_of_less_than_a_millisecond_count(db: Database):
    """Lost: a gate that is slow only sometimes would look slow always."""
    insert(db, spans_of("gate", "A", [0, 0, 0, 10]))
    assert (counts(db)["gate", "A"], medians(db)["gate", "A"]) == (4, 0)


def test_a_window_holds_its_start_and_not_its_end(db: Database):
    """Lost: spans at midnight would be judged twice or not at all."""
    step = timedelta(milliseconds=1)
    for at, duration in ((WEEK.start - step, 1), (WEEK.start, 2), (WEEK.end - step, 3), (WEEK.end, 4)):
        insert(db, [span("gate", str(duration), duration, at=at)])
    assert set(counts(db)) == {("gate", "2"), ("gate", "3")}
    # If the window ends within a millisecond, spans of that millisecond are inside.
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


def test_the_median_of_queue_waits_leaves_out_spans_that_did_not_wait(db: Database):
    """Lost: nobody could tell slow work from a long queue."""
    insert(
        db,
        [*spans_of("gate", "A", [1, 1], queue_wait_ms=40), *spans_of("gate", "A", [1, 1]), *spans_of("gate", "B", [1])],
    )
    got = measure(db)
    assert (got["gate", "A"][6], got["gate", "B"][6]) == (40, None)


def test_evidence_names_the_slowest_traces_of_a_dimension(db: Database):
    """Lost: the assignee of an item would not know where to look."""
    made = spans_of("gate", "A", [5, 50, 40, 30, 1])
    insert(db, [*made, *spans_of("gate", "B", [999])])
    wanted = [made[index].trace_id for index in (1, 2, 3)]
    found = trace_samples.longest(db, WEEK, [("gate", "A")], seen(db))
    assert found == {("gate", "A"): wanted}
    assert trace_samples.longest(db, WEEK, [], seen(db)) == {}


def test_evidence_names_three_traces_also_when_the_slowest_spans_are_all_of_one(db: Database):
    """Lost: a single bad trace would be the only evidence."""
    one = new_id()
    bad = spans_of("gate", "A", [100, 99, 98], trace_id=one)
    others = spans_of("gate", "A", [50, 40])
    insert(db, [*bad, *others])
    found = trace_samples.longest(db, WEEK, [("gate", "A")], seen(db))
    assert found["gate", "A"] == [one, others[0].trace_id, others[1].trace_id]


def test_the_sample_of_a_day_is_even_over_the_ranks_of_all_its_traces(db: Database):
    """Lost: causes are those of the newest or the longest traces, and contradict the headline next to them."""
    made = spans_of("gate", "A", range(1, 101))
    few = spans_of("gate", "D", range(1, 16))
    insert(db, [*made, *few, *spans_of("gate", "B", [7, 5]), *spans_of("gate", "A", [9], at=midnight(3))])
    days = [midnight(2).date(), midnight(3).date()]
    read = trace_samples.of_days(db, WEEK, days, [("gate", key) for key in "ABCD"], seen(db), 10)
    assert set(read[days[1]]) == {("gate", "A")}
    found = read[days[0]]
    assert set(found) == {("gate", key) for key in "ABD"}
    sample = found["gate", "A"]
    assert (sample.traces, sample.p50_ms) == (100, 50.5)
    length = {each.trace_id: each.duration_ms for each in (*made, *few)}
    assert [((length[trace] or 0) - 1) * 10 // 15 for trace in found["gate", "D"].sample] == list(range(10))
    assert [((length[trace] or 0) - 1) // 10 for trace in sample.sample] == list(range(10))
    of_group = [each.trace_id for each in made[:10]]
    assert sample.sample[0] == min(of_group, key=sampling.hashed)
    assert (found["gate", "B"].traces, len(found["gate", "B"].sample)) == (2, 2)
