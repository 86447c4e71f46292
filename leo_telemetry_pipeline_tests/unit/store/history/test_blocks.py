"""Which blocks of days there can be, and which are read for a window."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.store.history import blocks
from leo_telemetry_pipeline.store.history.blocks import Block

days = st.dates(date(2020, 1, 1), date(2030, 12, 31))


def row_of(first: date, count: int) -> list[date]:
    return [first + timedelta(n) for n in range(count)]


@given(days)
def test_every_day_lies_in_one_block_of_each_size(day: date):
    """Lost: a late span would leave a block standing that does not have it."""
    around = blocks.around(day)
    assert [block.days for block in around] == list(blocks.SIZES)
    assert all(day in block.all_days for block in around)
    assert all(blocks.around(one)[index] == block for index, block in enumerate(around) for one in block.all_days)


@given(days, st.integers(0, 200), st.sets(st.integers(0, 199)), st.sets(st.integers(0, 199)))
def test_what_is_chosen_for_a_window_is_each_of_its_days_once(
    first: date, count: int, uncounted: set[int], unmade: set[int]
):
    """Lost: days would be counted twice or not at all, the more the longer one looks back."""
    wanted = [day for n, day in enumerate(row_of(first, count)) if n not in uncounted]
    made = [block for n, block in enumerate(blocks.possible(set(row_of(first, 200)))) if n not in unmade]
    chosen, left = blocks.choose(wanted, made)
    assert sorted([*left, *(day for block in chosen for day in block.all_days)]) == wanted


def test_a_season_is_a_few_blocks():
    """Lost: looking back far would cost as much as counting it all again."""
    everything = blocks.possible(set(row_of(date(2024, 1, 1), 1000)))
    for start in range(64):
        chosen, left = blocks.choose(row_of(date(2024, 6, 1) + timedelta(start), 90), everything)
        assert len(chosen) + len(left) <= 16


def test_only_what_is_counted_wholly_can_be_a_block_and_small_ones_come_first():
    """Lost: a block would be made of days that nobody counted, or of blocks that are not there yet."""
    first = blocks.around(date(2026, 2, 9))[-1].first
    counted = set(row_of(first, 64)) - {first + timedelta(9)}
    found = blocks.possible(counted)
    assert all(first + timedelta(9) not in block.all_days for block in found)
    assert [block.days for block in found] == sorted(block.days for block in found)
    assert Block(first + timedelta(32), 32) in found


def test_a_block_is_made_for_the_types_that_lack_it():
    """Lost: a type that is new would have no history, or the others would be added up for ever."""
    block = blocks.around(date(2026, 2, 9))[0]
    counted = {"gate": set(block.all_days), "phase": set(block.all_days), "wait": set(block.all_days[1:])}
    last = block.first + timedelta(1)
    assert blocks.missing(counted, {"gate": {block}}, block.first, last) == {block: ["phase"]}
    assert blocks.missing(counted, {}, block.first, last) == {block: ["gate", "phase"]}
    assert blocks.missing(counted, {}, block.first + timedelta(4), last + timedelta(4)) == {}
