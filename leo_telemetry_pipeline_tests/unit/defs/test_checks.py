"""The decisions behind the checks of an analysis."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from leo_telemetry_pipeline.defs import checks
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.history.span_counts import SpanCount
from leo_telemetry_pipeline_tests.builders import DAY


def judged(*rows: tuple[str, str, int, float | None, float | None, float, str | None]) -> list[DimensionResult]:
    """Return judged results: type, key, spans, observed P50, baseline, multiplier, outcome."""
    measured = DimensionResult("", "", 0, 1.0, 1.0, 1.0, 1.0, 1.0, None, "exact", baseline_source="configured")
    names = ("dimension_type", "dimension_key", "sample_count", "observed_p50_ms", "baseline_p50_ms", "multiplier")
    return [replace(measured, **dict(zip((*names, "outcome"), row, strict=True))) for row in rows]


def scanned(*rows: tuple[str, int, int]) -> list[SpanCount]:
    """Return scanned span types: type, spans, spans with a duration."""
    return [SpanCount(kind, date(2026, 2, 9), n, timed) for kind, n, timed in rows]


GOOD = judged(("gate", "A", 10, 500.0, 100.0, 2.0, "bottleneck"), ("gate", "B", 3, 5.0, None, 2.0, "too_few"))


def test_the_check_of_measured_types_fails_for_a_type_that_has_spans_and_no_median():
    """Lost: a whole kind of work could be missing from the analysis unnoticed."""
    assert checks.unmeasured_types(scanned(("gate", 13, 13)), GOOD, []) == []
    assert checks.unmeasured_types(scanned(("gate", 13, 13), ("phase", 1, 1)), GOOD, []) == ["phase"]
    assert checks.unmeasured_types(scanned(("gate", 13, 13), ("phase", 1, 1)), GOOD, ["phase"]) == []
    assert checks.unmeasured_types(scanned(("phase", 1, 0), ("wait", 1, 1), ("execution", 1, 1)), GOOD, []) == []
    assert checks.unmeasured_types(scanned(("gate", 1, 1)), judged(), []) == ["gate"]


def test_the_check_of_thresholds_fails_for_a_bottleneck_that_is_not_over_its_threshold():
    """Lost: people would work on steps that are not slow."""
    assert checks.not_above_threshold(GOOD) == []
    for observed, baseline in ((200.0, 100.0), (1.0, 100.0), (float("nan"), 100.0), (200.0, None)):
        frame = judged(("gate", "A", 10, observed, baseline, 2.0, "bottleneck"))
        assert checks.not_above_threshold(frame) == ["gate:A"], (observed, baseline)
    assert checks.not_above_threshold(judged()) == []


def test_the_check_of_counts_fails_when_spans_are_lost_or_a_dimension_has_no_outcome():
    """Lost: half of the spans could vanish between scanning and judging."""
    assert checks.uncounted(scanned(("gate", 15, 13)), GOOD, []) == {}
    assert checks.uncounted(scanned(("gate", 14, 14)), GOOD, []) == {"gate": 1}
    assert checks.uncounted(scanned(("gate", 12, 12)), GOOD, []) == {}
    assert checks.uncounted(scanned(("phase", 2, 2)), GOOD, []) == {"phase": 2}
    assert checks.uncounted(scanned(("phase", 2, 2)), GOOD, ["phase"]) == {}
    assert checks.uncounted(scanned(("wait", 2, 2)), GOOD, []) == {}
    nameless = judged(("gate", "A", 10, 500.0, 100.0, 2.0, None))
    assert checks.uncounted(scanned(("gate", 10, 10)), nameless, []) != {}
    assert checks.uncounted(scanned(), judged(), []) == {}


def test_the_check_of_days_names_the_closed_days_that_have_no_spans():
    """Lost: collection could stop for days before anybody notices."""
    start = datetime.fromisoformat("2026-02-08T00:00:00+00:00")
    window = Window(start, start + 2 * DAY + timedelta(hours=5))
    assert checks.days_without_spans(scanned(("gate", 1, 1)), window) == ["2026-02-08"]
    assert checks.days_without_spans(scanned(), window) == ["2026-02-08", "2026-02-09"]
