"""Which names are folded: those that hold ids and are too rare to be judged one by one."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from leo_telemetry_pipeline.store.history.name_folding import LEAST_NAMES, NameUse, to_fold

FIRST = date(2026, 2, 2)
ROUTE = ("operation", "GET /users/{id}")


def uses(count: int, spans: int, *, lives: int = 1, days: int = 1) -> Iterator[NameUse]:
    """Yield names of one template, each with ``spans`` over ``lives`` days, all of them within ``days``."""
    for number in range(count):
        first = FIRST + timedelta(days=number % (days - lives + 1))
        last = first + timedelta(days=lives - 1)
        yield NameUse("operation", f"GET /users/{number}", "GET /users/{id}", spans, first, last)


@pytest.mark.parametrize(
    ("names", "is_folded"),
    [
        (uses(90, 1, days=7), True),
        # In less than a week, nightly jobs and shards are seen as rarely; a thousand names are ids.
        (uses(90, 1, days=6), False),
        (uses(1_000, 1), True),
        (uses(90, 2, days=30), True),
        (uses(LEAST_NAMES - 1, 1, days=7), False),
        (uses(90, 3, lives=7, days=7), False),
        # A session of twenty steps is over after a day, however often its id was seen.
        (uses(90, 20, days=30), True),
        (uses(90, 20, days=3), False),
        # Nightly jobs have numbers too, and each has a normal duration of its own.
        (uses(90, 30, lives=30, days=30), False),
        # A job that runs once per week is too rare for that.
        (uses(90, 4, lives=22, days=30), True),
    ],
)
def test_names_are_folded_if_most_are_too_rare_to_be_judged(names: Iterator[NameUse], is_folded: bool):
    """Lost: work whose names hold ids is never judged; or jobs that are told apart by a number are judged as one."""
    assert set(to_fold(names)) == ({ROUTE} if is_folded else set())


def test_a_few_frequent_names_do_not_keep_the_others_from_being_folded():
    """Lost: one busy user would make all others invisible."""
    last = FIRST + timedelta(days=6)
    busy = [NameUse("operation", f"GET /users/9{n}", "GET /users/{id}", 5_000, FIRST, last) for n in range(10)]
    assert set(to_fold([*uses(60, 1), *busy])) == {ROUTE}


def test_types_and_templates_are_decided_one_by_one():
    """Lost: numbered steps of a type would be judged together because other names of that type hold ids."""
    last = FIRST + timedelta(days=6)
    steps = [NameUse("operation", f"step {n}", "step {id}", 900, FIRST, last) for n in range(30)]
    other = [NameUse("tool", f"GET /users/{n}", "GET /users/{id}", 900, FIRST, last) for n in range(30)]
    assert set(to_fold([*uses(60, 1, days=7), *steps, *other])) == {ROUTE}
