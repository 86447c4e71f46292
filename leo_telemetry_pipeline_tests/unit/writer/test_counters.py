"""What a writer counts, and what it can say of the spans before a certain one."""

from collections import deque

from leo_telemetry_pipeline.spool.segments import Segment
from leo_telemetry_pipeline.writer.counters import Tally
from leo_telemetry_pipeline.writer.preparing import Kept
from leo_telemetry_pipeline_tests.builders import span


def test_what_came_later_says_nothing_about_what_came_before() -> None:
    """Lost: a flush that ends with the spans of another thread, and says that its own are safe."""
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
    assert tally.are_kept(position, []), "what is lost came later"
    assert not tally.are_kept(tally.position(0), [])


def test_what_is_on_disk_is_kept_before_it_has_its_end(tmp_path) -> None:
    """Lost: trust in a flush that says no of spans that no kill can take; or in one that says yes of others."""
    tally = Tally()
    hand = tally.take(1)
    on_disk, in_memory = Kept(span(), Segment(tmp_path)), Kept(span(), None, "spool_full")
    assert not tally.are_kept(1, [])
    hand.is_on_disk = True
    assert tally.are_kept(2, [on_disk, in_memory])
    assert not tally.are_kept(3, [on_disk, in_memory])
    assert not tally.have_ended(1)


def test_what_was_given_up_is_counted_once() -> None:
    """Lost: counters that add up, once a disk goes on that had been given up."""
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
