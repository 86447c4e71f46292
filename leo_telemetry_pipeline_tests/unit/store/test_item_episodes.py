"""Episodes of an item from its transitions."""

from datetime import UTC, datetime

from leo_telemetry_pipeline.store.item_episodes import episodes


def at(day: int) -> datetime:
    """Return a moment."""
    return datetime(2026, 2, day, tzinfo=UTC)


def spans(*rows: tuple[str, int, str, datetime]) -> list[tuple[int, int, int | None, str]]:
    """Return number, opening day, closing day and last state of each episode."""
    found = episodes({"a": "A", "b": "B"}, rows)
    return [(one.number, one.opened_at.day, one.closed_at and one.closed_at.day, one.status) for one in found]


def test_an_episode_lasts_from_its_opening_to_its_last_transition_if_that_closed_it():
    """Lost: the chart shows an item as open that is done, or the other way round."""
    rows = [("a", 1, "OPEN", at(1)), ("a", 1, "ACKNOWLEDGED", at(2)), ("a", 1, "RESOLVED", at(5))]
    assert spans(*rows) == [(1, 1, 5, "RESOLVED")]
    assert spans(*rows[:2]) == [(1, 1, None, "ACKNOWLEDGED")]
    assert spans(*rows, ("a", 2, "OPEN", at(9))) == [(1, 1, 5, "RESOLVED"), (2, 9, None, "OPEN")]


def test_a_fix_without_effect_ends_an_episode_where_the_next_begins():
    """Lost: two open episodes of one item at once."""
    rows = [("a", 1, "OPEN", at(1)), ("a", 1, "VERIFYING", at(4)), ("a", 2, "OPEN", at(6)), ("b", 1, "OPEN", at(7))]
    assert spans(*rows) == [(1, 1, 6, "VERIFYING"), (2, 6, None, "OPEN"), (1, 7, None, "OPEN")]
