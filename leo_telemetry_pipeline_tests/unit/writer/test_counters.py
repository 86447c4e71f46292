"""Counters of a writer, and whether all spans before a position are settled."""

from collections import deque

from leo_telemetry_pipeline.spool.segments import Segment
from leo_telemetry_pipeline.writer.counters import Tally
from leo_telemetry_pipeline.writer.preparing import Kept
from leo_telemetry_pipeline_tests.builders import span


def test_later_spans_do_not_settle_earlier_ones() -> None:
    """Lost: a thread's spans, if its flush reports success once those of another thread are stored."""
    tally = Tally()
    first = tally.take(2)
    position = tally.position(0)
    later = tally.take(3)
    tally.settle(later, 3, stored=True)
    assert not tally.have_ended(position)
    assert not tally.are_kept(position, [])
    tally.settle(first, 2, stored=True)
    assert tally.have_ended(position)
    tally.drop(tally.take(1), "invalid", 1)
    assert tally.are_kept(position, []), "the lost span came later"
    assert not tally.are_kept(tally.position(0), [])


def test_spans_on_disk_are_kept_before_they_are_settled(tmp_path) -> None:
    """Lost: nobody can rely on a flush to say whether spans would survive a kill."""
    tally = Tally()
    hand = tally.take(1)
    on_disk, in_memory = Kept(span(), Segment(tmp_path)), Kept(span(), None, "spool_full")
    assert not tally.are_kept(1, [])
    hand.is_on_disk = True
    assert tally.are_kept(2, [on_disk, in_memory])
    assert not tally.are_kept(3, [on_disk, in_memory])
    assert not tally.have_ended(1)


def test_spans_that_were_given_up_are_counted_once() -> None:
    """Lost: counters that add up, when a hanging disk recovers."""
    tally = Tally()
    lost, safe = tally.take(2), tally.take(3)
    safe.is_on_disk = True
    tally.give_up(deque([object()]))
    for late in (lost, safe):
        tally.settle(late, late.count, stored=True)
    assert tally.counters(0) == {
        "created": 6,
        "stored": 0,
        "spooled": 3,
        "dropped": {"out_of_time": 3},
        "queued": 0,
    }
