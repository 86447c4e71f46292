"""One trace as a tree: critical path, folding, lost parents, open spans, and how much of it is shown."""

from typing import Any

import pytest

from leo_telemetry_pipeline.analysis.critical_path import TraceSpan
from leo_telemetry_pipeline.analysis.trace_tree import Line, TraceTree, lines_of, spent, time_by_step, tree_of


def span(name: str, parent: str | None, start: float, end: float | None, **more: Any) -> TraceSpan:
    """Return a span whose id is its ``type:name``, or ``id`` if given."""
    span_type, _, own = name.partition(":")
    length = None if end is None else end - start
    span_id = more.pop("span_id", name)
    return TraceSpan("t", span_id, parent, span_type, own, start, end, length, **more)


def tree(*spans: TraceSpan, now_ms: float | None = None) -> TraceTree:
    made = tree_of(spans, now_ms)
    assert made is not None
    return made


def shown(made: TraceTree, most: int = 100, **more: Any) -> list[tuple[int, str, int]]:
    """Return depth, name and number of spans of each line; the name of a rest begins with a plus sign."""
    return [
        (line.depth, ("+" if line.is_rest else "") + made.forest.keys[line.row], line.count)
        for line in lines_of(made, most, **more)
    ]


def line_of(made: TraceTree, name: str) -> Line:
    return next(line for line in lines_of(made, 1000) if made.forest.keys[line.row] == name)


def calls(count: int, name: str = "tool:Read", parent: str = "h:H", length: float = 1) -> list[TraceSpan]:
    """Return consecutive calls below one span, each a bit longer than the one before."""
    return [span(name, parent, at * 2, at * 2 + length + at / 1000, span_id=f"{name}{at}") for at in range(count)]


def test_children_are_below_their_parents_in_the_order_of_their_starts() -> None:
    """Lost: a reader cannot follow what happened."""
    made = tree(
        span("g:B", "h:H", 50, 90), span("x:T", "g:B", 60, 70), span("h:H", None, 0, 100), span("g:A", "h:H", 1, 9)
    )
    assert shown(made) == [(0, "h:H", 1), (1, "g:A", 1), (1, "g:B", 1), (2, "x:T", 1)]


def test_the_critical_path_is_marked_with_the_time_that_each_span_adds() -> None:
    """Lost: nobody sees which of two concurrent steps to make faster."""
    made = tree(span("h:H", None, 0, 100), span("a:FAST", "h:H", 0, 40), span("a:SLOW", "h:H", 0, 90))
    assert {made.forest.keys[line.row]: line.path_ms for line in lines_of(made, 9) if line.is_on_path} == {
        "h:H": 10,
        "a:SLOW": 90,
    }
    assert time_by_step(made) == {"h:H": 10, "a:SLOW": 90}


def test_waiting_for_a_person_and_in_queues_is_apart_from_working() -> None:
    """Lost: a person at lunch looks like slow work."""
    made = tree(span("h:H", None, 0, 100), span("wait:ok", "h:H", 0, 30), span("g:A", "h:H", 50, 100, queue_wait_ms=15))
    assert (spent(made).working, spent(made).waiting, spent(made).queued) == (55, 30, 15)
    assert time_by_step(made) == {"h:H": 5, "wait:ok": 30, "g:A": 50, "queue of g:A": 15}


@pytest.mark.parametrize(("count", "lines"), [(20, 21), (21, 2)])
def test_more_than_20_siblings_of_one_name_are_one_line(count: int, lines: int) -> None:
    """Lost: a thousand calls of one tool hide everything else."""
    made = tree(span("h:H", None, 0, 1000), *calls(count))
    assert len(shown(made)) == lines
    folded = line_of(made, "tool:Read")
    assert folded.count == count or lines > 2
    assert made.span(folded.row).span_id == "tool:Read20" or lines > 2


def test_a_folded_line_says_how_long_its_spans_took_in_all() -> None:
    """Lost: many short calls that add up to the most time stay unnoticed."""
    made = tree(span("h:H", None, 0, 1000), *calls(30, length=2))
    folded = line_of(made, "tool:Read")
    assert folded.sum_ms == pytest.approx(60 + 0.435)
    assert made.length(folded.row) == pytest.approx(2.029)
    assert (folded.start, folded.end) == (0, pytest.approx(60.029))


def test_a_folded_line_opens_with_its_longest_spans_first() -> None:
    """Lost: the one slow call of a thousand cannot be found."""
    made = tree(span("h:H", None, 0, 1000), *calls(30), *calls(3, "tool:Bash"))
    opened = shown(made, 6, under=made.root, name="tool:Read")
    assert opened == [(0, "h:H", 1), *[(1, "tool:Read", 1)] * 5, (1, "+tool:Read", 25)]
    starts = [line.start for line in lines_of(made, 6, under=made.root, name="tool:Read")]
    assert starts[1:6] == [50, 52, 54, 56, 58]


def test_what_is_not_shown_is_counted_and_can_be_shown_next() -> None:
    """Lost: spans beyond the first five hundred cannot be reached."""
    many = [span(f"tool:{at}", "h:H", at, at + 1) for at in range(50)]
    made = tree(span("h:H", None, 0, 1000), *many)
    seen: set[str] = set()
    lines = lines_of(made, 11)
    while lines[-1].is_rest:
        rest = lines[-1]
        assert (rest.parent, rest.depth) == (made.root, 1)
        seen |= {made.forest.keys[line.row] for line in lines[1:-1]}
        assert rest.count == 50 - len(seen)
        lines = lines_of(made, 11, under=rest.parent, after=rest.after)
    seen |= {made.forest.keys[line.row] for line in lines[1:]}
    assert seen == {f"tool:{at}" for at in range(50)}


def test_the_critical_path_comes_before_longer_spans() -> None:
    """Lost: in a large trace, what decides the duration is not on the page."""
    made = tree(
        span("h:H", None, 0, 100),
        span("a:LATE", "h:H", 95, 100),
        *[span(f"x:{at}", "h:H", 0, 98 - at / 100) for at in range(40)],
    )
    assert (1, "a:LATE", 1) in shown(made, 2)


def test_a_span_with_a_lost_parent_is_below_the_longest_root() -> None:
    """Lost: one span that never arrived tears its trace apart."""
    made = tree(span("h:H", None, 0, 100), span("g:A", "gone", 10, 20), span("o:other", None, 200, 210))
    assert shown(made) == [(0, "h:H", 1), (1, "g:A", 1), (0, "o:other", 1)]
    assert made.span(made.root).span_id == "h:H"


def test_a_trace_without_any_root_is_shown() -> None:
    """Lost: a trace whose root has not arrived looks as if it did not exist."""
    assert shown(tree(span("g:A", "gone", 10, 20), span("g:B", "gone", 30, 60))) == [(0, "g:A", 1), (0, "g:B", 1)]


def test_spans_that_are_each_others_parents_are_shown() -> None:
    """Lost: a bad exporter makes the page run forever."""
    assert len(shown(tree(span("g:A", "g:B", 10, 20), span("g:B", "g:A", 10, 20)))) == 2


def test_a_clock_that_is_wrong_does_not_move_a_child_out_of_its_parent() -> None:
    """Lost: a step on another host seems to begin before it was called."""
    made = tree(
        span("h:H", None, 1000, 2000, attributes={"host": "a"}),
        span("g:A", "h:H", 500, 1300, attributes={"host": "b"}),
    )
    line = line_of(made, "g:A")
    assert (line.start, line.end) == (1100, 1900)


def test_a_span_without_an_end_lasts_as_long_as_its_trace() -> None:
    """Lost: what hangs is missing from the picture of what happened."""
    made = tree(span("h:H", None, 0, None), span("g:A", "h:H", 10, 80))
    assert [made.forest.keys[row] for row in made.unended] == ["h:H"]
    assert line_of(made, "h:H").end == 80
    running = tree(span("h:H", None, 0, None), span("g:A", "h:H", 10, 80), now_ms=500)
    assert line_of(running, "h:H").end == 500


def test_no_spans_make_no_tree() -> None:
    """Lost: the page of an unknown trace is an error of ours."""
    assert tree_of([]) is None


def test_a_deep_trace_is_no_deeper_than_the_stack() -> None:
    """Lost: recursive work ends in an error instead of a page."""
    deep = [span(f"x:{at}", f"x:{at - 1}" if at else None, at / 10, 1000 - at / 10) for at in range(3000)]
    assert len(shown(tree(*deep), 5000)) == 3000
