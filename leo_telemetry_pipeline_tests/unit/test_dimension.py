"""Values of a dimension: their JSON and derived numbers."""

import json
from dataclasses import asdict, replace
from datetime import date

from leo_telemetry_pipeline.dimension import (
    Baseline,
    Bottleneck,
    DimensionResult,
    ExplainedCause,
    Explanation,
    Guard,
    Judgement,
)

SLOW = Bottleneck("gate", "A", 300.0, 100.0, "learned", 1.5, 40, ["t1", "t2"], date(2026, 2, 5), 0.001)
MEASURED = DimensionResult("gate", "A", 40, 300.0, 300.0, 300.0, 300.0, 12_000.0, None, "exact")


def test_the_json_of_a_bottleneck_has_every_reported_number():
    """Lost: the onset in findings and items, or the ratio by which lists are sorted."""
    kept = json.loads(json.dumps(SLOW.as_json(), allow_nan=False))
    assert kept == {
        "dimension_type": "gate", "dimension_key": "A", "observed_p50_ms": 300.0, "baseline_p50_ms": 100.0,
        "baseline_source": "learned", "multiplier": 1.5, "ratio": 3.0, "sample_count": 40, "onset_day": "2026-02-05",
        "p_value": 0.001, "lost_ms_a_week": None, "why": None, "measured": [], "set_apart_by": [], "cause": None,
        "slow_value": None, "evidence_trace_ids": ["t1", "t2"], "resolution_ms": 0.0, "slow_calls": None,
    }  # fmt: skip
    assert (SLOW.name, SLOW.dimension, SLOW.added_ms) == ("gate:A", ("gate", "A"), 200.0)


def test_a_result_has_a_ratio_once_it_has_a_baseline():
    """Lost: a whole analysis, because of a division by None."""
    assert MEASURED.ratio is None
    assert replace(MEASURED, observed_p50_ms=300.0, baseline_p50_ms=None).ratio is None
    assert replace(MEASURED, observed_p50_ms=300.0, baseline_p50_ms=0.0).ratio is None
    assert replace(MEASURED, observed_p50_ms=300.0, baseline_p50_ms=200.0).ratio == 1.5


def test_a_judgement_without_a_baseline_survives_its_json():
    """Lost: an analysis materialized in parts, because of a dimension that is too young."""
    guards = (Guard("enough_days", False, 3, 14, "3 days have 8 spans, 14 are needed"),)
    young = Judgement("gate", "A", guards, sample_count=9)
    unknown_start = Baseline("gate", "A", 100.0, 1.15, None, 14, {"moved": "kept"})
    for one in (young, replace(young, baseline=unknown_start, multiplier=2.0)):
        assert Judgement.from_json("gate", "A", json.loads(json.dumps(one.as_json(), allow_nan=False))) == one


def test_a_cause_survives_its_json():
    """Lost: one item per cause in an analysis materialized in parts, instead of one per member."""
    member = Explanation("gate", "B", 0.5, "gate:B +2 s: gate:A 50 %", ["it waits"])
    cause = ExplainedCause("gate", "A", 1.0, None, [], ["model=large"], "queue", "gate:A", (member,))
    assert ExplainedCause.from_json(json.loads(json.dumps(asdict(cause)))) == cause
