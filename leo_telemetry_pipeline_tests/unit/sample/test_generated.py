"""The generated history: the same for everyone, like real work, and slow exactly as its manifest says."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from statistics import median

import pytest

from leo_telemetry_pipeline.redact import clean
from leo_telemetry_pipeline.sample.expected import RATIO, manifest, ratios
from leo_telemetry_pipeline.sample.generated import DAYS, WINDOW_DAYS, generate
from leo_telemetry_pipeline.span import Span

MIDNIGHT = datetime(2026, 2, 9, tzinfo=UTC)
# One date on each weekday.
DATES = [MIDNIGHT + timedelta(days=23 * step) for step in range(7)]
SD_TYPES = ("feature", "bugfix", "refactor", "docs", "infrastructure")
SLOWED = {
    "gate:GATE_PRD_REQUIRED": {f"gate+sd_type:GATE_PRD_REQUIRED:{sd_type}" for sd_type in SD_TYPES},
    "subagent:DESIGN": {
        "phase:LEAD",
        "phase:PLAN",
        "handoff:LEAD-TO-PLAN",
        "handoff:PLAN-TO-EXEC",
        *(f"sd_type:{sd_type}" for sd_type in SD_TYPES),
    },
    "gate+sd_type:GATE_TEST_COVERAGE:refactor": {"gate:GATE_TEST_COVERAGE"},
}


@pytest.fixture(scope="module")
def spans() -> list[Span]:
    return list(generate(MIDNIGHT))


@cache
def ratios_at(midnight: datetime) -> list[dict]:
    return [one for one in ratios(midnight) if is_of_every_analysis(one)]


def is_of_every_analysis(one: dict) -> bool:
    """Return whether a dimension is not a slice of some SD type, of which most have few spans."""
    return "+" not in one["dimension_type"] or one["dimension_type"] == "gate+sd_type"


def name(one: dict) -> str:
    return f"{one['dimension_type']}:{one['dimension_key']}"


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def test_spans_depend_only_on_the_midnight(spans):
    """Lost: a demo run twice would store its history twice."""
    assert list(generate(MIDNIGHT)) == spans
    others = {span.span_id for span in generate(MIDNIGHT + timedelta(days=1))}
    assert not others & {span.span_id for span in spans}
    assert len({span.span_id for span in spans}) == len(spans)


def test_all_spans_are_before_midnight_and_no_trace_is_in_two_days(spans):
    """Lost: the window would hold days without the slowdown, and find other numbers."""
    first, last = milliseconds(MIDNIGHT - timedelta(days=DAYS)), milliseconds(MIDNIGHT)
    days: dict[str, set] = {}
    for span in spans:
        assert first <= span.start_time_ms <= (span.end_time_ms or 0) < last
        days.setdefault(span.trace_id, set()).update(
            (span.start_time_ms // 86_400_000, (span.end_time_ms or 0) // 86_400_000)
        )
    assert {len(found) for found in days.values()} == {1}


def test_a_span_is_within_its_parent(spans):
    """Lost: a handoff would seem shorter than its own parts."""
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        assert span.duration_ms == (span.end_time_ms or 0) - span.start_time_ms
        if span.parent_span_id is None:
            assert span.span_type == "handoff"
            continue
        parent = by_id[span.parent_span_id]
        assert parent.trace_id == span.trace_id
        assert parent.start_time_ms <= span.start_time_ms
        assert (span.end_time_ms or 0) <= (parent.end_time_ms or 0)


def test_the_history_has_as_many_spans_as_a_team_and_is_distinguished_from_real_work(spans):
    """Lost: the demo would take long, or its spans would be mixed with measured ones."""
    assert 40_000 <= len(spans) <= 50_000
    assert {span.project for span in spans} == {"demo"}
    assert all(span.attributes["generated"] is True for span in spans)
    assert {span.span_type for span in spans} == {"handoff", "phase", "gate", "subagent", "wait", "tool"}
    handoffs = Counter(span.start_time_ms // 86_400_000 for span in spans if span.span_type == "handoff")
    weekdays = [count for day, count in handoffs.items() if (day + 3) % 7 < 5]
    assert len(handoffs) == DAYS
    assert len(weekdays) == DAYS // 7 * 5
    assert min(weekdays) > max(count for day, count in handoffs.items() if (day + 3) % 7 >= 5)
    assert all(clean(span) is span for span in spans[:100])


@pytest.mark.parametrize("midnight", DATES, ids=str)
def test_the_expected_findings_are_the_same_and_clear_on_every_date(midnight):
    """Lost: a demo finds something else on some days."""
    found = ratios_at(midnight)
    slower = {name(one) for one in found if one["ratio"] > RATIO and one["slowdown"] is not None}
    assert slower == {each for cause, slowed in SLOWED.items() for each in (cause, *slowed)}
    assert [name(one) for one in found if one["slowdown"] is not None and 1.15 < one["ratio"] < 1.2] == []
    # A gate has few spans of each SD type, so their P50 varies by chance.
    many = [one for one in found if one["dimension_type"] != "gate+sd_type"]
    assert [name(one) for one in many if one["slowdown"] is None and one["ratio"] > 1.1] == []


def test_slowed_dimensions_were_steady_before(spans):
    """Lost: the slowdown would be learned as normal."""
    weeks: dict[int, list[int]] = {}
    for span in spans:
        if (span.span_type, span.span_name) == ("subagent", "DESIGN"):
            ago = (milliseconds(MIDNIGHT) - 1 - span.start_time_ms) // (WINDOW_DAYS * 86_400_000)
            weeks.setdefault(ago, []).append(span.duration_ms or 0)
    last, *before = (median(weeks[ago]) for ago in sorted(weeks))
    assert len(before) == DAYS // 7 - 1
    assert max(before) < 1.15 * min(before)
    assert last > 3 * max(before)


def test_the_manifest_names_what_is_planted_what_it_slows_and_by_how_much():
    """Lost: nobody could check what the demo shows."""
    written = json.loads(json.dumps(manifest(MIDNIGHT)))
    assert (written["generated"], written["days"]) == ("2026-02-09T00:00:00+00:00", DAYS)
    slowed = {
        name(one): {name(slow) for slow in filter(is_of_every_analysis, one["slows"])} for one in written["planted"]
    }
    assert {cause: slows - {cause} for cause, slows in slowed.items()} == SLOWED
    for one in written["planted"]:
        assert "as long" in one["cause"]
        assert name(one) in {name(slow) for slow in one["slows"]}
        ratios_of = [slow["ratio"] for slow in one["slows"]]
        assert ratios_of == sorted(ratios_of, reverse=True)


def test_waiting_for_a_person_is_not_part_of_a_gates_judged_time(spans):
    """Lost: a long lunch would look like a slow gate."""
    waits = {span.parent_span_id for span in spans if span.span_type == "wait"}
    gates = [span for span in spans if span.span_name == "GATE_ACCEPTANCE"]
    assert any(gate.span_id in waits for gate in gates)
    without = sorted(gate.duration_ms or 0 for gate in gates if gate.span_id not in waits)
    (found,) = [
        one
        for one in ratios_at(MIDNIGHT)
        if (one["dimension_type"], one["dimension_key"]) == ("gate", "GATE_ACCEPTANCE")
    ]
    assert found["history_p50_ms"] == pytest.approx(without[len(without) // 2], rel=0.2)
    assert len(without) >= 100


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 2, 9, 1, tzinfo=UTC),
        datetime(2026, 2, 9),  # noqa: DTZ001 that is the mistake
        datetime(2026, 2, 9, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_any_moment_other_than_a_utc_midnight_is_refused(moment):
    """Lost: the planted slowdown would begin in the middle of a day."""
    with pytest.raises(ValueError, match="not a UTC midnight"):
        next(generate(moment))
