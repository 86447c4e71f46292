"""Names that hold ids: one dimension per template, everywhere, while every span keeps its name."""

from datetime import timedelta

import pytest

from leo_telemetry_pipeline.cli.dimensions import unknown
from leo_telemetry_pipeline.store import exact_percentiles, folded_names, thresholds, trace_samples
from leo_telemetry_pipeline.store.days import whole
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
    "commit a1b2c3d": "commit {hash}",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8": "commit {hash}",
    "sess_ab12cd34ef56": "sess_{hash}",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV": "{hash}",
    "free 0x7ffee4c0": "free {hash}",
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
    "oauth2 v12 s3": "oauth2 v12 s3",
    "deadbeef facade": "deadbeef facade",
    "POST /a/b.c/d": "POST /a/b.c/d",
}


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
        made = [span("operation", f"GET /users/{number}", 100, at=midnight(at) + timedelta(hours=9), trace_id=trace)]
        made += [span("operation", "GET /health", 5, at=midnight(at) + timedelta(hours=9)) for _ in range(2)]
        insert(db, made)
        return trace

    days_before = [route(n, 4) for n in range(3)]
    before = bring_up_to_date(db)
    assert keys(db, *before) == {f"operation:GET /users/{n}": 1 for n in range(3)} | {"operation:GET /health": 6}

    traces = {*days_before, *(route(n, 2) for n in range(100, 130))}
    after = bring_up_to_date(db)
    assert keys(db, *after) == {"operation:GET /users/{id}": 33, "operation:GET /health": 66}
    folded = ("operation", "GET /users/{id}")
    assert folded_names.of(db).templates == {folded}
    days = [trace_samples.of_day(db, whole(midnight(at).date()), [folded], after[1], 100)[folded] for at in (4, 2)]
    sample = [trace for day in days for trace in day.sample]
    assert set(sample) == traces
    assert {row[4] for row in trace_samples.spans_of(db, WEEK, sample)} == {"GET /users/{id}"}
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


def test_nightly_jobs_are_not_folded_on_a_day_on_which_each_runs_once(db: Database):
    """Lost: thirty jobs with a normal duration each would become one, on the day after they were counted."""

    def nights(days: range) -> None:
        insert(db, [span("job", f"backup 1{n:02}", 9, at=midnight(day)) for day in days for n in range(30)])

    nights(range(7, 2, -1))
    assert len(keys(db, *bring_up_to_date(db))) == 30
    nights(range(2, 1, -1))
    assert len(keys(db, *bring_up_to_date(db))) == 30
    assert folded_names.of(db).templates == set()


def test_dimensions_with_an_attribute_are_folded_too_and_their_thresholds_decide(db: Database):
    """Lost: gate+sd_type finds nothing where names of gates hold ids."""
    configure(db, "gate+sd_type", "REVIEW-105:feature", 10, 2.0)
    insert(db, [span("gate", f"REVIEW-{n}", 9, attributes={"sd_type": "feature"}) for n in range(100, 130)])
    got = keys(db, *bring_up_to_date(db))
    assert got["gate+sd_type:REVIEW-{id}:feature"] == 29
    assert got["gate+sd_type:REVIEW-105:feature"] == 1
