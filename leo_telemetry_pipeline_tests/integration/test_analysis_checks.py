"""The checks of an analysis: blocking ones end it, warnings do not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from leo_telemetry_pipeline.analysis import bottlenecks as judging
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store import exact_percentiles, span_totals, spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.analysis_job import BLOCKING, RUN_ID, WARNING, items
from leo_telemetry_pipeline_tests.builders import (
    NOON,
    analyse,
    configure,
    insert,
    new_id,
    queued,
    row,
    slow,
    span,
    spans_of,
    week,
)

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.counted_days]


def no_phases(
    database: Database, window: Any, types: Any, seen: Any, original: Any = exact_percentiles.of_window
) -> list[tuple]:
    return [] if "phase" in types else original(database, window, types, seen)


def one_less(
    database: Database, window: Any, types: Any, seen: Any, original: Any = exact_percentiles.of_window
) -> list[tuple]:
    return [(*each[:2], each[2] - 1, *each[3:]) for each in original(database, window, types, seen)]


def all_bad(*args: Any, original: Any = judging.judge) -> list[DimensionResult]:
    return [replace(one, outcome="bottleneck") for one in original(*args)]


@pytest.mark.parametrize(
    ("module", "name", "instead", "check"),
    [
        (exact_percentiles, "of_window", no_phases, "p50s_exist_where_spans_do"),
        (judging, "judge", all_bad, "bottlenecks_are_above_their_threshold"),
        (exact_percentiles, "of_window", one_less, "counts_add_up"),
    ],
)
def test_a_blocking_check_that_fails_ends_the_run_and_makes_no_items(
    db: Database, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, instead: Any, check: str
):
    """Lost: people would work on items based on wrong numbers."""
    slow(db, "A", count=20)
    insert(db, spans_of("phase", "EXEC", [5] * 20))
    configure(db, "phase", "EXEC", 100, 2.0)
    monkeypatch.setattr(module, name, instead)
    run_id = queued(db)
    done = analyse({RUN_ID: run_id})
    assert not done.success
    assert done.checks[check] is False
    run = row(db, run_id)
    assert (run.status, run.reason_code) == ("FAILED", "CHECK_FAILED")
    assert check in str(run.error_detail)
    assert items(db) == []


def test_failed_warnings_are_reported_and_stop_nothing(db: Database):
    """Lost: a wrong clock would go unnoticed, or would stop all analyses."""
    parent, trace_id = new_id(), new_id()
    slow(db, "A")
    insert(
        db,
        [
            span("phase", "EXEC", 1000, trace_id=trace_id, span_id=parent),
            span("gate", "A", 1000, at=NOON + timedelta(hours=1), trace_id=trace_id, parent_span_id=parent),
        ],
    )
    spans.quarantine(db, "file.jsonl", [(number, "no span_id", "{}") for number in range(5)])
    run_id = queued(db)
    done = analyse({RUN_ID: run_id})
    assert done.success
    assert done.checks == dict.fromkeys(BLOCKING, True) | dict.fromkeys(WARNING, False)
    assert row(db, run_id).status == "SUCCEEDED"
    assert items(db) == [("gate:A", "OPEN")]


def test_clocks_are_off_when_children_lie_outside_their_parents_by_over_a_second(db: Database):
    """Lost: durations would be trusted although machines' clocks disagree."""
    parent, trace_id = new_id(), new_id()

    def child(offset_ms: int, duration: int | None) -> Any:
        at = NOON + timedelta(milliseconds=offset_ms)
        return span("gate", "A", duration, at=at, trace_id=trace_id, parent_span_id=parent)

    insert(db, [span("phase", "P", 10_000, at=NOON, trace_id=trace_id, span_id=parent)])
    insert(db, [child(0, 10_000), child(-1000, 5), child(10_000, 1000), child(0, None), span("gate", "A", 9)])
    assert span_totals.count_skewed(db, week()) == (0, 4)
    insert(db, [child(-1001, 5), child(10_000, 1001), child(50_000, None)])
    assert span_totals.count_skewed(db, week()) == (3, 7)
