"""Names are judged per value of an attribute, too, and a changed mix of values opens no item."""

import random
from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.analysis_job import found, items, outcomes
from leo_telemetry_pipeline_tests.builders import analyse, configure, midnight, new_id, row_of, span
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [
    pytest.mark.only_on(EMBEDDED, reason="what a slice is is the same on every server"),
    pytest.mark.usefixtures("settings"),
    pytest.mark.with_days,
]

DAYS, SLOW_DAYS, A_DAY = 35, 7, 40
END = {"leo_telemetry/window_end": midnight().isoformat()}


def operation(
    rng: random.Random, name: str, attribute: str, slices: Mapping[str, tuple[int, int, float]]
) -> Iterator[Span]:
    """Yield five weeks of spans; per value: spans per day before and in the last week, and the median in ms.

    A negative median: five times as long in the last week.
    """
    for day in range(DAYS, 0, -1):
        is_new = day <= SLOW_DAYS
        for value, (before, since, median) in slices.items():
            for _ in range(since if is_new else before):
                took = abs(median) * (5 if median < 0 and is_new else 1) * rng.lognormvariate(0, 0.3)
                at = midnight(day) + timedelta(hours=rng.uniform(0, 23))
                yield span("operation", name, round(took), at=at, attributes={attribute: value, "request.id": new_id()})


def handoffs(rng: random.Random) -> Iterator[Span]:
    """Yield handoffs with a gate, of which those of features take longer, and become frequent in the last week."""
    for day in range(DAYS, 0, -1):
        for number in range(A_DAY):
            is_feature = number < A_DAY * (0.6 if day <= SLOW_DAYS else 0.1)
            at, trace, root = midnight(day) + timedelta(hours=rng.uniform(0, 22)), new_id(), new_id()
            took = round((60_000 if is_feature else 6_000) * rng.lognormvariate(0, 0.3))
            kind = {"sd_type": "feature" if is_feature else "bugfix"}
            yield span("handoff", "A", took + 1000, at=at, trace_id=trace, span_id=root, attributes=kind)
            yield span("gate", "G", took, at=at, trace_id=trace, parent_span_id=root)


def asked(rng: random.Random, name: str, *, is_mixed: bool, gate: float = 1.0, large: float = 1.0) -> Iterator[Span]:
    """Yield handoffs with a gate that asks a sub-agent with a small or a large model.

    In the last week, the large one is as frequent as before or, if ``is_mixed``, frequent; the gate's own work and the
    large model take ``gate`` and ``large`` times as long.
    """
    for day in range(DAYS, 0, -1):
        is_new = day <= SLOW_DAYS
        for number in range(A_DAY):
            is_large = number < A_DAY * (0.7 if is_new and is_mixed else 0.2)
            at, trace, root, within = midnight(day) + timedelta(hours=rng.uniform(0, 22)), new_id(), new_id(), new_id()
            of_model = 60_000 * (large if is_new else 1) if is_large else 6_000
            asks = round(of_model * rng.lognormvariate(0, 0.3))
            own = round(4000 * (gate if is_new else 1) * rng.lognormvariate(0, 0.3))
            model = {"model": "large" if is_large else "small"}
            yield span("handoff", name, asks + own + 2000, at=at, trace_id=trace, span_id=root)
            yield span("gate", name, asks + own, at=at, trace_id=trace, span_id=within, parent_span_id=root)
            yield span("subagent", name, asks, at=at, trace_id=trace, parent_span_id=within, attributes=model)


def test_one_slow_host_is_named_and_a_changed_mix_opens_no_item_but_is_said(db: Database):
    """Lost: the slow host is not named, or more work of a long kind opens items, or the mix is not said."""
    rng = random.Random(5)
    spans.ensure_partitions(db, midnight(DAYS), midnight())
    hosts = {"a": (10, 10, 100), "b": (10, 10, 120), "c": (10, 10, -90), "d": (10, 10, 110)}
    callers = {"batch": (12, 12, 40), "web": (0, 30, 400)}
    spans.insert(db, [*operation(rng, "GET", "host", hosts), *operation(rng, "rpc", "caller", callers)])
    spans.insert(db, list(handoffs(rng)))
    run = row_of(db, analyse(END))
    # The median of all hosts rises a little, which the host explains.
    assert found(run) == ["operation+host:GET:c", "operation:GET"]
    assert [name for name, _ in items(db)] == ["operation+host:GET:c"]
    judged = outcomes(db, run.run_id)
    assert {judged[name] for name in ("operation:rpc", "gate:G", "handoff:A")} == {"mix"}
    assert run.output_ref is not None
    mixes = {f"{one['dimension_type']}:{one['dimension_key']}": one["mix"] for one in run.output_ref["mixes"]}
    assert {name: mix["attribute"] for name, mix in mixes.items()} == {
        "operation:rpc": "caller",
        "gate:G": "sd_type",
        "handoff:A": "sd_type",
    }
    feature = next(share for share in mixes["gate:G"]["shares"] if share["value"] == "feature")
    assert (round(feature["before"], 2), round(feature["since"], 2)) == (0.1, 0.6)

    # A configured threshold decides on the P50, with the mix as a note.
    configure(db, "gate", "G", 6000, 1.5)
    run = row_of(db, analyse(END))
    assert sorted(found(run)) == ["gate:G", "operation+host:GET:c", "operation:GET"]
    assert run.output_ref is not None
    [gate] = [one for one in run.output_ref["bottlenecks"] if one["dimension_type"] == "gate"]
    assert gate["measured"][0].startswith("the mix of sd_type changed: bugfix 90 % to 40 %, feature 10 % to 60 %")


def test_a_mix_of_a_part_opens_no_item_for_the_work_around_it_but_what_got_slower_does(db: Database):
    """Lost: more calls of a large model open items for every gate and handoff around them, or hide a slower gate."""
    rng = random.Random(6)
    spans.ensure_partitions(db, midnight(DAYS), midnight())
    spans.insert(db, list(asked(rng, "MOVED", is_mixed=True)))
    spans.insert(db, list(asked(rng, "BOTH", is_mixed=True, gate=4)))
    spans.insert(db, list(asked(rng, "SLOWER", is_mixed=False, large=4)))
    run = row_of(db, analyse(END))
    judged = outcomes(db, run.run_id)
    around = [f"{kind}:MOVED" for kind in ("subagent", "gate", "handoff")]
    assert [judged[name] for name in around] == ["mix"] * 3
    assert [name for name, _ in items(db)] == ["gate:BOTH", "subagent+model:SLOWER:large"]
    assert run.output_ref is not None
    mixes = {f"{one['dimension_type']}:{one['dimension_key']}": one["mix"] for one in run.output_ref["mixes"]}
    for name in ("gate:MOVED", "handoff:MOVED"):
        assert (mixes[name]["parts"], mixes[name]["attribute"]) == (["subagent:MOVED"], "model")
        assert mixes[name]["shares"] == mixes["subagent:MOVED"]["shares"]
        assert 0.85 < mixes[name]["reweighted"] < 1.15
    [gate] = [one for one in run.output_ref["bottlenecks"] if one["dimension_key"] == "BOTH" and one["cause"]][:1]
    assert "another mix of work in subagent:BOTH" in gate["why"]
    assert gate["cause"] == "gate:BOTH"
