"""Trees out of spans, and which of them a span had to wait for."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.families import forest_of
from leo_telemetry_pipeline.analysis.critical_path import Forest, critical_path, rows_of, walk

COLUMNS = ("span_id", "parent_span_id", "span_type", "span_name", "start_time_ms", "end_time_ms")


def spans(*rows: tuple, **columns: list) -> pd.DataFrame:
    """Make a frame: name, parent's name, start and end in ms; a name is its own id, its type stands before a colon."""
    made = [
        (name, parent, name.partition(":")[0], name.partition(":")[2], start, end) for name, parent, start, end in rows
    ]
    frame = pd.DataFrame(made, columns=list(COLUMNS))
    given = {"trace_id": "t", "duration_ms": float("nan"), "queue_wait_ms": float("nan"), **columns}
    return frame.assign(**given)


def path(trees: Forest, top: int = 0) -> dict[str, tuple[float, float]]:
    """Return own and queue time by key of what is on the critical path."""
    return {trees.keys[step.row]: (step.own_ms, step.queue_ms) for step in critical_path(trees, top)}


def test_children_one_after_another_are_all_on_the_path_and_the_gaps_are_own_time():
    """Lost: a handoff is blamed for what its gates took."""
    found = path(forest_of(spans(("h:H", None, 0, 100), ("g:A", "h:H", 10, 40), ("g:B", "h:H", 50, 90))))
    assert found == {"h:H": (30, 0), "g:A": (30, 0), "g:B": (40, 0)}


def test_of_children_at_once_the_one_that_ended_last_was_waited_for():
    """Lost: time is counted twice, and a quick sub-agent is blamed beside the slow one."""
    trees = forest_of(spans(("h:H", None, 0, 100), ("a:FAST", "h:H", 10, 40), ("a:SLOW", "h:H", 10, 90)))
    assert path(trees) == {"h:H": (20, 0), "a:SLOW": (80, 0)}
    assert {trees.keys[step.row]: step.is_awaited for step in walk(trees, 0)} == {
        "h:H": True,
        "a:FAST": False,
        "a:SLOW": True,
    }


def test_what_lies_below_a_span_that_nobody_waited_for_is_not_on_the_path():
    """Lost: the tools of a quick sub-agent are blamed, though the slow one beside it decided."""
    rows = (("h:H", None, 0, 100), ("a:FAST", "h:H", 0, 40), ("x:T", "a:FAST", 0, 40), ("a:SLOW", "h:H", 0, 99))
    assert set(path(forest_of(spans(*rows)))) == {"h:H", "a:SLOW"}


def test_a_wait_in_queue_counts_only_as_far_as_the_one_before_had_ended():
    """Lost: waiting for a worker looks like work of the parent, or is counted beside the work it waited for."""
    rows = (("h:H", None, 0, 100), ("g:A", "h:H", 0, 40), ("g:B", "h:H", 60, 100))
    assert path(forest_of(spans(*rows, queue_wait_ms=[5, 0, 15])))["g:B"] == (40, 15)
    assert path(forest_of(spans(*rows, queue_wait_ms=[5, 0, 500]))) == {"h:H": (0, 0), "g:A": (40, 0), "g:B": (40, 20)}


def test_a_span_whose_parent_is_lost_hangs_on_the_root_of_its_trace_if_it_lies_in_its_time():
    """Lost: one span that never arrived hides all that was below it."""
    trees = forest_of(spans(("h:H", None, 0, 100), ("a:A", "gone", 20, 80), ("a:LATER", "gone", 200, 900)))
    assert path(trees) == {"h:H": (40, 0), "a:A": (60, 0)}
    assert trees.parents == [-1, 0, -1]


def test_two_outermost_spans_of_a_trace_stay_two():
    """Lost: a second handoff of a trace is taken for a part of the first."""
    assert forest_of(spans(("h:H", None, 0, 100), ("h:I", None, 10, 50))).parents == [-1, -1]


def test_spans_that_are_each_others_parents_have_an_end():
    """Lost: one broken trace holds an analysis for ever."""
    trees = forest_of(spans(("a:A", "a:C", 0, 10), ("a:B", "a:A", 0, 10), ("a:C", "a:B", 0, 10), ("a:D", "a:D", 0, 9)))
    assert sum(parent < 0 for parent in trees.parents) == 2
    assert sum(step.own_ms for top in (0, 1, 2, 3) for step in critical_path(trees, top)) > 0


def test_a_child_on_a_clock_that_is_ahead_is_moved_into_its_parent_with_all_below_it():
    """Lost: a wrong clock makes a remote sub-agent's time the own time of who called it."""
    rows = (("h:H", None, 0, 100), ("a:A", "h:H", 5_010, 5_070), ("x:T", "a:A", 5_020, 5_060))
    trees = forest_of(spans(*rows, host=["one", "two", "two"]))
    assert path(trees) == {"h:H": (40, 0), "a:A": (20, 0), "x:T": (40, 0)}
    assert (trees.start[1], trees.end[1]) == (20, 80)


def test_other_traces_of_the_day_say_how_far_a_clock_is_ahead():
    """Lost: what a remote span overlaps with is guessed, though a hundred traces tell."""
    rows = [(f"h:{n}", None, n * 1000, n * 1000 + 100) for n in range(2)]
    rows += [("a:0", "h:0", 700, 799), ("a:1", "h:1", 1710, 1730)]
    trees = forest_of(spans(*rows, trace_id=["0", "1", "0", "1"], host=["one", "one", "two", "two"]))
    assert trees.start[3] == pytest.approx(1010, abs=1)


def test_a_span_that_was_moved_gives_way_to_one_whose_time_is_known():
    """Lost: what lies amid its parent by guess seems to run beside its successor, and drops off the path."""
    rows = (("h:H", None, 0, 100), ("a:REMOTE", "h:H", 1_000, 1_050), ("a:LOCAL", "h:H", 50, 90))
    trees = forest_of(spans(*rows, host=["one", "two", "one"]))
    assert path(trees) == {"h:H": (10, 0), "a:LOCAL": (40, 0), "a:REMOTE": (50, 0)}


def test_a_child_of_the_same_host_that_outlives_its_parent_counts_up_to_its_end():
    """Lost: work left running in the background moves into its parent as if it had been waited for before."""
    rows = (("h:H", None, 0, 100), ("a:A", "h:H", 60, 500))
    assert path(forest_of(spans(*rows, host=["one", "one"]))) == {"h:H": (60, 0), "a:A": (40, 0)}


def test_a_wait_for_a_person_is_not_judged_time_of_the_span_right_above_it():
    """Lost: a handoff is slow because somebody was at lunch."""
    rows = (("handoff:H", None, 0, 100), ("gate:G", "handoff:H", 0, 60), ("wait:W", "gate:G", 10, 50))
    assert forest_of(spans(*rows)).judged.tolist() == [100, 20, 40]


def test_the_dimension_grammar_says_which_spans_are_looked_at():
    """Lost: the cause of gate+sd_type:G:docs is sought in the traces of all SD types."""
    rows = (("handoff:H", None, 0, 100), ("gate:G", "handoff:H", 0, 60), ("gate:G", "gone", 0, 60))
    kinds = [{"sd_type": "docs"}, {"sd_type": ""}, {"sd_type": "feature"}]
    trees = forest_of(spans(*rows, attributes=kinds))
    assert rows_of(trees, "gate", "G") == [1, 2]
    assert rows_of(trees, "gate+sd_type", "G:docs") == [1]
    assert rows_of(trees, "gate+sd_type", "G:feature") == [2]
    assert rows_of(trees, "sd_type", "docs") == [0]
    assert rows_of(trees, "sd_type", "feature") == []


def test_a_span_without_an_end_is_left_out_and_no_spans_are_no_trees():
    """Lost: an analysis fails because something still runs."""
    assert forest_of(spans(("h:H", None, 0, 100), ("a:A", "h:H", 20, float("nan")))).keys == ["h:H"]
    assert forest_of(spans(("h:H", None, 0, 100)).iloc[:0]).keys == []


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Make any trace of up to a dozen spans, with clocks and parents however wrong."""
    count = draw(st.integers(1, 12))
    moment = st.integers(0, 300)
    starts, lengths = draw(st.lists(moment, min_size=count, max_size=count)), [draw(moment) for _ in range(count)]
    parents = [draw(st.sampled_from([None, "gone", *(f"a:{n}" for n in range(count))])) for _ in range(count)]
    rows = [(f"a:{n}", parents[n], starts[n], starts[n] + lengths[n]) for n in range(count)]
    hosts = [draw(st.sampled_from(["one", "two", None])) for _ in range(count)]
    return spans(*rows, host=hosts, queue_wait_ms=[draw(moment) for _ in range(count)])


@given(frames())
def test_the_times_on_the_path_sum_up_to_the_duration_and_none_is_negative(frame):
    """Lost: shares of more than all, from traces that somebody's clock spoiled."""
    trees = forest_of(frame)
    for top in range(len(trees.keys)):
        steps = critical_path(trees, top)
        assert sum(step.own_ms + step.queue_ms for step in steps) == pytest.approx(trees.end[top] - trees.start[top])
        assert min(min(step.own_ms, step.queue_ms) for step in steps) >= -1e-9


def test_the_running_of_a_span_is_its_own_work_and_what_lies_in_it_lies_in_the_span():
    """Lost: two slow tools would have one cause, the running of tools, which nobody can look at."""
    rows = (
        ("tool:A", None, 0, 100),
        ("execution:run", "tool:A", 0, 100),
        ("execution:inner", "execution:run", 0, 99),
        ("mcp_server:S", "execution:inner", 10, 90),
    )
    trees = forest_of(spans(*rows))
    assert path(trees) == {"tool:A": (20, 0), "mcp_server:S": (80, 0)}
    assert trees.judged.tolist() == [100, 80]


@pytest.mark.parametrize("above", [None, "execution:run", "gone"])
def test_a_running_that_has_no_span_above_it_breaks_nothing(above: str | None):
    """Lost: every analysis of a trace whose spans were sent without their parents."""
    trees = forest_of(spans(("execution:run", above, 0, 100), ("gate:G", "execution:run", 10, 90)))
    assert "gate:G" in trees.keys
