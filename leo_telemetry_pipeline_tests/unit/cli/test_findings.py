"""Output of `findings`, character by character, for every state of the system."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from leo_telemetry_pipeline.cli.findings import FindingsInputs, render
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline_tests.unit.cli.todays_runs import NOW, run

HEADER = """\
═══════════════════════════════════════════════════════════
 WORKFLOW TELEMETRY
═══════════════════════════════════════════════════════════
"""


def bottleneck(dimension_type: str, key: str, ratio: float, observed: float, baseline: float) -> dict[str, Any]:
    """Return a bottleneck in the form of ``output_ref``."""
    return {
        "dimension_type": dimension_type,
        "dimension_key": key,
        "ratio": ratio,
        "observed_p50_ms": observed,
        "baseline_p50_ms": baseline,
        "baseline_source": "configured",
        "multiplier": 2.0,
        "sample_count": 40,
        "evidence_trace_ids": ["t1"],
        "improvement_id": None,
    }


SEED = [
    bottleneck("phase", "EXEC", 5.0, 150_000.0, 30_000.0),
    bottleneck("gate", "GATE_PRD_REQUIRED", 3.0, 15_000.0, 5_000.0),
    bottleneck("subagent", "DESIGN", 2.0, 240_000.0, 120_000.0),
]


def shown(last: Run | None, *, waiting: tuple[Run, ...] = (), **more: Any) -> str:
    """Return the output without its header."""
    block = render(FindingsInputs(NOW, last, last, waiting, NOW, **more))
    assert block.startswith(HEADER)
    return block.removeprefix(HEADER)


def test_the_output_has_exactly_the_required_format() -> None:
    """Lost: readers and parsers of `sd:next` get another format."""
    assert (
        shown(run(found=SEED))
        == """\
  Last analysis: 2026-02-09 (today)
  3 bottleneck(s) detected
  5x phase:EXEC (p50=150s vs baseline=30s)
  3x gate:GATE_PRD_REQUIRED (p50=15s vs baseline=5s)
  2x subagent:DESIGN (p50=240s vs baseline=120s)

  (1400 traces, 45 dimensions, 1200ms)"""
    )


def test_without_an_analysis_the_required_line_is_printed() -> None:
    """Lost: a new installation looks broken."""
    assert shown(None) == "  No workflow telemetry analysis available yet"


def test_bottlenecks_beyond_five_are_counted() -> None:
    """Lost: the sixth bottleneck is silently omitted, or fifty fill the screen."""
    lines = shown(run(found=SEED * 3)).splitlines()
    assert lines[1] == "  9 bottleneck(s) detected"
    assert lines[7] == "  ... and 4 more (leo-telemetry findings --verbose)"
    assert len([line for line in lines if "p50=" in line]) == 5


def test_ratios_and_times_are_short() -> None:
    """Lost: lines that can be read at a glance."""
    found = [bottleneck("gate", "A", 2.4, 1_500.0, 45.0)]
    assert "  2.4x gate:A (p50=1.5s vs baseline=45ms)" in shown(run(found=found))


def test_no_bottleneck_and_too_little_data_are_distinguished() -> None:
    """Lost: a lack of data is taken for health."""
    assert shown(run()).splitlines()[1] == "  No bottlenecks detected"
    last = run()
    assert last.output_ref is not None
    output = last.output_ref | {"dimensions_evaluated": 0, "largest_sample": 4, "needed_sample": 10}
    assert shown(replace(last, output_ref=output)).splitlines()[1] == "  Not enough data yet: 4 of 10 spans"
    output |= {"largest_sample": 280, "lacking": "9 days with spans, 14 are needed"}
    line = shown(replace(last, output_ref=output)).splitlines()[1]
    assert line == "  Not enough data yet: 9 days with spans, 14 are needed"


def test_folded_and_shared_names_are_reported() -> None:
    """Lost: nobody learns why a name with an id has no judgement of its own."""
    last = run()
    assert last.output_ref is not None
    folded = ["operation:GET /users/{id}", *(f"job:{n}-{{uuid}}" for n in "abcdef")]
    output = last.output_ref | {"folded": folded, "shared": ["operation:GET"]}
    _, _, line, also, *_ = shown(replace(last, output_ref=output)).splitlines()
    assert line.startswith("  Names that hold ids are judged together: operation:GET /users/{id}, job:a-{uuid}, ")
    assert line.endswith(" and 2 more (leo-telemetry findings --json)")
    assert also == "  Judged per service or kind, since several share the name: operation:GET"


@pytest.mark.parametrize(("days", "age"), [(0, "today"), (1, "1 day ago"), (12, "12 days ago")])
def test_the_age_is_in_days(days: int, age: str) -> None:
    """Lost: last month's result is taken for a new one."""
    last = run(finished_at=NOW - timedelta(days=days))
    assert shown(last).splitlines()[0].endswith(f"({age})")


def test_pending_analyses_are_shown_above_the_last_result() -> None:
    """Lost: people start a second analysis because they cannot see the first."""
    queued = run("QUEUED", triggered_at=NOW - timedelta(minutes=3))
    running = run("RUNNING", started_at=NOW - timedelta(seconds=12))
    lines = shown(run(), waiting=(running, queued)).splitlines()
    assert lines[:3] == [
        "  Analysis running (12s)",
        "  Analysis queued (3 min ago)",
        "  Last analysis: 2026-02-09 (today)",
    ]
    late = run("QUEUED", triggered_at=NOW - timedelta(minutes=11))
    assert "leo-telemetry worker --once" in shown(None, waiting=(late,)).splitlines()[1]


def test_stopped_collection_and_failed_attempts_are_reported() -> None:
    """Lost: numbers look good because nothing is measured anymore."""
    silent = FindingsInputs(NOW, run(), run(), (), NOW - timedelta(days=3))
    assert "  No spans for 3 days: is collection still on?" in render(silent)
    failed = run("FAILED", error_detail="p50_by_gate: disk full", output_ref=None)
    assert "  Last attempt FAILED (today): p50_by_gate: disk full" in render(
        FindingsInputs(NOW, run(), failed, (), NOW)
    )
    nameless = run("FAILED", error_detail=None, reason_code=None, output_ref=None)
    assert "no reason given" in render(FindingsInputs(NOW, None, nameless, (), None))
