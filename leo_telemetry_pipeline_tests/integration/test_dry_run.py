"""A dry run of the analysis: it writes nothing and finds what the analysis finds."""

import os
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest

from leo_telemetry_pipeline import execution
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    analyse,
    analyse_queued,
    execute,
    insert,
    midnight,
    row_of,
    slow,
    spans_of,
    week,
)

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.counted_days]


# TRUNCATE is not counted, but gives a table another file. Live rows are left out: autovacuum may change that estimate
# at any time.
COUNTERS = """
SELECT relname, n_tup_ins, n_tup_upd, n_tup_del, pg_relation_filenode(relid) FROM pg_stat_user_tables ORDER BY 1
"""


def counters(target: Target) -> list[tuple]:
    """Return the write counters of all tables, once every other session has reported."""
    with closing(psycopg2.connect(target.dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for _ in range(50):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone() == (0,):
                break
            cursor.execute("SELECT pg_sleep(0.05)")
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(COUNTERS)
        return cursor.fetchall()


def files(folder: Path) -> dict[str, tuple[int, float]]:
    """Return size and time of every file below a folder."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime) for path in sorted(folder.rglob("*"))}


def test_a_dry_run_writes_nothing_and_finds_what_the_analysis_finds(
    db: Database, target: Target, settings: Settings, home: Path
):
    """Lost: `--dry-run` would open items, or predict other findings than the analysis has."""
    home.mkdir()
    (home / "something").write_text("of somebody")
    slow(db, *"ABCDE")
    for day in range(8, 14):
        insert(db, spans_of("subagent", "DESIGN", [100] * 5, at=midnight(day)))
    insert(db, spans_of("subagent", "DESIGN", [450] * 10))
    insert(db, spans_of("phase", "FEW", [450]))
    analyse_queued(db)
    execute(db, "UPDATE continuous_improvements SET status = 'DISMISSED' WHERE title LIKE '%%:E %%'")
    insert(db, spans_of("gate", "LATE", [5] * 10, at=midnight(12)))
    db.close()
    end = midnight()
    written, kept, environment = counters(target), files(home), dict(os.environ)
    dry = execution.dry_run(target, settings, week(end))
    assert counters(target) == written
    assert files(home) == kept
    assert dict(os.environ) == environment
    done = analyse({"leo_telemetry/window_end": end.isoformat(), "leo_telemetry/window_days": "7"})
    real = row_of(db, done).output_ref
    assert real is not None
    assert real["items_created"] > 0
    assert real["items_skipped_dedupe"] > 0
    for output_ref in (dry, real):
        for bottleneck in output_ref["bottlenecks"]:
            del bottleneck["improvement_id"]
    assert dry == real


def test_a_dry_run_by_history_finds_what_the_analysis_finds(
    db: Database, target: Target, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Lost: on a large installation, `--dry-run` would predict other findings than the analysis has."""
    monkeypatch.setenv("LEO_TELEMETRY_EXACT_SPANS", "1")
    slow(db, "A")
    for day in range(1, 30):
        insert(db, spans_of("subagent", "DESIGN", [100 if day > 6 else 450] * 10, at=midnight(day)))
    end = midnight(1) + timedelta(hours=13)
    dry = execution.dry_run(target, Settings(), Window(midnight(8), end))
    done = analyse({"leo_telemetry/window_end": end.isoformat(), "leo_telemetry/window_days": "7"})
    real = row_of(db, done).output_ref
    assert real is not None
    assert [b["dimension_key"] for b in real["bottlenecks"]] == ["A", "DESIGN"]
    for output_ref in (dry, real):
        for bottleneck in output_ref["bottlenecks"]:
            del bottleneck["improvement_id"]
    assert dry["p50_method"] == "histogram"
    assert dry == real
