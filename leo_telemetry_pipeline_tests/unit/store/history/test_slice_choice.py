"""Which attributes names are counted by."""

import pytest

from leo_telemetry_pipeline.store.dimensions import MOST_SLICES
from leo_telemetry_pipeline.store.history.slice_choice import MOST_VALUES, MOST_VALUES_KEPT, Values, chosen

GET = ("operation", "GET")


def values(attribute: str, *spans: int, name: str = "GET", of_name: int = 0, others: int = 0) -> Values:
    """Return an attribute whose values have these numbers of spans."""
    return Values(("operation", name, attribute), of_name or sum(spans), spans, len(spans) + others)


@pytest.mark.parametrize(
    ("one", "is_chosen"),
    [
        (values("host", 70, 70, 70, 70), True),
        (values("tenant", 500, 14), True),
        (values("tenant", 500, 13), False),
        (values("host", 70, 70, of_name=200), False),
        (values("session", *[20] * (MOST_VALUES + 1)), False),
        # Neither ids, nor versions of the work itself, nor its outcome.
        *((values(name, 70, 70), False) for name in ("session.id", "service.version", "status", "http.status_code")),
    ],
)
def test_an_attribute_is_chosen_if_it_says_what_work_it_was_in_a_few_words(one: Values, is_chosen: bool):
    """Lost: a slow host is not found, or history fills with values that nobody can judge."""
    assert chosen([one], {}, ()) == ({one.slice_: True} if is_chosen else {})


def test_the_same_division_under_another_name_is_counted_once():
    """Lost: pod, host and instance triple the history and the findings."""
    found = [values("host", 70, 50), values("pod", 70, 50), values("caller", 60, 60)]
    assert {attribute for _, _, attribute in chosen(found, {}, ())} == {"host", "caller"}


def test_the_names_with_the_fewest_spans_are_left_out_once_there_are_too_many():
    """Lost: an installation with thousands of names waits minutes for each analysis, or is not told what is missing."""
    found = [values("host", *[n] * MOST_VALUES, name=f"N{n}") for n in range(100, 100 + MOST_SLICES // MOST_VALUES + 5)]
    made = chosen(found, {}, ())
    assert [name for (_, name, _), is_counted in made.items() if not is_counted] == [
        f"N{n}" for n in range(104, 99, -1)
    ]


def test_a_choice_is_kept_until_the_attribute_turns_out_to_hold_ids():
    """Lost: history with gaps wherever an attribute had one value for a week, or endless values."""
    host = ("operation", "GET", "host")
    assert chosen([], {host: True}, ()) == {host: True}
    assert chosen([values("host", 500, 2, others=MOST_VALUES)], {host: True}, ()) == {host: True}
    assert chosen([values("host", 500, 2, others=MOST_VALUES_KEPT)], {host: True}, ()) == {}


def test_a_type_that_is_counted_for_all_names_is_not_chosen_again():
    """Lost: naming a type in a threshold judges some of its names only."""
    assert chosen([values("host", 70, 70)], {("operation", "PUT", "host"): True}, {"operation+host"}) == {}
