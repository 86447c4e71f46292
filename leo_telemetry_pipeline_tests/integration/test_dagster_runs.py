"""A Dagster instance that keeps its runs in PostgreSQL is read like one with files, and is only read."""

import json
from collections import Counter
from pathlib import Path

import psycopg2
import pytest

from leo_telemetry_pipeline.redact import Policy
from leo_telemetry_pipeline.sources.past import Cursor, Entry, LeftOut, Past, Unread
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store.dagster_runs import DagsterDatabases
from leo_telemetry_pipeline_tests import dagster_history

SOURCE = DagsterDatabases({})


def read(home: Path, cursor: Cursor | None = None) -> list[Entry]:
    """Read all runs of an instance since a cursor."""
    pasts = [past for past in SOURCE.discover([home]) if isinstance(past, Past)]
    return [entry for past in pasts for entry in SOURCE.read(past, cursor, Policy())]


def test_runs_in_a_database_become_the_same_spans_as_runs_in_files(empty_database_url: str, tmp_path: Path) -> None:
    """Lost: an instance that moves to a server has no baselines; reading changes a production database."""
    home = tmp_path / "home"
    ids = dagster_history.run_all(home, empty_database_url)
    [past] = SOURCE.discover([home])
    assert isinstance(past, Past)
    assert past.contents == f"{len(ids)} runs"
    before = written(empty_database_url)
    entries = read(home)
    assert written(empty_database_url) == before
    spans = [entry for entry in entries if isinstance(entry, Span)]
    by_job = {job: [span for span in spans if span.trace_id == run_id] for job, run_id in ids.items()}
    assert Counter(span.span_name for span in by_job["etl"]) == Counter(
        ["etl", "etl / extract", "etl / transform", "etl / load"]
    )
    assert [
        (span.attributes["attempt"], span.status) for span in by_job["flaky"] if span.span_name == "flaky / fetch"
    ] == [
        (1, "ERROR"),
        (2, "OK"),
    ]
    assert {span.span_name for span in by_job["assets"]} == {"marts__report, orders", "orders", "marts__report"}
    assert [span.span_type for span in by_job["in_processes"]].count("wait") == 2
    assert all(50 <= (span.duration_ms or 0) < 60_000 for span in spans if span.span_name == "etl / extract")
    assert all((span.queue_wait_ms or 0) < 60_000 for span in spans)
    assert {entry.what for entry in entries if isinstance(entry, LeftOut)} == {
        "step(s) skipped",
        "run(s) of this program",
    }
    cursor = entries[-1]
    assert isinstance(cursor, Cursor)
    assert read(home, Cursor({"event": cursor.position["event"] + 10_000})) == []


def written(url: str) -> list[tuple]:
    """Return how many rows were ever written to Dagster's tables, and the position of the sequence of events."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*), max(id), md5(string_agg(event, '' ORDER BY id)) FROM event_logs")
            events = cursor.fetchall()
            cursor.execute("SELECT run_id, status, update_timestamp FROM runs ORDER BY id")
            return events + cursor.fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ({"postgres": {"postgres_url": {"env": "THEIR_URL"}}}, "the environment lacks THEIR_URL"),
        ({"postgres": {"postgres_url": "postgresql://them:s3cret-word@127.0.0.1:1/dagster"}}, "Connection refused"),
        (
            {
                "postgres": {
                    "postgres_db": {"username": "u", "password": {"env": "PW"}, "hostname": "h", "db_name": "d"}
                }
            },
            "the environment lacks PW",
        ),
    ],
)
def test_a_database_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, storage: dict, reason: str
) -> None:
    """Lost: a person thinks that there was nothing to find, or reads a password in a log."""
    (tmp_path / "dagster.yaml").write_text(json.dumps({"storage": storage}))
    [unread] = SOURCE.discover([tmp_path])
    assert isinstance(unread, Unread)
    assert reason in unread.reason
    assert "s3cret" not in unread.reason


@pytest.mark.parametrize("text", ["", "storage: {sqlite: {base_dir: x}}", "telemetry: {enabled: false}"])
def test_an_instance_with_another_storage_is_left_to_its_own_source(tmp_path: Path, text: str) -> None:
    (tmp_path / "dagster.yaml").write_text(text)
    assert list(SOURCE.discover([tmp_path])) == []


def test_a_dagster_yaml_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("storage: [")
    [unread] = SOURCE.discover([tmp_path])
    assert isinstance(unread, Unread)
    assert "it is not YAML" in unread.reason
