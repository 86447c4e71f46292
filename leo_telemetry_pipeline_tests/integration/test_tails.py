"""Slow minorities through the whole analysis: found in daily history, explained and named."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest
from click.testing import CliRunner

from leo_telemetry_pipeline.cli.findings import findings
from leo_telemetry_pipeline.cli.trends import trends
from leo_telemetry_pipeline.cli.why import why
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import items, runs, spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import analyse, configure, decide, midnight, row_of, span
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.usefixtures("settings"),
    pytest.mark.with_days,
    pytest.mark.only_on(EMBEDDED, reason="two analyses of weeks; the server makes no difference"),
]


def calls(rng: random.Random, name: str, days_ago: int, slow_host: float) -> Iterator[Span]:
    """Yield a day of 40 calls on four hosts, one of them ``slow_host`` times as slow."""
    for number in range(40):
        host = "abcd"[number % 4]
        took = round(2000 * rng.lognormvariate(0, 0.5) * (slow_host if host == "c" else 1.0))
        at = midnight(days_ago) + timedelta(hours=rng.uniform(0, 23))
        yield span("gate", name, took, at=at, attributes={"host": f"web-{host}"})


def found_in(run: runs.Run) -> list[str]:
    assert run.output_ref is not None
    return [each["dimension_key"] for each in run.output_ref["bottlenecks"]]


def test_one_slow_host_of_four_is_one_item_that_names_it(db: Database):
    """Lost: a quarter of all calls takes five times as long, and nobody learns of it, or on which host."""
    rng = random.Random(3)
    spans.ensure_partitions(db, midnight(80), midnight())
    for days_ago in range(42, 0, -1):
        for name, slow in (("CHECK", 5.0), ("CONFIGURED", 5.0), ("STEADY", 1.0)):
            spans.insert(db, calls(rng, name, days_ago, slow if days_ago <= 5 else 1.0))
    # A configured baseline decides on the P50 alone.
    configure(db, "gate", "CONFIGURED", 2_000, 2.0)
    run = row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))
    assert run.output_ref is not None
    found = {each["dimension_type"]: each for each in run.output_ref["bottlenecks"]}
    assert set(found) == {"gate", "gate+host"}
    assert {each["cause"] for each in found.values()} == {"gate+host:CHECK:web-c"}
    assert found["gate"]["dimension_key"] == "CHECK"
    assert found["gate"]["slow_calls"]["share"] == pytest.approx(0.25, abs=0.05)
    assert found["gate"]["onset_day"] == midnight(5).date().isoformat()
    assert found["gate"]["set_apart_by"][0].startswith("host=web-c: ")
    [item] = items.all_items(db)
    shown = [
        CliRunner().invoke(command, arguments).output
        for command, arguments in ((findings, []), (why, ["gate:CHECK"]), (trends, ["gate:CHECK"]))
    ]
    assert "gate:CHECK: 1 in 4 calls is slow, set apart by host=web-c (their p50=" in shown[0]
    assert "gate:CHECK is a bottleneck: 1 in 4 calls is slow" in shown[1]
    assert "the P90 of all calls is " in shown[1]
    assert "slowest fifth: large enough" in shown[1]
    assert "P90 changed: " in shown[2]
    decide(db, item, "ACCEPTED")
    assert found_in(row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))) == []
