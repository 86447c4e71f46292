"""Trees of spans, and their critical path."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.families import forest_of
from leo_telemetry_pipeline.analysis.critical_path import Forest, critical_path, rows_of, walk

COLUMNS = ("span_id", "parent_span_id", "span_type", "span_name", "start_time_ms", "end_time_ms")


def spans(*rows: tuple, **columns: list) -> pd.DataFrame:
    """Return a frame from ``type:name`` (also the id), the parent's, start and end in ms."""
    made = [
        (name, parent, name.partition(":")[0], name.partition(":")[2], start, end) for name, parent, start, end in rows
    ]
    frame = pd.DataFrame(made, columns=list(COLUMNS))
    given = {"trace_id": "t", "duration_ms": float("nan"), "queue_wait_ms": float("nan"), **columns}
    return frame.assign(**given)


def path(trees: Forest, top: int = 0) -> dict[str, tuple[float, float]]:
    """Return own and queue time by key of the spans on the critical path."""
    return {trees.keys[step.row]: (step.own_ms, step.queue_ms) for step in critical_path(trees, top)}


def test_sequential_children_are_all_on_the_path_and_gaps_are_own_time():
    """Lost: a handoff is blamed for the time of its gates."""
    found = path(forest_of(spans(("h:H", None, 0, 100), ("g:A", "h:H", 10, 40), ("g:B", "h:H", 50, 90))))
    assert found == {"h:H": (30, 0), "g:A": (30, 0), "g:B": (40, 0)}


def test_of_concurrent_children_the_one_that_ended_last_was_awaited():
    """Lost: time is counted twice, and a fast sub-agent is blamed with the slow one."""
    trees = forest_of(spans(("h:H", None, 0, 100), ("a:FAST", "h:H", 10, 40), ("a:SLOW", "h:H", 10, 90)))
    assert path(trees) == {"h:H": (20, 0), "a:SLOW": (80, 0)}
    assert {trees.keys[step.row]: step.is_awaited for step in walk(trees, 0)} == {
        "h:H": True,
        "a:FAST": False,
        "a:SLOW": True,
    }


def test_spans_below_a_span_that_was_not_awaited_are_not_on_the_path():
    """Lost: the tools of a fast sub-agent are blamed, although the slow one decided."""
    rows = (("h:H", None, 0, 100), ("a:FAST", "h:H", 0, 40), ("x:T", "a:FAST", 0, 40), ("a:SLOW", "h:H", 0, 99))
    assert set(path(forest_of(spans(*rows)))) == {"h:H", "a:SLOW"}


def test_queue_wait_counts_only_after_the_end_of_the_preceding_child():
    """Lost: waiting for a worker looks like work of the parent, or is counted twice."""
    rows = (("h:H", None, 0, 100), ("g:A", "h:H", 0, 40), ("g:B", "h:H", 60, 100))
    assert path(forest_of(spans(*rows, queue_wait_ms=[5, 0, 15])))["g:B"] == (40, 15)
    assert path(forest_of(spans(*rows, queue_wait_ms=[5, 0, 500]))) == {"h:H": (0, 0), "g:A": (40, 0), "g:B": (40, 20)}


def test_an_orphan_becomes_a_child_of_its_traces_root_if_their_times_overlap():
    """Lost: one span that never arrived hides all spans below it."""
    trees = forest_of(spans(("h:H", None, 0, 100), ("a:A", "gone", 20, 80), ("a:LATER", "gone", 200, 900)))
    assert path(trees) == {"h:H": (40, 0), "a:A": (60, 0)}
    assert trees.parents == [-1, 0, -1]


def test_two_roots_of_a_trace_stay_separate():
    """Lost: the second handoff of a trace is taken for a part of the first."""
    assert forest_of(spans(("h:H", None, 0, 100), ("h:I", None, 10, 50))).parents == [-1, -1]


def test_cycles_of_parents_are_broken():
    """Lost: one broken trace hangs an analysis."""
    trees = forest_of(spans(("a:A", "a:C", 0, 10), ("a:B", "a:A", 0, 10), ("a:C", "a:B", 0, 10), ("a:D", "a:D", 0, 9)))
    assert sum(parent < 0 for parent in trees.parents) == 2
    assert sum(step.own_ms for top in (0, 1, 2, 3) for step in critical_path(trees, top)) > 0


def test_a_subtree_with_clock_skew_is_moved_into_its_parent():
    """Lost: a wrong clock makes a remote sub-agent's time the own time of its caller."""
    rows = (("h:H", None, 0, 100), ("a:A", "h:H", 5_010, 5_070), ("x:T", "a:A", 5_020, 5_060))
    trees = forest_of(spans(*rows, host=["one", "two", "two"]))
    assert path(trees) == {"h:H": (40, 0), "a:A": (20, 0), "x:T": (40, 0)}
    assert (trees.start[1], trees.end[1]) == (20, 80)


def test_clock_skew_is_estimated_from_all_traces_of_the_day():
    """Lost: the position of a remote span is guessed, although a hundred traces determine it."""
    rows = [(f"h:{n}", None, n * 1000, n * 1000 + 100) for n in range(2)]
    rows += [("a:0", "h:0", 700, 799), ("a:1", "h:1", 1710, 1730)]
    trees = forest_of(spans(*rows, trace_id=["0", "1", "0", "1"], host=["one", "one", "two", "two"]))
    assert trees.start[3] == pytest.approx(1010, abs=1)


def test_a_moved_span_yields_to_one_with_a_known_time():
    """Lost: a span whose position is a guess seems concurrent with its successor, and drops off the path."""
    rows = (("h:H", None, 0, 100), ("a:REMOTE", "h:H", 1_000, 1_050), ("a:LOCAL", "h:H", 50, 90))
    trees = forest_of(spans(*rows, host=["one", "two", "one"]))
    assert path(trees) == {"h:H": (10, 0), "a:LOCAL": (40, 0), "a:REMOTE": (50, 0)}


def test_a_child_of_the_same_host_that_outlives_its_parent_counts_up_to_the_parents_end():
    """Lost: background work is moved into its parent as if it had been awaited."""
    rows = (("h:H", None, 0, 100), ("a:A", "h:H", 60, 500))
    assert path(forest_of(spans(*rows, host=["one", "one"]))) == {"h:H": (60, 0), "a:A": (40, 0)}


def test_waiting_for_a_person_is_not_judged_time_of_the_parent():
    """Lost: a handoff is slow because a person was at lunch."""
    rows = (("handoff:H", None, 0, 100), ("gate:G", "handoff:H", 0, 60), ("wait:W", "gate:G", 10, 50))
    assert forest_of(spans(*rows)).judged.tolist() == [100, 20, 40]


def test_the_dimension_grammar_selects_the_spans():
    """Lost: the cause of gate+sd_type:G:docs is searched in the traces of all SD types."""
    rows = (("handoff:H", None, 0, 100), ("gate:G", "handoff:H", 0, 60), ("gate:G", "gone", 0, 60))
    kinds = [{"sd_type": "docs"}, {"sd_type": ""}, {"sd_type": "feature"}]
    trees = forest_of(spans(*rows, attributes=kinds))
    assert rows_of(trees, "gate", "G") == [1, 2]
    assert rows_of(trees, "gate+sd_type", "G:docs") == [1]
    assert rows_of(trees, "gate+sd_type", "G:feature") == [2]
    assert rows_of(trees, "sd_type", "docs") == [0]
    assert rows_of(trees, "sd_type", "feature") == []


def test_an_open_span_is_left_out_and_no_spans_give_no_trees():
    """Lost: an analysis fails because a span is still open."""
    assert forest_of(spans(("h:H", None, 0, 100), ("a:A", "h:H", 20, float("nan")))).keys == ["h:H"]
    assert forest_of(spans(("h:H", None, 0, 100)).iloc[:0]).keys == []


def services(*names: str) -> list[dict[str, str]]:
    return [{"service.name": name} for name in names]


def test_a_filter_without_children_takes_no_time_of_the_work_beside_it():
    """Lost: the filter that waits for the work, and ends last, is blamed for a slow service behind it."""
    rows = (
        ("o:ROOT", None, 0, 100),
        ("o:FILTER", "o:ROOT", 1, 99),
        ("o:WORK", "o:ROOT", 2, 98),
        ("o:POST", "o:WORK", 10, 90),
        ("o:SERVER", "o:POST", 20, 80),
    )
    trees = forest_of(spans(*rows, attributes=services("a", "a", "a", "a", "b")))
    own = {key: times[0] for key, times in path(trees).items()}
    assert own == {"o:ROOT": 2, "o:FILTER": 2, "o:WORK": 16, "o:POST": 20, "o:SERVER": 60}
    assert trees.callees == ["", "", "", "b", ""]


def test_asynchronous_work_that_outlives_its_parent_was_not_awaited():
    """Lost: a log appender that ends after the request hides the slow query in it."""
    rows = (
        ("o:POST", None, 0, 100),
        ("o:SERVER", "o:POST", 0, 100),
        ("o:ASYNC", "o:SERVER", 10, 500),
        ("o:SELECT", "o:SERVER", 20, 90),
    )
    trees = forest_of(spans(*rows, attributes=services("a", "b", "b", "b")))
    assert path(trees) == {"o:POST": (0, 0), "o:SERVER": (30, 0), "o:ASYNC": (0, 0), "o:SELECT": (70, 0)}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Draw any trace of up to a dozen spans, with arbitrary clocks and parents."""
    count = draw(st.integers(1, 12))
    moment = st.integers(0, 300)
    starts, lengths = draw(st.lists(moment, min_size=count, max_size=count)), [draw(moment) for _ in range(count)]
    parents = [draw(st.sampled_from([None, "gone", *(f"a:{n}" for n in range(count))])) for _ in range(count)]
    rows = [(f"a:{n}", parents[n], starts[n], starts[n] + lengths[n]) for n in range(count)]
    hosts = [draw(st.sampled_from(["one", "two", None])) for _ in range(count)]
    named = services(*(draw(st.sampled_from(["shop", "cart", ""])) for _ in range(count)))
    return spans(*rows, host=hosts, attributes=named, queue_wait_ms=[draw(moment) for _ in range(count)])


@given(frames())
def test_times_on_the_path_sum_up_to_the_duration_and_are_not_negative(frame):
    """Lost: traces with wrong clocks yield shares of more than 100 %."""
    trees = forest_of(frame)
    for top in range(len(trees.keys)):
        steps = critical_path(trees, top)
        assert sum(step.own_ms + step.queue_ms for step in steps) == pytest.approx(trees.end[top] - trees.start[top])
        assert min(min(step.own_ms, step.queue_ms) for step in steps) >= -1e-9


def test_execution_spans_are_merged_into_their_parents():
    """Lost: two slow tools would have one meaningless cause, the execution of tools."""
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
def test_an_execution_span_without_a_parent_is_kept(above: str | None):
    """Lost: analyses of traces whose spans were sent without their parents."""
    trees = forest_of(spans(("execution:run", above, 0, 100), ("gate:G", "execution:run", 10, 90)))
    assert "gate:G" in trees.keys
