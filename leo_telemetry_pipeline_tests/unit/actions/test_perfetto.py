"""Traces as events of the Perfetto viewer."""

import random
from collections import defaultdict
from typing import Any

from leo_telemetry_pipeline.actions.perfetto import events_of
from leo_telemetry_pipeline.analysis.critical_path import TraceSpan
from leo_telemetry_pipeline.analysis.trace_tree import TraceTree, tree_of

BEGIN = 1_790_000_000_000.0


def span(name: str, parent: str | None, start: float, end: float | None, service: str = "") -> TraceSpan:
    length = None if end is None else end - start
    attributes = {"service.name": service} if service else None
    return TraceSpan("", name, parent, "gate", name, BEGIN + start, None, length, attributes=attributes)


def tree(*spans: TraceSpan) -> TraceTree:
    made = tree_of(spans)
    assert made is not None
    return made


def events(*spans: TraceSpan) -> dict[str, list[dict[str, Any]]]:
    """Return the events of a trace by their phase."""
    by_phase: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events_of(tree(*spans), []):
        by_phase[event["ph"]].append(event)
    return by_phase


def test_times_are_in_microseconds_since_the_epoch() -> None:
    """Lost: the viewer shows hours as milliseconds."""
    [drawn] = events(span("A", None, 0.25, 1000.5))["X"]
    assert (drawn["ts"], drawn["dur"]) == (1_790_000_000_000_250, 1_000_250)


def test_children_are_inside_their_parents_and_concurrent_ones_have_lanes_of_their_own() -> None:
    """Lost: the viewer drops spans that overlap on one lane."""
    made = events(span("R", None, 0, 100), span("A", "R", 0, 60), span("B", "R", 10, 90), span("C", "B", 20, 30))
    lanes = {drawn["name"]: drawn["tid"] for drawn in made["X"]}
    assert lanes == {"R": 1, "A": 1, "B": 2, "C": 2}
    assert [(arrow["tid"], arrow["ts"] - 1_790_000_000_000_000) for arrow in made["s"] + made["f"]] == [
        (1, 10_000),
        (2, 10_000),
    ]
    [tail], [head] = made["s"], made["f"]
    assert (tail["id"], tail["cat"], tail["name"]) == (head["id"], head["cat"], head["name"])
    assert head["bp"] == "e"


def test_services_are_groups_with_names() -> None:
    """Lost: a reader does not see which service worked."""
    made = events(span("R", None, 0, 100, "web"), span("A", "R", 10, 60, "db"))
    names = {event["pid"]: event["args"]["name"] for event in made["M"] if event["name"] == "process_name"}
    assert {drawn["name"]: names[drawn["pid"]] for drawn in made["X"]} == {"R": "web", "A": "db"}
    assert len(made["s"]) == len(made["f"]) == 1


def test_a_lane_is_used_again_once_it_is_free() -> None:
    """Lost: a thousand concurrent calls, one after another, are a thousand lanes."""
    pairs = [span(f"{name}{at}", "R", 10 * at, 10 * at + 8) for at in range(50) for name in "AB"]
    assert {drawn["tid"] for drawn in events(span("R", None, 0, 1000), *pairs)["X"]} == {1, 2}


def test_the_critical_path_and_open_spans_are_marked() -> None:
    """Lost: what decides the duration cannot be searched for in the viewer."""
    drawn = {each["name"]: each for each in events(span("R", None, 0, None), span("A", "R", 10, 60))["X"]}
    assert drawn["A"]["cat"] == "gate,critical path"
    assert drawn["A"]["args"]["on_critical_path_ms"] == 50
    assert drawn["R"]["args"]["has_no_end"]


def test_events_of_a_lane_always_nest() -> None:
    """Lost: in some trace, spans vanish or are drawn at a wrong depth."""
    rng = random.Random(7)
    for _ in range(30):
        spans = [span("0", None, 0, 1000)]
        for number in range(1, 120):
            above = rng.choice(spans)
            begin = above.start_time_ms - BEGIN + rng.choice([0, 0, 5, rng.uniform(-5, 50)])
            end = begin + rng.choice([0, 5, rng.uniform(0, 100)])
            spans.append(span(str(number), above.span_id, max(begin, 0), max(begin, 0) + end - begin))
        lanes = defaultdict(list)
        for drawn in events(*spans)["X"]:
            lanes[drawn["pid"], drawn["tid"]].append((drawn["ts"], drawn["ts"] + drawn["dur"]))
        for intervals in lanes.values():
            ends: list[int] = []
            for begin, end in sorted(intervals, key=lambda each: (each[0], -each[1])):
                while ends and ends[-1] <= begin:
                    ends.pop()
                assert not ends or end <= ends[-1]
                ends.append(end)
