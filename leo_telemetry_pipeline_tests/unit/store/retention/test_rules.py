"""Rules of retention: when a day is sealed, archived and dropped, decided by dates alone."""

from datetime import UTC, date, datetime, timedelta

import pytest

from leo_telemetry_pipeline.store.days import DAY, midnight
from leo_telemetry_pipeline.store.retention.rules import (
    Day,
    Limit,
    Part,
    Sealed,
    is_due,
    is_to_seal,
    may_drop,
    near,
    to_archive,
)

TODAY = date(2026, 8, 1)
LIMIT = Limit(TODAY, 90)
FIRST_KEPT = TODAY - 90 * DAY
OLD = FIRST_KEPT - DAY


def at(day: date) -> datetime:
    """Return a moment within a day."""
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC)


def part(number: int = 1, *, before: datetime | None = None, **more) -> Sealed:
    """Return a sealed part that is neither archived nor dropped."""
    values = {"spans": 5, "archived": False, "dropped": False, "restored_at": None} | more
    return Sealed(Part(OLD, number, None, before or at(OLD + 2 * DAY), "id"), **values)


def stored(*parts: Sealed, day: date = OLD, newest: datetime | None = None) -> Day:
    """Return a day of five spans that arrived on the day itself."""
    return Day(day, 5, newest or at(day), parts)


@pytest.mark.parametrize(
    ("day", "newest", "due"),
    [
        (OLD, at(OLD), True),
        (FIRST_KEPT, at(FIRST_KEPT), False),
        (OLD, midnight(FIRST_KEPT) - timedelta.resolution, True),
        (OLD, midnight(FIRST_KEPT), False),
        (date(1970, 1, 1), at(TODAY), False),
        (date(1970, 1, 1), at(OLD), True),
    ],
)
def test_a_day_is_due_when_it_and_its_last_import_are_older_than_the_limit(
    day: date, newest: datetime, due: bool
) -> None:
    """Lost: spans of last year that were imported yesterday."""
    assert is_due(stored(day=day, newest=newest), LIMIT) is due


def test_a_restored_day_is_kept_as_long_as_an_import_of_the_same_time() -> None:
    """Lost: spans that somebody restored for inspection are dropped the following night."""
    assert not is_due(stored(part(restored_at=at(TODAY - 3 * DAY))), LIMIT)
    assert is_due(stored(part(restored_at=at(OLD))), LIMIT)


def test_a_day_without_spans_is_due_by_its_age_alone() -> None:
    """Lost: empty partitions pile up forever."""
    assert is_due(Day(OLD, 0, None), LIMIT)
    assert may_drop(Day(OLD, 0, None), LIMIT, archives=True)
    assert not is_due(Day(FIRST_KEPT, 0, None), LIMIT)


def test_a_day_is_sealed_a_week_before_it_may_be_dropped_and_again_when_it_is_dropped() -> None:
    """Lost: handoffs that a later recount of a nearby day needs; or disk space, with one file per late span."""
    last_sealed = FIRST_KEPT + 6 * DAY
    assert is_to_seal(stored(day=last_sealed), LIMIT)
    assert not is_to_seal(stored(day=last_sealed + DAY), LIMIT)
    assert not is_to_seal(stored(part(), day=last_sealed, newest=at(TODAY)), LIMIT)
    assert is_to_seal(stored(part(before=midnight(OLD)), newest=at(OLD)), LIMIT)
    assert not is_to_seal(stored(part()), LIMIT)
    assert not is_to_seal(Day(OLD, 0, None), LIMIT)


def test_a_day_is_dropped_only_when_all_of_it_is_sealed_and_if_configured_archived() -> None:
    """Lost: spans that came between the seal and the drop, or whose file was never written."""
    assert not may_drop(stored(), LIMIT, archives=False)
    assert not may_drop(stored(part(before=at(OLD))), LIMIT, archives=False)
    assert may_drop(stored(part()), LIMIT, archives=False)
    assert not may_drop(stored(part()), LIMIT, archives=True)
    assert not may_drop(stored(part(archived=True), part(2)), LIMIT, archives=True)
    assert may_drop(stored(part(archived=True), part(2, archived=True)), LIMIT, archives=True)


def test_a_part_that_was_archived_or_dropped_gets_no_second_file() -> None:
    """Lost: the good file of a day is overwritten by an empty one."""
    day = stored(part(archived=True), part(2, dropped=True), part(3))
    assert [each.number for each in to_archive(day)] == [3]


def test_days_near_one_that_could_not_be_sealed_are_kept() -> None:
    """Lost: handoffs that a day needs for its next recount."""
    assert near(OLD, [OLD + 7 * DAY])
    assert near(OLD, [OLD - 7 * DAY])
    assert not near(OLD, [OLD + 8 * DAY])
    assert not near(OLD, [])
