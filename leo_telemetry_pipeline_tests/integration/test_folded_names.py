"""Names that hold ids: one dimension per template, everywhere, while every span keeps its name."""

from datetime import timedelta

import pytest

from leo_telemetry_pipeline.cli.dimensions import unknown
from leo_telemetry_pipeline.store import (
    dimension_attributes,
    exact_percentiles,
    folded_names,
    thresholds,
    trace_samples,
)
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.history import buckets, daily, histograms, name_folding, span_counts, staleness
from leo_telemetry_pipeline.store.name_templates import template
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import configure, insert, midnight, new_id, span, week
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = pytest.mark.only_on(EMBEDDED, reason="what a name means is the same on every server")

WEEK = week()
TEMPLATES = {
    "GET /users/4711": "GET /users/{id}",
    "GET /api/v1/users/4711/orders/9": "GET /api/v1/users/{id}/orders/{id}",
    "GET /users/2F1C9A3E-8D4B-4C1A-9E77-0123456789AB/cart": "GET /users/{uuid}/cart",
    "reviewer-2f1c9a3e-8d4b-4c1a-9e77-0123456789ab": "reviewer-{uuid}",
    "commit a1b2c3d": "commit {id}",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8": "commit {id}",
    "commit 1234567": "commit {id}",
    "task-4fzyo82m": "task-{id}",
    "5d41402abc4b2a76b9719d911017c592/6": "{id}/{id}",
    "/v2/carts/2f1c9a3e-8d4b-4c1a-9e77-0123456789ab": "/v2/carts/{uuid}",
    "2f1c9a3e-8d4b-4c1a-9e77-0123456789ab of 2F1C9A3E-8D4B-4C1A-9E77-0123456789AB": "{uuid} of {uuid}",
    "step-7 of 2f1c9a3e-8d4b-4c1a-9e77-0123456789ab": "step-{id} of {uuid}",
    # Not a UUID.
    "x-wxyzwxyz-wxyz-wxyz-wxyz-wxyzwxyzwxy1": "x-wxyzwxyz-wxyz-wxyz-wxyz-wxyzwxyzwxy1",
    "sess_ab12cd34ef56": "sess_{id}",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV": "{id}",
    "free 0x7ffee4c0": "free {id}",
    "nightly 2026-11-30T12:00:01": "nightly {id}",
    "user4711 from 10.0.0.17:8080": "user{id} from {id}",
    "Read /home/me/src/main.py": "Read {path}",
    "Read src/a/b.py": "Read {path}",
    r"open C:\Users\me\x.txt": "open {path}",
    "ls /tmp/build-7/out": "ls {path}",
    "s3://bucket/2024/part-0001.parquet": "s3://bucket/{id}/part-{id}.parquet",
    # Words stay words.
    "GATE_PRD_REQUIRED": "GATE_PRD_REQUIRED",
    "sendEmailV2ToUser sha256Verifier": "sendEmailV2ToUser sha256Verifier",
    "oauth2 v12 s3 http2 HTTP/2 GET": "oauth2 v12 s3 http2 HTTP/{id} GET",
    "deadbeef facade": "deadbeef facade",
    "POST /a/b.c/d": "POST /a/b.c/d",
}


def test_a_sample_for_no_dimension_is_empty(db: Database) -> None:
    """Lost: an analysis fails whose only versions are those of slow calls."""
    assert trace_samples.of_days(db, WEEK, [midnight(1).date()], [], [], 100) == {}


def test_ids_become_placeholders_and_words_stay(db: Database):
    """Lost: names with ids would stay apart; or different work would be judged as one."""
    sql = f"SELECT name, {template('name')} FROM unnest(%(names)s::text[]) AS name"
    assert dict(db.rows(sql, {"names": list(TEMPLATES)})) == TEMPLATES


def bring_up_to_date(db: Database) -> tuple[list[str], list[str]]:
    """Decide on names and count the days of the window, as an analysis does."""
    seen = sorted({count.span_type for count in span_counts.by_type_and_day(db, WEEK)})
    types = sorted({*seen, *thresholds.named_types(db)})
    days = (WEEK.start.date(), WEEK.end.date(), types)
    name_folding.decide(db, staleness.stale_days(db, *days))
    histograms.rebuild(db, staleness.stale_days(db, *days), types, seen)
    return types, seen


def keys(db: Database, types: list[str], seen: list[str]) -> dict[str, int]:
    """Return the number of spans per dimension, by both methods of measuring, which must agree."""
    exact = {f"{row[0]}:{row[1]}": row[2] for row in exact_percentiles.of_window(db, WEEK, types, seen)}
    assert {f"{row[0]}:{row[1]}": row[2] for row in buckets.of_window(db, WEEK, types, seen)} == exact
    assert {f"{row[0]}:{row[1]}": row[2] for row in daily.dimensions(db, WEEK, types, seen)} == exact
    return exact


def test_names_with_ids_are_one_dimension_and_a_threshold_still_decides_on_one_name(db: Database):
    """Lost: thousands of names with ids are slow, but nothing is found; or a person's threshold stops deciding."""

    def route(number: int, at: int) -> str:
        trace = new_id()
        nine, of = midnight(at) + timedelta(hours=9), {"input_tokens": number}
        made = [span("operation", f"GET /users/{number}", 100, at=nine, trace_id=trace, attributes=of)]
        made += [span("operation", "GET /health", 5, at=midnight(at) + timedelta(hours=9)) for _ in range(2)]
        insert(db, made)
        return trace

    days_before = [route(n, 7) for n in range(3)]
    before = bring_up_to_date(db)
    assert keys(db, *before) == {f"operation:GET /users/{n}": 1 for n in range(3)} | {"operation:GET /health": 6}

    traces = {*days_before, *(route(n, 1) for n in range(100, 130))}
    after = bring_up_to_date(db)
    assert keys(db, *after) == {"operation:GET /users/{id}": 33, "operation:GET /health": 66}
    folded = ("operation", "GET /users/{id}")
    assert folded_names.of(db).templates == {folded}
    of = [midnight(at).date() for at in (7, 1)]
    read = trace_samples.of_days(db, Window(midnight(7), midnight()), of, [folded], after[1], 100)
    days = [read[day][folded] for day in of]
    sample = [trace for day in days for trace in day.sample]
    assert set(sample) == traces
    assert {row[4] for row in trace_samples.spans_of(db, WEEK, sample)} == {"GET /users/{id}"}
    medians, _ = dimension_attributes.medians(db, WEEK, folded, {"tokens": [("input_tokens", 1.0)]})
    assert medians == {midnight(7).date(): {"tokens": 1.0}, midnight(1).date(): {"tokens": 114.5}}
    assert dimension_attributes.waiting(db, WEEK, folded) == {}
    assert "see operation:GET /users/{id}" in unknown(db, WEEK, ("operation", "GET /users/1")).message
    [(named,)] = db.rows("SELECT count(DISTINCT span_name) FROM workflow_trace_log WHERE span_name <> 'GET /health'")
    assert named == 33

    configure(db, "operation", "GET /users/1", 10, 2.0)
    raw = {"operation:GET /users/1": 1, "operation:GET /users/{id}": 32, "operation:GET /health": 66}
    assert keys(db, *bring_up_to_date(db)) == raw
    with db.transaction() as cursor:
        cursor.execute("DELETE FROM telemetry_thresholds WHERE dimension_key IS NOT NULL")
    assert keys(db, *bring_up_to_date(db)) == {"operation:GET /users/{id}": 33, "operation:GET /health": 66}
    # A baseline of the whole type decides on each exact name, so nothing is folded.
    configure(db, "operation", None, 10, 2.0)
    assert len(keys(db, *bring_up_to_date(db))) == 34


def test_daily_counting_folds_ids_and_sessions_but_never_nightly_jobs(db: Database):
    """Lost: ids that come a few per day stay invisible; or thirty jobs with a normal duration each become one."""
    for day in range(7, 0, -1):
        names = [("job", f"backup 1{n:02}") for n in range(30)]
        names += [("operation", f"GET /users/{9 - day}{n:03}") for n in range(5)]
        names += [("turn", f"session-{9 - day}{n:03}") for n in range(3) for _ in range(20)]
        insert(db, [span(*name, 9, at=midnight(day)) for name in names])
        bring_up_to_date(db)
    assert folded_names.of(db).templates == {("operation", "GET /users/{id}"), ("turn", "session-{id}")}
    assert keys(db, *bring_up_to_date(db))["operation:GET /users/{id}"] == 35


def test_dimensions_with_an_attribute_are_folded_too_and_their_thresholds_decide(db: Database):
    """Lost: gate+sd_type finds nothing where names of gates hold ids."""
    configure(db, "gate+sd_type", "REVIEW-105:feature", 10, 2.0)
    of = {"sd_type": "feature"}
    insert(db, [span("gate", f"REVIEW-{100 + n}", 9, at=midnight(1 + 6 * (n % 2)), attributes=of) for n in range(30)])
    got = keys(db, *bring_up_to_date(db))
    assert got["gate+sd_type:REVIEW-{id}:feature"] == 29
    assert got["gate+sd_type:REVIEW-105:feature"] == 1
