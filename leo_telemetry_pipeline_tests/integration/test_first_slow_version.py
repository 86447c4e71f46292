"""An analysis names the versions between which a step became slow, wherever it says why."""

import random
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.items import all_items
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.analysis_job import found
from leo_telemetry_pipeline_tests.builders import analyse, midnight, new_id, row_of, span
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.only_on(EMBEDDED, reason="which version is the first slow one is the same on every server"),
    pytest.mark.usefixtures("settings"),
    pytest.mark.with_days,
]

DAYS, SLOW_DAYS, A_DAY = 35, 6, 12
END = {"leo_telemetry/window_end": midnight().isoformat()}


def work(rng: random.Random, name: str, *, is_released: bool) -> Iterator[Span]:
    """Yield five weeks of handoffs with a gate that takes twice as long in the last days.

    The handoffs know the commit that ran, with three of them each; if ``is_released``, one of them began the slow days,
    else they have all known one commit since the third week.
    """
    for number in range(DAYS * A_DAY):
        day = DAYS - number // A_DAY
        at, trace, root = midnight(day) + timedelta(hours=22 * (number % A_DAY) / A_DAY), new_id(), new_id()
        took = round(5000 * (2 if day <= SLOW_DAYS else 1) * rng.lognormvariate(0, 0.2))
        commit = number // 3 if is_released or day > 14 else 0xFFFF
        sha = {"head_sha": f"{commit:012x}{0:028x}"}
        yield span("handoff", name, took + 1000, at=at, trace_id=trace, span_id=root, attributes=sha)
        yield span("gate", name, took, at=at, trace_id=trace, parent_span_id=root)


def test_the_commits_around_a_step_are_named_in_the_finding_and_its_item(db: Database):
    """Lost: someone bisects weeks of commits by hand; or a commit is blamed that has nothing to do with it."""
    rng = random.Random(4)
    spans.ensure_partitions(db, midnight(DAYS), midnight())
    spans.insert(db, [*work(rng, "RELEASED", is_released=True), *work(rng, "OTHERWISE", is_released=False)])
    run = row_of(db, analyse(END))
    assert {"gate:RELEASED", "gate:OTHERWISE"} <= set(found(run))
    assert run.output_ref is not None
    shown = {one["dimension_key"]: one["measured"] for one in run.output_ref["bottlenecks"] if "gate" in one.values()}
    first_slow = (DAYS - SLOW_DAYS) * A_DAY // 3
    assert shown["OTHERWISE"] == []
    [says] = shown["RELEASED"]
    fast, slow = (int(sha, 16) for sha in re.findall(r"[0-9a-f]{12}", says))
    assert says.startswith("head_sha ")
    assert fast < first_slow <= slow <= fast + 3
    [described] = [item.description for item in all_items(db) if item.dimension == ("gate", "RELEASED")]
    assert says in described
