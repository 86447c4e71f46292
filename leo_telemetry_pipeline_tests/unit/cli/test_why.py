"""Text of `why` for every outcome of a judgement."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from leo_telemetry_pipeline.actions.judgement_words import bottleneck_of
from leo_telemetry_pipeline.cli.why import render
from leo_telemetry_pipeline.dimension import Baseline, DimensionResult, Guard, Judgement
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.runs import Run

START, END = datetime(2026, 2, 2, tzinfo=UTC), datetime(2026, 2, 9, 15, 30, tzinfo=UTC)
GUARDS = (
    Guard("enough_spans", True, 21, 8, "21 spans per day, 8 are needed"),
    Guard("large_enough", False, 1.04, 1.15, "1.04 x its baseline"),
)
BASELINE = Baseline("gate", "A", 5_000.0, 1.15, date(2026, 1, 1), 28, {"moved": "kept"})
LEARNED = Judgement("gate", "A", GUARDS, True, BASELINE, 1.15)
FOUND = {
    "dimension_type": "gate",
    "dimension_key": "A",
    "onset_day": "2026-02-05",
    "p_value": 0.0001,
    "why": "gate:A +10 s: subagent:B 100 %",
    "set_apart_by": [],
    "cause": "subagent:B",
    "improvement_id": "i1",
}


def run(*found: dict[str, Any]) -> Run:
    """Return a run over a week and part of a day."""
    names: dict[str, Any] = dict.fromkeys(Run.__dataclass_fields__)
    return Run(**names | {"window_start": START, "window_end": END, "output_ref": {"bottlenecks": list(found)}})


RESULT = DimensionResult(
    "gate", "A", 150, 5_200.0, 9_000.0, 9_500.0, 9_900.0, 780_000.0, None, "exact",
    5_200.0, 5_000.0, "learned", 1.15, 10, "ok", learned=LEARNED,
)  # fmt: skip
SLOW = replace(RESULT, outcome="bottleneck", observed_p50_ms=15_000.0, onset_day=date(2026, 2, 5), p_value=0.0001)


def test_every_value_and_the_failed_guard_are_shown_for_a_dimension_that_is_not_a_bottleneck():
    """Lost: nobody learns why a step that feels slow is not flagged."""
    assert render(run(), "gate:A", RESULT, None).splitlines() == [
        "gate:A is not a bottleneck",
        "  window      2026-02-02 to 2026-02-09 15:30 UTC, 150 spans (10 needed), P50 5.2s, P90 9s",
        "  baseline    5s, learned from 28 days since 2026-01-01",
        "  normal      up to 1.15x of the baseline: 5.8s",
        "  observed    5.2s: 1.04x",
        "  PASSED  GUARD         EXPLANATION",
        "  yes     enough spans  21 spans per day, 8 are needed",
        "  no      large enough  1.04 x its baseline",
    ]


def test_the_observed_level_is_the_one_that_the_guards_judge():
    """Lost: 2.5x observed and 2.62x in the guard of the same page, and people ask which is right."""
    guards = (Guard("large_enough", True, 2.62, 1.15, "2.62 x its baseline"),)
    own = replace(LEARNED, guards=guards, observed_p50_ms=13_100.0, ratio=2.62, onset_day=date(2026, 2, 5))
    lines = render(run(), "gate:A", replace(RESULT, learned=own, observed_p50_ms=12_500.0), None).splitlines()
    assert "  observed    13.1s, since 2026-02-05: 2.62x" in lines


def test_onset_certainty_cause_and_item_of_a_bottleneck_are_shown():
    """Lost: people see numbers without a next step."""
    lines = render(run(FOUND), "gate:A", SLOW, FOUND).splitlines()
    assert lines[0] == "gate:A is a bottleneck"
    assert "  observed    15s, since 2026-02-05: 3x" in lines
    assert lines[-4:] == [
        "  Slower since 2026-02-05; steady work looks slower by chance in at most 1 of 10,000 analyses",
        "  Where the added time goes: gate:A +10 s: subagent:B 100 %",
        "  Because of subagent:B: leo-telemetry why subagent:B",
        "  Item i1; when fixed: leo-telemetry items fixed i1 (or accept, or dismiss)",
    ]
    own = render(run(FOUND), "gate:A", SLOW, FOUND | {"cause": "gate:A", "improvement_id": None})
    assert "Because of" not in own
    assert "Item" not in own


def test_no_guards_are_shown_with_a_configured_baseline():
    """Lost: guards that were not used seem to have decided."""
    slow = replace(RESULT, baseline_source="configured", multiplier=2.0, observed_p50_ms=12_000.0, outcome="bottleneck")
    lines = render(run(), "gate:A", slow, None).splitlines()
    assert "  baseline    5s, configured" in lines
    assert "  normal      up to 2x of the baseline: 10s" in lines
    assert "  observed    12s: 2.4x" in lines
    assert not any("GUARD" in line for line in lines)


def test_too_few_spans_and_too_few_days_are_distinguished():
    """Lost: people see "not judged" without the reason."""
    few = replace(RESULT, outcome="too_few", sample_count=4)
    assert render(run(), "gate:A", few, None).startswith("gate:A is not judged: too few spans in the window\n")
    assert "4 spans (10 needed)" in render(run(), "gate:A", few, None)
    own = Judgement("gate", "A", (Guard("enough_days", False, 3, 14, "3 days with at least 8 spans"),))
    unknown = replace(
        RESULT,
        outcome="no_baseline",
        baseline_p50_ms=None,
        baseline_source=None,
        multiplier=2.0,
        learned=own,
    )
    lines = render(run(), "gate:A", unknown, None).splitlines()
    assert lines[0] == "gate:A is not judged: not enough data to know what is normal"
    assert "  baseline    none yet" in lines
    assert lines[-1] == "  no      enough days  3 days with at least 8 spans"


def test_a_dimension_that_was_never_judged_has_no_baseline():
    """Lost: a dimension that an analysis measured but could not judge ends in a traceback."""
    nothing = replace(RESULT, outcome=None, baseline_p50_ms=None, baseline_source=None, multiplier=None, learned=None)
    assert render(run(), "gate:A", nothing, None).splitlines()[-1] == "  baseline    none yet"


def moved_to(moved: str) -> Judgement:
    return replace(LEARNED, baseline=replace(BASELINE, evidence={"moved": moved}))


def test_a_baseline_that_moved_says_why():
    """Lost: a normal level looks like a mistake."""
    for moved, said in (
        ("improved", "when work got faster"),
        ("accepted", "an accepted level"),
        ("settling", "settling"),
    ):
        [line] = [
            line
            for line in render(run(), "gate:A", replace(RESULT, learned=moved_to(moved)), None).splitlines()
            if "baseline  " in line and "since" in line
        ]
        assert line.endswith(said), moved


def test_the_forecast_or_its_absence_is_shown_last():
    """Lost: the forecast, or the reason why it is missing."""
    ahead = [
        Expected(7, date(2026, 2, 16), 0.25, 5_500.0, 5_000.0, 6_000.0, ""),
        Expected(14, date(2026, 2, 23), None, None, None, None, "it has 9 days, 21 are needed"),
    ]
    assert render(run(), "gate:A", RESULT, None, ahead).splitlines()[-2:] == [
        "  in 7 days: a bottleneck with a probability of 25%, P50 between 5s and 6s",
        "  in 14 days: not forecast, it has 9 days, 21 are needed",
    ]


def test_a_bottleneck_is_found_by_type_and_key():
    """Lost: the explanation of another dimension with the same key is shown."""
    other = FOUND | {"dimension_type": "phase"}
    assert bottleneck_of({"bottlenecks": [other, FOUND]}, "gate", "A") == FOUND
    assert bottleneck_of({"bottlenecks": [other]}, "gate", "A") is None
    assert bottleneck_of({}, "gate", "A") is None
