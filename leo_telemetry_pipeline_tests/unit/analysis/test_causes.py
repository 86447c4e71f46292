"""Attribution of added time, and grouping of bottlenecks by cause."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from benchmarks import families, incidents, service_graphs
from benchmarks.families import SD_TYPES, Draw, Family, Node, Slowdown, forest_of
from leo_telemetry_pipeline.analysis.attribution import AddedPart, Attribution, attribute, line
from leo_telemetry_pipeline.analysis.causes import causes_of, group, only_of, periods
from leo_telemetry_pipeline.dimension import Bottleneck, Dimension

H, G, A, T = "handoff:H", "gate:G", "subagent:A", "tool:T"


def tree(*nodes: tuple[str, int, float], parallel: Sequence[int] = ()) -> Family:
    """Return a family of traces from keys, parent numbers, and own times in ms."""
    depths: list[int] = []
    for _, parent, _ in nodes:
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
    made = [Node(key, parent, depths[n], own, 0.0, 1.0, "") for n, (key, parent, own) in enumerate(nodes)]
    return Family(tuple(made), tuple(n in parallel for n in range(len(made))), {"": 0.0})


PLAIN = tree((H, -1, 10_000), (G, 0, 20_000), (A, 1, 30_000), (T, 2, 5_000))


def traces(made: Family, slow: Sequence[Slowdown] = (), seed: int = 0, count: int = 60) -> pd.DataFrame:
    """Draw traces of a family without lost spans."""
    rng = np.random.default_rng(seed)
    drawn: Draw = families.draw(rng, made, count)
    return families.frame(rng, made, drawn, families.lay(made, drawn, slow), lost=0.0)


def compared(
    before: Family,
    after: Family,
    slow: Sequence[Slowdown] = (),
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda spans: spans,
) -> Attribution:
    """Attribute the handoff's added time between traces of two families."""
    found = attribute(forest_of(change(traces(after, slow, 1))), forest_of(traces(before, (), 2)), "handoff", "H")
    assert found is not None
    return found


def shares(found: Attribution) -> dict[tuple[str, str], float]:
    return {(part.kind, part.key): round(part.share, 2) for part in found.parts}


def test_a_slow_leaf_is_named_and_not_its_parents():
    """Lost: people look into the gate, but its sub-agent is slow."""
    found = compared(PLAIN, PLAIN, [Slowdown(A, 60_000)])
    assert shares(found) == {("span", A): 1.0}
    assert 45_000 < found.added_ms < 75_000


def test_own_work_and_queue_wait_are_distinguished_from_work_below():
    """Lost: a longer queue looks like slower work, and people tune the wrong thing."""
    found = compared(PLAIN, PLAIN, [Slowdown(A, 60_000), Slowdown(G, 30_000, "queue"), Slowdown(H, 10_000)])
    assert found.parts[0].key == A
    assert shares(found)["span", A] == pytest.approx(0.6, abs=0.06)
    assert shares(found)["queue", G] == pytest.approx(0.3, abs=0.06)
    assert shares(found)["own", H] == pytest.approx(0.1, abs=0.06)
    assert sum(part.share for part in found.parts) == pytest.approx(1)


def test_of_concurrent_spans_only_the_slower_one_is_charged():
    """Lost: a sub-agent that is awaited less seems to compensate for the slow one."""
    both = tree((H, -1, 10_000), (A, 0, 30_000), ("subagent:B", 0, 30_000), parallel=[0])
    assert shares(compared(both, both, [Slowdown(A, 60_000)])) == {("span", A): 1.0}


def test_shares_count_the_time_added_to_the_trace_and_not_to_the_span():
    """Lost: a sub-agent that got a minute slower is charged a minute, although half of it was hidden by another."""
    both = tree((H, -1, 10_000), (A, 0, 20_000), ("subagent:B", 0, 30_000), parallel=[0])
    planted = [Slowdown(A, 60_000), Slowdown(H, 30_000)]
    truth = families.truth(both, families.draw(np.random.default_rng(3), both, 200), planted)
    found = shares(compared(both, both, planted))
    assert [found["span", A], found["own", H]] == pytest.approx(truth, abs=0.05)


def test_a_slow_span_that_is_not_awaited_is_not_a_cause():
    """Lost: people tune a sub-agent that delays nothing."""
    both = tree((H, -1, 10_000), (A, 0, 90_000), ("subagent:B", 0, 3_000), parallel=[0])
    found = compared(both, both, [Slowdown("subagent:B", 20_000), Slowdown(H, 20_000)])
    assert shares(found) == {("own", H): 1.0}


def test_a_step_that_is_called_more_often_is_charged_with_everything_below_it():
    """Lost: a gate is tried three times, and its sub-agent is blamed."""
    tried = tree(
        (H, -1, 10_000), (G, 0, 5_000), (A, 1, 30_000), (G, 0, 5_000), (A, 3, 30_000), (G, 0, 5_000), (A, 5, 30_000)
    )
    found = compared(tree((H, -1, 10_000), (G, 0, 5_000), (A, 1, 30_000)), tried)
    assert shares(found) == {("span", G): 1.0}
    assert (found.parts[0].calls_before, found.parts[0].calls_after) == (1, 3)
    assert line(found).endswith("s: gate:G (3.0 calls, were 1.0) 100 %")


def test_a_new_step_is_charged_with_everything_below_it():
    """Lost: a step without a baseline explains nothing."""
    assert shares(compared(tree((H, -1, 10_000)), tree((H, -1, 10_000), (G, 0, 9_000), (A, 1, 9_000)))) == {
        ("span", G): 1.0
    }


def test_spans_that_stopped_running_concurrently_are_charged_with_their_awaited_time():
    """Lost: sub-agents run one by one, none of them is slower, and nothing is named."""
    nodes = ((H, -1, 5_000), (A, 0, 30_000), ("subagent:B", 0, 50_000))
    found = compared(tree(*nodes, parallel=[0]), tree(*nodes))
    assert {part.kind for part in found.parts} == {"span"}
    assert {part.key for part in found.parts} == {A, "subagent:B"}


def test_waiting_for_a_person_is_not_work_and_directly_below_the_dimension_not_judged():
    """Lost: a gate is blamed because a person did not answer."""
    asked = tree((H, -1, 10_000), (G, 0, 10_000), ("wait:OK", 1, 20_000), ("wait:LUNCH", 0, 20_000))
    found = compared(asked, asked, [Slowdown("wait:OK", 60_000), Slowdown("wait:LUNCH", 300_000)])
    assert shares(found) == {("wait", "wait:OK"): 1.0}
    assert found.added_ms < 90_000


def test_neither_noise_nor_one_hung_trace_is_a_part():
    """Lost: people get an item about the step in which a single trace hung."""

    def hung(spans: pd.DataFrame) -> pd.DataFrame:
        spans.loc[(spans["trace_id"] == 7) & (spans["span_type"] != "tool"), "duration_ms"] += 9_000_000
        return spans

    assert shares(compared(PLAIN, PLAIN, [Slowdown(A, 60_000)], hung)) == {("span", A): 1.0}
    assert compared(PLAIN, PLAIN).parts == ()
    assert line(compared(PLAIN, PLAIN)).endswith("no part stands out")


def test_lost_spans_and_wrong_clocks_do_not_hide_the_cause():
    """Lost: the cause, if a span did not arrive or a container's clock was an hour off."""
    nodes = tuple(
        Node(node.key, node.parent, node.depth, node.own_ms, 0.0, 1.0, "ab"[n > 1])
        for n, node in enumerate(PLAIN.nodes)
    )
    skewed = Family(nodes, PLAIN.is_parallel, {"a": 0.0, "b": 3_600_000.0})

    def lost(spans: pd.DataFrame) -> pd.DataFrame:
        return spans.loc[(spans["span_type"] != "gate") | (spans["trace_id"] % 4 > 0)]

    assert compared(PLAIN, skewed, [Slowdown(A, 60_000)]).parts[0].key == A
    assert compared(PLAIN, PLAIN, [Slowdown(A, 60_000)], lost).parts[0].key == A


def test_no_spans_on_a_side_give_no_attribution_and_few_or_equal_spans_a_defined_one():
    """Lost: a new dimension, or one with a single span, fails the analysis of all others."""
    trees = forest_of(traces(PLAIN))
    assert attribute(trees, trees, "gate", "NEW") is None
    assert attribute(forest_of(traces(PLAIN).iloc[:0]), trees, "gate", "G") is None
    one = forest_of(traces(PLAIN, [Slowdown(A, 60_000)], 0, 1))
    assert shares_of_one(attribute(one, forest_of(traces(PLAIN, (), 0, 1)), "handoff", "H")) == {("span", A): 1.0}
    same = attribute(trees, trees, "handoff", "H")
    assert same is not None
    assert (same.added_ms, same.parts) == (0.0, ())


def shares_of_one(found: Attribution | None) -> dict[tuple[str, str], float]:
    assert found is not None
    return shares(found)


def test_the_line_names_the_largest_parts_and_its_percentages_sum_up_to_100():
    """Lost: people see three shares of 33 % and ask where the rest went."""
    parts = tuple(AddedPart("span", f"gate:{n}", 1 / 3, 1.0, 1.0) for n in range(3))
    assert (
        line(Attribution("handoff", "H", 400, 9, 9, parts))
        == "handoff:H +400 ms: gate:0 34 %, gate:1 33 %, gate:2 33 %"
    )
    parts = (
        AddedPart("span", "subagent:DESIGN", 0.84, 1.0, 1.0),
        AddedPart("queue", "gate:A", 0.07, 1.0, 1.0),
        AddedPart("own", H, 0.05, 1.0, 1.0),
        AddedPart("queue", "gate:B", 0.04, 1.0, 1.0),
    )
    text = line(Attribution("handoff", "LEAD-TO-PLAN", 64_000, 9, 9, parts))
    assert text == (
        "handoff:LEAD-TO-PLAN +64 s: subagent:DESIGN 84 %, waiting in queue of gate:A 7 %, own time 5 %,"
        " waiting in queue of gate:B 4 %"
    )
    assert line(Attribution("handoff", "H", 1_500, 9, 9, parts), 1).endswith("+1.5 s: subagent:DESIGN 84 %, other 16 %")


def bottleneck(kind: str, key: str, added_ms: float, times: float = 2.0, onset: date | None = None) -> Bottleneck:
    """Return a bottleneck with ``added_ms`` over its baseline and a ratio of ``times``."""
    normal = added_ms / (times - 1)
    return Bottleneck(kind, key, normal + added_ms, normal, "learned", 1.15, 40, onset_day=onset)


def slow(*dimensions: tuple[str, str, float]) -> list[Bottleneck]:
    return [bottleneck(kind, key, ms, onset=date(2026, 3, 2)) for kind, key, ms in dimensions]


@pytest.mark.parametrize("seed", range(2))
def test_one_cause_of_thirty_bottlenecks_is_one_item_with_all_of_them(seed):
    """Lost: one slow sub-agent opens thirty items."""
    made = incidents.one_cause(np.random.default_rng(seed))
    [cause], _ = causes_of(made.slow, forest_of(made.window), forest_of(made.baseline))
    assert len(cause.members) == len(made.slow) >= 30
    assert cause.representative.dimension == made.causes[0] == cause.members[0].slow.dimension
    assert all(0 < member.share <= 1 for member in cause.members)


def test_two_causes_two_days_apart_stay_separate():
    """Lost: the second cause hides behind the first until that is fixed."""
    made = incidents.two_causes(np.random.default_rng(4))
    found, _ = causes_of(made.slow, forest_of(made.window), forest_of(made.baseline))
    assert {cause.representative.dimension for cause in found} == set(made.causes)
    assert sum(len(cause.members) for cause in found) == len(made.slow)


def test_a_step_that_is_slow_for_only_one_sd_type_is_named_by_the_combined_dimension():
    """Lost: an item is about a whole gate that is slow only for refactorings."""
    window = forest_of(traces(PLAIN, [Slowdown(G, 90_000, sd_type="refactor")], 1, 200))
    baseline = forest_of(traces(PLAIN, (), 2, 200))
    assert only_of(window, baseline, G, "sd_type") == "refactor"
    flagged = slow(("gate", "G", 9_000.0), ("gate+sd_type", "G:refactor", 90_000.0), ("sd_type", "refactor", 90_000.0))
    [cause], _ = causes_of(flagged, window, baseline)
    assert cause.representative.dimension == ("gate+sd_type", "G:refactor")
    assert cause.only == ("sd_type", "refactor")
    assert len(cause.members) == 3


def test_a_step_that_is_slow_for_all_sd_types_is_named_without_them():
    """Lost: one gate gets five items, one per SD type."""
    window, baseline = forest_of(traces(PLAIN, [Slowdown(G, 90_000)], 1, 200)), forest_of(traces(PLAIN, (), 2, 200))
    assert only_of(window, baseline, G, "sd_type") is None
    worst = forest_of(traces(PLAIN, [Slowdown(G, 30_000), Slowdown(G, 60_000, sd_type="docs")], 1, 200))
    assert only_of(worst, baseline, G, "sd_type") is None
    flagged = slow(*[("gate+sd_type", f"G:{kind}", 90_000.0) for kind in SD_TYPES], ("gate", "G", 90_000.0))
    [cause], _ = causes_of(flagged, window, baseline)
    assert (cause.representative.dimension, cause.only, len(cause.members)) == (("gate", "G"), None, 5)


def attributed(dimension: Dimension, *parts: tuple[str, str, float]) -> tuple[Dimension, Attribution]:
    made = tuple(AddedPart(kind, key, share, 1.0, 1.0) for kind, key, share in parts)
    return dimension, Attribution(*dimension, 1_000.0, 30, 30, made)


def test_without_traces_a_bottleneck_is_its_own_cause_and_a_combined_one_has_its_gate():
    """Lost: bottlenecks without parents, or whose old traces are gone, get no item."""
    found = group(slow(("gate", "G", 5.0), ("gate+sd_type", "G:docs", 9.0), ("sd_type", "docs", 1.0)), {})
    assert [(cause.key, len(cause.members)) for cause in found] == [(G, 2), ("sd_type:docs", 1)]


def test_work_of_one_name_in_two_services_has_two_causes():
    """Lost: the slow POST of a small service is hidden in the item about a bigger one's."""
    kind = "operation+service.name"
    known = dict([attributed((kind, "POST:shop"), ("own", f"{kind}:POST:shop", 1.0))])
    found = group(slow((kind, "POST:shop", 9.0), (kind, "POST:cart", 5.0), ("operation", "POST", 7.0)), known)
    assert [cause.representative.name for cause in found] == [
        f"{kind}:POST:shop",
        "operation:POST",
        f"{kind}:POST:cart",
    ]


def test_of_comparable_parts_the_one_with_the_same_onset_is_the_cause():
    """Lost: slowness since Monday is attributed to a change on Wednesday."""
    flagged = [
        bottleneck("handoff", "H", 90.0, onset=date(2026, 3, 2)),
        bottleneck("subagent", "A", 50.0, onset=date(2026, 3, 2)),
        bottleneck("gate", "G", 60.0, onset=date(2026, 3, 4)),
    ]
    known = dict([attributed(("handoff", "H"), ("span", G, 0.55), ("span", A, 0.45))])
    members = {cause.key: len(cause.members) for cause in group(flagged, known)}
    assert members == {A: 2, G: 1}


def test_a_longer_queue_is_a_different_cause_than_slower_work():
    """Lost: a lack of workers is reported as a slow sub-agent."""
    known = dict([attributed(("handoff", "H"), ("queue", A, 1.0)), attributed(("subagent", "A"), ("own", A, 1.0))])
    found = group(slow(("handoff", "H", 9.0), ("subagent", "A", 5.0)), known)
    assert [(cause.kind, cause.key, cause.representative.dimension) for cause in found] == [
        ("queue", A, ("handoff", "H")),
        ("span", A, ("subagent", "A")),
    ]


def test_the_baseline_period_ends_days_before_the_onset_because_onsets_may_be_late():
    """Lost: slow traces in the baseline hide the cause."""
    start, end = datetime(2026, 2, 2, tzinfo=UTC), datetime(2026, 2, 9, 15, tzinfo=UTC)
    friday, monday = datetime(2026, 1, 30, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)
    # Slower since Saturday, but dated to Monday because nothing runs on weekends.
    after, before = periods(monday.date(), start, end)
    assert after == (monday, end)
    assert before[1] <= friday
    assert before[1] - before[0] == timedelta(days=28)


def test_the_slow_part_starts_at_the_onset_but_not_before_the_window():
    """Lost: fast traces dilute the slow ones, or spans outside of the window are included."""
    start, end = datetime(2026, 2, 2, tzinfo=UTC), datetime(2026, 2, 9, 15, tzinfo=UTC)
    assert periods(date(2026, 2, 5), start, end)[0] == (datetime(2026, 2, 5, tzinfo=UTC), end)
    assert periods(date(2026, 1, 5), start, end)[0] == (start, end)
    assert periods(date(2026, 1, 5), start, end)[1][1] < datetime(2026, 1, 5, tzinfo=UTC)
    assert periods(None, start, end) == ((start, end), (start - timedelta(days=28), start))


def test_a_slow_server_and_its_tools_have_one_cause():
    """Lost: one slow server is three items, two of them about its tools."""
    tools = ("tool:lookup", "tool:order")
    family = tree(
        (H, -1, 1_000), *((tool, 0, 0) for tool in tools), ("mcp_server:shop", 1, 2_000), ("mcp_server:shop", 2, 2_000)
    )
    after, before = forest_of(traces(family, [Slowdown("mcp_server:shop", 4_000)], 1)), forest_of(traces(family, (), 2))
    slow = [bottleneck("tool", tool.removeprefix("tool:"), 4_000, 3.1) for tool in tools]
    [cause] = causes_of([*slow, bottleneck("mcp_server", "shop", 4_000, 3.0)], after, before)[0]
    assert cause.representative.dimension == ("mcp_server", "shop")
    assert len(cause.members) == 3


def test_one_slow_service_is_named_whatever_its_spans_and_callers_are_called():
    """Lost: a delay in one service is attributed to its callers' filters and generic client spans."""
    named = []
    for seed in range(6):
        made, delay, before, after = service_graphs.delayed(np.random.default_rng([14, seed]))
        found = attribute(after, before, *made.dimension)
        assert found is not None
        named.append(delay.service in line(found, 1).partition(" %")[0])
    assert sum(named) >= 5


def test_what_own_time_is_and_whose_queue_it_is_are_said():
    """Lost: people see "own time 100 %" or "waiting in queue 100 %", and do not know of what."""
    alone = compared(tree((H, -1, 10_000)), tree((H, -1, 90_000)))
    assert line(alone).endswith("own time (no spans below it) 100 %")
    beside = compared(PLAIN, PLAIN, [Slowdown(H, 60_000)])
    assert line(beside).endswith("own time (outside the spans below it) 100 %")
    assert line(compared(PLAIN, PLAIN, [Slowdown(G, 60_000, "queue")])).endswith("waiting in queue of gate:G 100 %")


def test_the_headline_is_about_the_same_numbers_as_the_parts_or_says_otherwise():
    """Lost: people see "-4 s: gate:G 100 %", or +39 s next to parts of +7 s, and ask which is right."""
    part = AddedPart("span", G, 1.0, 1.0, 1.0)
    alike = Attribution("handoff", "H", 41_000.0, 100, 100, (part,), 45_000.0)
    assert line(alike, added_ms=39_400.0) == "handoff:H +39 s: gate:G 100 %"
    apart = Attribution("handoff", "H", 7_500.0, 100, 100, (part,), 9_000.0)
    assert line(apart, added_ms=39_400.0) == "handoff:H +39 s, +7.5 s in the traces compared: gate:G 100 %"
    tail = Attribution("handoff", "H", -400.0, 100, 100, (part,), 12_000.0)
    assert line(tail) == "handoff:H +12 s on average: gate:G 100 %"
