"""On a cluster, the workers count spans: the coordinator receives results per dimension, not spans."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import psycopg2.extensions
import pytest

from leo_telemetry_pipeline.store import exact_percentiles
from leo_telemetry_pipeline.store.dimensions import observations
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.name_templates import Folds
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import insert, midnight, span, week
from leo_telemetry_pipeline_tests.servers import CITUS

WEEK = week(midnight(0))
SPANS = 5_000
# Less than the smallest row, which has a name, a type and a day.
BYTES_PER_SPAN = 20
_RECEIVED = re.compile(r"Tuple data received from nodes: (\d+) (bytes|kB|MB)")
_UNITS = {"bytes": 1, "kB": 1 << 10, "MB": 1 << 20}


@pytest.mark.only_on(CITUS, reason="about clusters")
@pytest.mark.parametrize("statement", [histograms.COUNTED_IN_MEMORY, exact_percentiles.PERCENTILES])
def test_the_coordinator_receives_numbers_rather_than_spans(db: Database, statement: str):
    """Lost: the coordinator of a cluster does the work of one server, and its workers wait."""
    insert(db, [span("gate", f"G{n % 5}", 10 + n * 7919 % 100_000, at=_noon(n)) for n in range(SPANS)])
    sql, parameters = observations(["gate"], ["gate"], Folds())
    with db.transaction() as cursor:
        cursor.execute("SET LOCAL citus.explain_all_tasks = on")
        plan = _plan(cursor, statement.format(observations=sql), parameters | WEEK.parameters() | {"kept": None})
    received = [int(number) * _UNITS[unit] for number, unit in _RECEIVED.findall(plan)]
    assert received, plan
    assert max(received) < SPANS * BYTES_PER_SPAN


def _noon(number: int) -> datetime:
    return midnight(1 + number % 5) + timedelta(hours=12)


def _plan(cursor: psycopg2.extensions.cursor, statement: str, parameters: Mapping[str, object]) -> str:
    cursor.execute(f"EXPLAIN (ANALYZE, COSTS off, TIMING off) {statement}", parameters)
    return "\n".join(line for (line,) in cursor.fetchall())
