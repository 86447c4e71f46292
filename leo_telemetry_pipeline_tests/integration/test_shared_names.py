"""Operations of several services with one name are judged per service."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.analysis_job import found, outcomes
from leo_telemetry_pipeline_tests.builders import analyse, configure, midnight, row_of, span
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.only_on(EMBEDDED, reason="what a name means is the same on every server"),
    pytest.mark.usefixtures("settings"),
    pytest.mark.with_days,
]


def posts(rng: random.Random, service: str, count: int, *, slow: float = 1.0) -> Iterator[Span]:
    """Yield four weeks of spans named POST, ``slow`` times as long in the last of them."""
    for day in range(28, 0, -1):
        for _ in range(count):
            took = round(1000 * (slow if day <= 7 else 1) * rng.lognormvariate(0, 0.2))
            at = midnight(day) + timedelta(hours=rng.uniform(0, 23))
            yield span("operation", "POST", took, at=at, attributes={"service.name": service})


def test_a_slow_service_is_found_below_a_bigger_one_and_a_threshold_on_the_name_still_decides(db: Database):
    """Lost: a small service's POST that takes five times as long is not found, or a threshold stops deciding."""
    rng = random.Random(3)
    spans.ensure_partitions(db, midnight(28), midnight())
    spans.insert(db, [*posts(rng, "big", 40), *posts(rng, "small", 12, slow=5)])
    run = row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))
    assert found(run) == ["operation+service.name:POST:small"]
    judged = outcomes(db, run.run_id)
    assert judged["operation:POST"] == "shared"
    assert judged["operation+service.name:POST:big"] == "ok"

    configure(db, "operation", "POST", 100, 2.0)
    run = row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))
    assert sorted(found(run)) == ["operation+service.name:POST:small", "operation:POST"]
