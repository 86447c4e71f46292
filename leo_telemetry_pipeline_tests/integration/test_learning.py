"""Without configuration: baselines are learned, slowdowns are found and explained, and nothing else is reported."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from leo_telemetry_pipeline.dimension import Baseline
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import baselines, dimension_results, items, runs, spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import analyse, configure, decide, midnight, new_id, one, row_of, span
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.with_days]


def insert(db: Database, made: Iterator[Span]) -> None:
    spans.ensure_partitions(db, midnight(80), midnight())
    spans.insert(db, made)


def analyse_on(db: Database, days_ago: int) -> runs.Run:
    """Analyse the week that ended ``days_ago`` midnights ago."""
    return row_of(db, analyse({"leo_telemetry/window_end": midnight(days_ago).isoformat()}))


def found(run: runs.Run) -> dict[str, dict[str, Any]]:
    """Return a run's bottlenecks by name."""
    assert run.output_ref is not None, run.error_detail
    return {f"{each['dimension_type']}:{each['dimension_key']}": each for each in run.output_ref["bottlenecks"]}


def handoffs(
    rng: random.Random, days_ago: int, *, design: float = 1.0, count: int = 20, model: str | None = None
) -> Iterator[Span]:
    """Yield a day of handoffs, each with a gate that calls a sub-agent; ``design`` times as long as normal."""
    for _ in range(count):
        at = midnight(days_ago) + timedelta(hours=rng.uniform(7, 19))
        ids: dict[str, Any] = {"trace_id": new_id()}
        work = [round(1000 * scale * rng.lognormvariate(0, 0.2)) for scale in (4 * design, 2, 1)]
        top, gate = new_id(), new_id()
        more = timedelta(milliseconds=work[2]), timedelta(milliseconds=work[1] + work[2])
        yield span("handoff", "LEAD-TO-PLAN", sum(work), at=at, span_id=top, **ids)
        yield span("gate", "REVIEW", work[0] + work[1], at=at + more[0], span_id=gate, parent_span_id=top, **ids)
        used = model or ("large" if design > 1 else "small")
        own: dict[str, Any] = {"parent_span_id": gate, "attributes": {"model": used}}
        yield span("subagent", "DESIGN", work[0], at=at + more[1], **ids, **own)


def learned(db: Database, name: str = "DESIGN") -> Baseline:
    [kept] = [each for each in baselines.of_scope(db, None) if each.dimension_key == name]
    return kept


def test_a_step_is_found_dated_and_traced_to_its_cause_and_does_not_become_normal_by_waiting(db: Database):
    """Lost: findings without configuration; or reports of a sub-agent that stays slow for a month."""
    rng = random.Random(5)
    for days_ago in range(50, 0, -1):
        insert(db, handoffs(rng, days_ago, design=2.5 if days_ago <= 12 else 1.0))
    onset = (midnight(12)).date()
    before = analyse_on(db, 12)
    assert found(before) == {}
    normal = learned(db).p50_ms
    assert normal == pytest.approx(4000, rel=0.1)

    run = analyse_on(db, 9)
    slow = found(run)
    assert set(slow) == {"subagent:DESIGN", "gate:REVIEW", "handoff:LEAD-TO-PLAN"}
    design = slow["subagent:DESIGN"]
    assert design["baseline_source"] == "learned"
    assert design["ratio"] == pytest.approx(2.5, rel=0.15)
    assert abs((date.fromisoformat(design["onset_day"]) - onset).days) <= 1
    assert {each["cause"] for each in slow.values()} == {"subagent:DESIGN"}
    assert "subagent:DESIGN" in slow["handoff:LEAD-TO-PLAN"]["why"]
    [item] = items.all_items(db)
    assert item.source_detail["dimension_key"] == "DESIGN"
    assert len(item.source_detail["members"]) == 2
    assert {each["improvement_id"] for each in slow.values()} == {item.id}

    for days_ago in (5, 2, 0):
        assert "subagent:DESIGN" in found(analyse_on(db, days_ago)), days_ago
        assert learned(db).p50_ms == pytest.approx(normal, rel=0.1)
    assert len(items.all_items(db)) == 1


def test_an_incident_that_is_over_is_one_item_with_its_cause(db: Database):
    """Lost: seen two days after its end, one slow sub-agent is three items, and none of them says why."""
    rng = random.Random(8)
    for days_ago in range(35, 0, -1):
        insert(db, handoffs(rng, days_ago, design=4 if 3 <= days_ago <= 7 else 1.0, model="small"))
    learned_slow = found(analyse_on(db, 0))
    for dimension in (("subagent", "DESIGN", 4_000), ("gate", "REVIEW", 6_000), ("handoff", "LEAD-TO-PLAN", 7_000)):
        configure(db, *dimension, 1.3)
    for slow in (learned_slow, found(analyse_on(db, 0))):
        assert {each["cause"] for each in slow.values()} == {"subagent:DESIGN"}
        assert len(slow) == 3
        assert "subagent:DESIGN 100 %" in slow["handoff:LEAD-TO-PLAN"]["why"]
    [item] = items.all_items(db)
    assert item.source_detail["dimension_key"] == "DESIGN"


def test_an_accepted_level_becomes_the_baseline(db: Database):
    """Lost: work that was made slower on purpose would be a bottleneck forever."""
    rng = random.Random(6)
    for days_ago in range(45, 0, -1):
        insert(db, handoffs(rng, days_ago, design=2.5 if days_ago <= 15 else 1.0))
    assert "subagent:DESIGN" in found(analyse_on(db, 5))
    [item] = items.all_items(db)
    decide(db, item, "ACCEPTED")
    run = analyse_on(db, 0)
    assert found(run) == {}
    assert learned(db).p50_ms == pytest.approx(10_000, rel=0.1)
    assert [each.status for each in items.all_items(db)] == ["ACCEPTED"]


@pytest.mark.only_on(EMBEDDED, reason="daily analyses of thousands of spans; the server makes no difference")
def test_a_hundred_stable_dimensions_in_a_month_of_daily_analyses_open_at_most_one_item(db: Database):
    """Lost: trust; with a hundred dimensions, a false-positive rate of 1 % per day is one false alarm per day."""
    rng = random.Random(7)

    def day(days_ago: int) -> Iterator[Span]:
        for number in range(100):
            for _ in range(12):
                at = midnight(days_ago) + timedelta(hours=rng.uniform(0, 24))
                duration = round(100 * (1 + number) * rng.lognormvariate(0, 0.4))
                yield span("gate", f"G{number}", duration, at=at)

    for days_ago in range(30, 0, -1):
        insert(db, day(days_ago))
    # In the first two weeks nothing is judged.
    for days_ago in range(16, -1, -1):
        analyse_on(db, days_ago)
    assert one(db, "SELECT count(*) FROM current_p50 WHERE outcome = 'ok'") >= 99
    assert one(db, "SELECT count(*) FROM continuous_improvements") <= 1


def test_a_few_spans_per_day_are_pooled_over_days(db: Database):
    """Lost: a person with four sub-agents per day is never told that each takes three times as long."""
    rng = random.Random(8)
    for days_ago in range(60, 0, -1):
        insert(db, handoffs(rng, days_ago, design=3.0 if days_ago <= 7 else 1.0, count=4))
    slow = found(analyse_on(db, 0))
    assert slow["subagent:DESIGN"]["ratio"] == pytest.approx(3, rel=0.15)
    assert {each["cause"] for each in slow.values()} == {"subagent:DESIGN"}


def test_ten_days_are_reported_as_too_little_data(db: Database):
    """Lost: an item would rest on ten days, or silence would look like health."""
    rng = random.Random(8)
    for days_ago in range(10, 0, -1):
        insert(db, handoffs(rng, days_ago, design=3.0 if days_ago <= 5 else 1.0, count=5))
    run = analyse_on(db, 0)
    assert found(run) == {}
    result = dimension_results.of_dimension(db, run.run_id, "subagent", "DESIGN")
    assert result is not None
    assert result.outcome == "no_baseline"
    assert result.learned is not None
    assert next(guard.name for guard in result.learned.guards if not guard.passed) == "enough_days"
    assert items.all_items(db) == []


def test_an_analysis_of_a_past_week_neither_uses_nor_changes_what_was_learned_later(db: Database):
    """Lost: replaying an old week would judge it by later data, and overwrite what was learned later."""
    rng = random.Random(9)
    for days_ago in range(45, 0, -1):
        insert(db, handoffs(rng, days_ago, design=0.5 if days_ago <= 20 else 1.0))
    analyse_on(db, 0)
    now = learned(db)
    assert now.p50_ms == pytest.approx(2000, rel=0.1)
    back = analyse_on(db, 21)
    result = dimension_results.of_dimension(db, back.run_id, "subagent", "DESIGN")
    assert result is not None
    assert result.baseline_p50_ms == pytest.approx(4000, rel=0.1)
    assert learned(db) == now
