"""Possible blocks of days, and those chosen for a window."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.store.history import blocks
from leo_telemetry_pipeline.store.history.blocks import Block

days = st.dates(date(2020, 1, 1), date(2030, 12, 31))


def row_of(first: date, count: int) -> list[date]:
    return [first + timedelta(n) for n in range(count)]


@given(days)
def test_every_day_is_in_one_block_of_each_size(day: date):
    """Lost: late spans, in blocks that were not deleted."""
    around = blocks.around(day)
    assert [block.days for block in around] == list(blocks.SIZES)
    assert all(day in block.all_days for block in around)
    assert all(blocks.around(one)[index] == block for index, block in enumerate(around) for one in block.all_days)


@given(days, st.integers(0, 200), st.sets(st.integers(0, 199)), st.sets(st.integers(0, 199)))
def test_the_blocks_chosen_for_a_window_cover_each_day_once(
    first: date, count: int, uncounted: set[int], unmade: set[int]
):
    """Lost: correct sums over long windows."""
    wanted = [day for n, day in enumerate(row_of(first, count)) if n not in uncounted]
    made = [block for n, block in enumerate(blocks.possible(set(row_of(first, 200)))) if n not in unmade]
    chosen, left = blocks.choose(wanted, made)
    assert sorted([*left, *(day for block in chosen for day in block.all_days)]) == wanted


def test_ninety_days_need_few_blocks():
    """Lost: the speed of long windows."""
    everything = blocks.possible(set(row_of(date(2024, 1, 1), 1000)))
    for start in range(64):
        chosen, left = blocks.choose(row_of(date(2024, 6, 1) + timedelta(start), 90), everything)
        assert len(chosen) + len(left) <= 16


def test_blocks_need_all_their_days_and_small_ones_come_first():
    """Lost: days that were not counted, or smaller blocks not made yet."""
    first = blocks.around(date(2026, 2, 9))[-1].first
    counted = set(row_of(first, 64)) - {first + timedelta(9)}
    found = blocks.possible(counted)
    assert all(first + timedelta(9) not in block.all_days for block in found)
    assert [block.days for block in found] == sorted(block.days for block in found)
    assert Block(first + timedelta(32), 32) in found


def test_a_block_is_made_for_the_types_that_lack_it():
    """Lost: the history of a new type; or time, making the same blocks again."""
    block = blocks.around(date(2026, 2, 9))[0]
    counted = {"gate": set(block.all_days), "phase": set(block.all_days), "wait": set(block.all_days[1:])}
    last = block.first + timedelta(1)
    assert blocks.missing(counted, {"gate": {block}}, block.first, last) == {block: ["phase"]}
    assert blocks.missing(counted, {}, block.first, last) == {block: ["gate", "phase"]}
    assert blocks.missing(counted, {}, block.first + timedelta(4), last + timedelta(4)) == {}
