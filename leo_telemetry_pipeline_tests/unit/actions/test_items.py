"""Which bottlenecks get items, and the wording of items."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.actions import items
from leo_telemetry_pipeline.actions.items import Limits, fingerprint, milliseconds, plan, ratio
from leo_telemetry_pipeline.cli import item_page
from leo_telemetry_pipeline.dimension import Bottleneck, ExplainedCause, Explanation
from leo_telemetry_pipeline.slow_calls import SlowCalls
from leo_telemetry_pipeline.store.items import Item

END = datetime(2026, 2, 9, 12, tzinfo=UTC)
START = datetime(2026, 2, 2, tzinfo=UTC)


def bottleneck(key: str, kind: str = "gate", times: float = 5.0, **more: Any) -> Bottleneck:
    found = Bottleneck(kind, key, 1000.0 * times, 1000.0, "configured", 2.0, 10, ["t1", "t2"])
    return replace(found, **more)


def item(
    key: str,
    status: str = "OPEN",
    *,
    kind: str = "gate",
    opened: datetime = END - timedelta(days=7),
    seen: datetime | None = None,
    project: str | None = None,
) -> Item:
    """Return an item opened by one analysis and last seen by another."""
    detail = {
        "dimension_type": kind,
        "dimension_key": key,
        "opened_window_end": opened.isoformat(),
        "window": {"start": START.isoformat(), "end": (seen or opened).isoformat()},
    }
    # The wall clock is years off and must not matter.
    wall = datetime(2031, 1, 1, tzinfo=UTC)
    return Item(key, fingerprint(kind, key, project), "title", "text", status, detail, wall, wall)


def any_returns(*_: Any) -> bool:
    return True


def decide(found: list[Bottleneck], known: list[Item] | None = None, **limits: Limits) -> items.Plan:
    more: dict[str, Any] = {"window_start": START, "window_end": END, "may_return": any_returns}
    return plan(found, known or [], limits, project=None, run_id="run", **more)


def returning(made: items.Plan) -> list[str]:
    return [item.source_detail["dimension_key"] for item, _ in made.reopen]


def keys(drafts: tuple) -> list[str]:
    return [draft.source_detail["dimension_key"] for draft in drafts]


def test_four_bottlenecks_of_a_type_make_three_items_worst_first_and_other_types_have_their_own_limit():
    """Lost: one bad week buries people in items, or one noisy type silences the others."""
    made = decide([bottleneck(key) for key in "ABCD"] + [bottleneck("EXEC", "phase")])
    assert keys(made.create) == ["A", "B", "C", "EXEC"]
    assert (made.skipped_rate_limit, made.skipped_dedupe) == (1, 0)


def test_an_open_item_is_updated_and_does_not_count_towards_the_limit():
    """Lost: the same bottleneck is filed again and again, or blocks new ones."""
    known = [item("A"), item("B", "IN_PROGRESS")]
    made = decide([bottleneck(key) for key in "ABCDEF"], known)
    assert keys(made.update) == ["A", "B"]
    assert keys(made.create) == ["C", "D", "E"]
    assert (made.skipped_rate_limit, made.skipped_dedupe) == (1, 2)


def test_a_closed_item_returns_if_its_life_allows_it():
    """Lost: a bottleneck that returns after a fix is never reported, or a dismissed one is."""
    known = [item("A", "RESOLVED"), item("B", "DISMISSED")]
    more: dict[str, Any] = {"window_start": START, "window_end": END, "project": None, "run_id": "run"}
    made = plan(
        [bottleneck(key) for key in "ABC"], known, {}, may_return=lambda item, _: item.status == "RESOLVED", **more
    )
    assert (keys(made.create), returning(made), made.skipped_dedupe) == (["C"], ["A"], 1)
    assert made.reopen[0][1].source_detail["opened_window_end"] == END.isoformat()


def test_a_cooldown_counts_in_window_time():
    """Lost: dismissed bottlenecks are back the next day, or never if analyses are replayed."""
    hours = timedelta(hours=1)
    for ago, opens in ((47 * hours, False), (48 * hours, True), (49 * hours, True)):
        made = decide([bottleneck("A")], [item("A", "DISMISSED", seen=END - ago)], gate=Limits(cooldown_hours=48))
        assert (returning(made) == ["A"]) is opens, ago
        assert made.skipped_dedupe == (0 if opens else 1)


def test_a_cooldown_applies_to_one_bottleneck():
    """Lost: closing one item hides other bottlenecks."""
    known = [item("A", "RESOLVED", seen=END - timedelta(hours=1))]
    made = decide([bottleneck("A"), bottleneck("B")], known, gate=Limits(cooldown_hours=24))
    assert keys(made.create) == ["B"]


def test_the_daily_limit_counts_the_window_ends_of_a_day():
    """Lost: hourly analyses open three items each."""
    known = [item(str(n), opened=END - timedelta(hours=1)) for n in range(8)]
    made = decide([bottleneck(key) for key in "ABC"], known)
    assert keys(made.create) == ["A"]
    assert made.skipped_rate_limit == 2
    yesterday = [item(str(n), opened=END - timedelta(days=1)) for n in range(8)]
    assert keys(decide([bottleneck(key) for key in "ABC"], yesterday).create) == ["A", "B", "C"]


def test_the_daily_limit_is_per_type_and_includes_closed_items():
    """Lost: closing an item lets the next one in on the same day."""
    known = [item(str(n), "RESOLVED", opened=END, seen=END - timedelta(days=99)) for n in range(9)]
    made = decide([bottleneck("A"), bottleneck("EXEC", "phase")], known)
    assert keys(made.create) == ["EXEC"]


def test_limits_of_zero_open_nothing():
    """Lost: items cannot be switched off without losing the findings."""
    for limit in (Limits(per_run=0), Limits(per_day=0)):
        made = decide([bottleneck("A")], gate=limit)
        assert made.create == ()
        assert made.skipped_rate_limit == 1


def test_a_fingerprint_depends_on_type_key_and_scope_but_not_on_numbers():
    """Lost: two bottlenecks share an item, or one has two."""
    different = {
        fingerprint("gate", "A", None),
        fingerprint("phase", "A", None),
        fingerprint("gate", "B", None),
        fingerprint("gate", "A", ""),
        fingerprint("gate", "A", "ALL"),
        fingerprint("gate", "AALL", None),
        fingerprint("gat", "eA", None),
    }
    assert len(different) == 7
    one, two = (decide([bottleneck("A", times=times)]).create[0] for times in (3.0, 99.0))
    assert one.fingerprint == two.fingerprint == fingerprint("gate", "A", None)


def test_an_item_names_dimension_p50_baseline_window_and_traces():
    """Lost: the assignee of an item has to find these out."""
    draft = decide([bottleneck("GATE_PRD_REQUIRED", times=2.44)]).create[0]
    assert draft.title == "gate:GATE_PRD_REQUIRED takes 2.4x as long as normal"
    for part in ("2026-02-02", "2026-02-09 12:00 UTC", "10 spans", "2.4s", "1s", "configured", "2x", "t1, t2"):
        assert part in draft.description
    wanted = {
        "dimension_type", "dimension_key", "observed_p50_ms", "baseline_p50_ms", "multiplier", "ratio",
        "sample_count", "window", "evidence_trace_ids", "run_id",
    }  # fmt: skip
    assert wanted <= set(draft.source_detail)
    json.dumps(draft.source_detail, allow_nan=False)


def test_an_item_without_evidence_says_so():
    """Lost: an item ends in an incomplete sentence."""
    assert "none kept" in decide([bottleneck("A", evidence_trace_ids=[])]).create[0].description


def test_whole_ratios_have_no_decimal_and_others_have_one():
    """Lost: the output of `findings` differs from the required format."""
    written = {5.0: "5x", 2.4: "2.4x", 2.44: "2.4x", 10.0: "10x", 100.0: "100x", 4.96: "5x", 4.04: "4x", 1.2: "1.2x"}
    assert {value: ratio(value) for value in written} == written


def test_times_are_written_in_ms_below_a_second_and_in_seconds_above():
    """Lost: the output of `findings` differs from the required format."""
    written = {
        0.0: "0ms", 0.4: "0.4ms", 45.0: "45ms", 999.0: "999ms", 999.4: "999ms", 999.6: "1s", 1000.0: "1s",
        1500.0: "1.5s", 15000.0: "15s", 150000.0: "150s", 108040.0: "108s", 1e9: "1000000s",
    }  # fmt: skip
    assert {value: milliseconds(value) for value in written} == written


def because(key: str, *members: str) -> ExplainedCause:
    """Return a gate as the cause of slow gates."""
    return ExplainedCause("gate", key, 1.0, members=tuple(Explanation("gate", name, 1.0) for name in members))


def decide_with_causes(
    found: list[Bottleneck], causes: list[ExplainedCause], known: list[Item] | None = None
) -> items.Plan:
    more: dict[str, Any] = {"window_start": START, "window_end": END, "may_return": any_returns}
    return plan(found, known or [], {}, project=None, run_id="run", causes=causes, **more)


def test_one_cause_of_thirty_bottlenecks_gets_one_item_that_names_them():
    """Lost: one slow sub-agent opens thirty items, one per gate and handoff above it."""
    names = [f"G{n}" for n in range(30)]
    made = decide_with_causes([bottleneck(name) for name in names], [because("G7", *names[:7], *names[8:])])
    assert keys(made.create) == ["G7"]
    assert len(made.create[0].source_detail["members"]) == 29
    assert "and 24 more took longer too" in made.create[0].description
    assert (made.skipped_rate_limit, made.skipped_dedupe) == (0, 29)
    assert set(made.item_of.values()) == {fingerprint("gate", "G7", None)}


def test_two_causes_get_two_items():
    """Lost: the second cause stays hidden until the first is fixed."""
    found = [bottleneck(name) for name in ("A", "A1", "B", "B1")]
    made = decide_with_causes(found, [because("A", "A1"), because("B", "B1")])
    assert keys(made.create) == ["A", "B"]
    assert [made.item_of[fingerprint("gate", name, None)] for name in ("A1", "B1")] == [
        fingerprint("gate", "A", None),
        fingerprint("gate", "B", None),
    ]


def test_a_cause_covered_by_an_open_item_opens_no_second_item_under_another_name():
    """Lost: the same cause is filed again when another of its dimensions is worst."""
    open_item = item("A")
    open_item.source_detail["members"] = [{"dimension_type": "gate", "dimension_key": "B"}]
    found = [bottleneck("B"), bottleneck("C")]
    made = decide_with_causes(found, [because("B", "C")], [open_item])
    assert (made.create, made.update) == ((), ())
    assert made.item_of[fingerprint("gate", "B", None)] == open_item.fingerprint
    made = decide_with_causes([bottleneck("C"), bottleneck("A")], [because("C", "A")], [item("A")])
    assert made.create == ()
    assert keys(made.update) == ["A"]
    assert made.item_of[fingerprint("gate", "C", None)] == item("A").fingerprint


def test_an_item_names_onset_certainty_added_time_and_attributes_of_slow_spans():
    """Lost: the assignee of an item has to find these out."""
    known = {
        "onset_day": date(2026, 2, 5),
        "p_value": 0.001,
        "why": "gate:A +3.0 s: subagent:DESIGN 84 %, own time 16 %",
        "set_apart_by": ["model=large: 92 % of slow spans, 10 % of the others"],
    }
    description = decide([bottleneck("A", **known)]).create[0].description
    for part in ("was 5s since 2026-02-05", "1 of 1,000 analyses", "subagent:DESIGN 84 %", "model=large"):
        assert part in description
    plain = decide([bottleneck("A", onset_day=None, p_value=None, why=None, set_apart_by=[])]).create[0].description
    assert "since" not in plain
    assert "added time" not in plain


def test_an_item_about_slow_calls_says_how_many_there_are_and_is_shown_as_it_was_written():
    """Lost: one call in four takes a minute, and the item says that the dimension takes five times as long."""
    slow = SlowCalls(0.26, 63_000.0, 35_000.0, 63_500.0, 20_000.0)
    found = bottleneck("A", times=5.0, slow_calls=slow, baseline_source="learned")
    [draft] = decide([found]).create
    assert draft.title == "1 in 4 calls of gate:A takes 5x as long as normal"
    assert "In gate:A, 1 in 4 calls is slow: the median of these is 5s, against a learned baseline" in draft.description
    assert "Slow calls take over 35s; the P90 of all calls is 63.5s, was 20s. " in draft.description
    shown = item_page.render(replace(item("A"), title=draft.title, source_detail=draft.source_detail))
    assert "Slow calls take over 35s" in shown
    assert "normal" not in shown.partition("\n")[2]
    [most] = decide([replace(found, slow_calls=replace(slow, share=0.9, p90_before_ms=None))]).create
    assert most.title == "Most calls of gate:A take 5x as long as normal"
    assert "the P90 of all calls is 63.5s. " in most.description
    assert found.slow_count == 2.6
