"""Output of `findings --verbose`: onset, certainty, cause and next step, sorted by time lost per week."""

from datetime import UTC, datetime
from typing import Any

from leo_telemetry_pipeline.actions.findings import causes_first
from leo_telemetry_pipeline.cli.findings import render_dry
from leo_telemetry_pipeline.dimension import Bottleneck

END = datetime(2026, 2, 9, 15, 0, tzinfo=UTC)
HOUR_MS = 3_600_000.0


def bottleneck(dimension_type: str, key: str, **more: Any) -> dict[str, Any]:
    """Return a bottleneck in the form of ``output_ref``, with a learned baseline."""
    return {
        "dimension_type": dimension_type,
        "dimension_key": key,
        "ratio": 3.0,
        "observed_p50_ms": 15_000.0,
        "baseline_p50_ms": 5_000.0,
        "baseline_source": "learned",
        "multiplier": 1.15,
        "sample_count": 40,
        "onset_day": "2026-02-05",
        "p_value": 0.000123,
        "lost_ms_a_week": HOUR_MS,
        "why": f"{dimension_type}:{key} +10 s: own time 100 %",
        "set_apart_by": [],
        "cause": f"{dimension_type}:{key}",
        "evidence_trace_ids": ["t1", "t2"],
        "improvement_id": None,
    } | more


DESIGN = bottleneck("subagent", "DESIGN", improvement_id="i1", set_apart_by=["model=large: 80 % of slow spans"])
LEAD = bottleneck(
    "phase",
    "LEAD",
    ratio=1.5,
    lost_ms_a_week=3 * HOUR_MS,
    why="phase:LEAD +10 s: subagent:DESIGN 91 %, gate:G 9 %",
    cause="subagent:DESIGN",
    improvement_id="i1",
)


def test_measured_changes_follow_the_added_time() -> None:
    """Lost: nobody sees whether a slow model starts late, writes slowly or writes more."""
    found = bottleneck("llm", "opus", measured=["time to first token 4.5 s, was 1.5 s; the rest is not slower"])
    [lines] = verbose(found).values()
    at = lines.index("What its spans show: time to first token 4.5 s, was 1.5 s; the rest is not slower")
    assert lines[at - 1].startswith("Where the added time goes: ")


def test_a_cause_precedes_its_members() -> None:
    """Lost: the tools of a slow server are listed before it, and people examine these first."""

    def slow(dimension_type: str, key: str, times: float, cause: str) -> Bottleneck:
        return Bottleneck(dimension_type, key, times * 5_000.0, 5_000.0, "learned", 1.15, 40, cause=cause)

    tool = slow("tool", "mcp__shop__order", 3.2, "mcp_server:shop")
    other, server = slow("gate", "G", 3.1, "gate:G"), slow("mcp_server", "shop", 3.0, "mcp_server:shop")
    worst = slow("gate", "H", 5.0, "wait:nobody:flagged")
    ordered = causes_first([worst, tool, other, server])
    assert ordered == [worst, server, tool, other]
    assert causes_first([]) == []


def verbose(*found: dict[str, Any]) -> dict[str, list[str]]:
    """Return the lines below each bottleneck by its name, in order."""
    output = {"traces_scanned": 1400, "dimensions_evaluated": 45, "bottlenecks": list(found), "errors": []}
    said: dict[str, list[str]] = {}
    for line in render_dry(output, END, verbose=True).splitlines():
        if "(p50=" in line:
            said[line.split()[1]] = []
        elif line.startswith("       "):
            said[list(said)[-1]].append(line.strip())
    return said


def test_bottlenecks_are_sorted_by_time_lost_per_week() -> None:
    """Lost: people work on a gate that is five times slower once a month."""
    rare = bottleneck("gate", "RARE", ratio=5.0, lost_ms_a_week=60_000.0)
    said = verbose(rare, DESIGN, LEAD)
    assert list(said) == ["phase:LEAD", "subagent:DESIGN", "gate:RARE"]
    assert [lines[0] for lines in said.values()] == ["3 h lost per week", "1 h lost per week", "1 min lost per week"]


def test_all_bottlenecks_are_shown() -> None:
    """Lost: the sixth bottleneck."""
    found = [bottleneck("gate", f"G{number}") for number in range(9)]
    assert len(verbose(*found)) == 9


def test_onset_certainty_and_cause_are_shown() -> None:
    """Lost: nobody sees whether a finding is noise or a regression, or where to look."""
    lines = verbose(DESIGN)["subagent:DESIGN"]
    assert lines[1] == "Slower since 2026-02-05; steady work looks slower by chance in at most 1 of 8,100 analyses"
    assert lines[2] == "Where the added time goes: subagent:DESIGN +10 s: own time 100 %"
    assert lines[3] == "More common in slow spans: model=large: 80 % of slow spans"
    assert "Up to 1.15x of its learned baseline is normal; 40 spans" in lines
    assert "Slowest traces: t1, t2" in lines


def test_certainty_does_not_exceed_the_calibrated_range() -> None:
    """Lost: credibility, because of a chance of one in a sextillion."""
    [line] = [line for line in verbose(bottleneck("gate", "A", p_value=1e-21))["gate:A"] if "Slower since" in line]
    assert line.endswith("at most 1 of 1,000,000 analyses")


def test_a_cause_names_its_members_and_how_to_close_its_item() -> None:
    """Lost: eight bottlenecks look like eight problems."""
    lines = verbose(DESIGN, LEAD)["subagent:DESIGN"]
    assert "Because of it, phase:LEAD took longer too" in lines
    assert lines[-1].startswith("Next: leo-telemetry why subagent:DESIGN; then leo-telemetry items fixed i1 (or accept")


def test_a_member_refers_to_its_cause() -> None:
    """Lost: people search for the fault in a phase whose sub-agent is slow."""
    lines = verbose(DESIGN, LEAD)["phase:LEAD"]
    assert lines[-1] == "Next: nothing here: it is slow because of subagent:DESIGN, which has item i1"
    assert not any("Because of it" in line for line in lines)


def test_it_says_once_how_to_look_at_a_trace() -> None:
    """Lost: people have the ids of slow traces, and nothing to open them with."""
    output = {"dimensions_evaluated": 45, "bottlenecks": [DESIGN, LEAD]}
    assert render_dry(output, END, verbose=True).count("leo-telemetry trace ID") == 1
    output["bottlenecks"] = [DESIGN | {"evidence_trace_ids": []}]
    assert "leo-telemetry trace" not in render_dry(output, END, verbose=True)


def test_missing_onset_cause_and_item_leave_no_gap() -> None:
    """Lost: the output has None for unknown values, or older runs cause an error."""
    old = bottleneck("gate", "A B", baseline_source="configured", multiplier=2.0)
    for name in ("onset_day", "p_value", "why", "set_apart_by", "cause", "lost_ms_a_week"):
        del old[name]
    lines = verbose(old | {"evidence_trace_ids": []})["gate:A"]
    assert lines == [
        "0s lost per week",
        "Up to 2x of its configured baseline is normal; 40 spans",
        "Slowest traces: none",
        "Next: leo-telemetry why 'gate:A B' (it has no item)",
    ]
