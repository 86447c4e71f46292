"""What a list of dimensions is asked for."""

import pytest

from leo_telemetry_pipeline.web.dashboard.pages.dimensions import place_in_words, selection


@pytest.mark.parametrize("place", [(0.1 + 0.2, 1e300, "gate", "A b:c d"), (0.0, 0.5, "gate+sd_type", "::")])
def test_a_place_survives_its_address(place: tuple[float, float, str, str]):
    """Lost: the next page skips or repeats dimensions, by a rounded number or a name with spaces."""
    assert selection({"after": place_in_words(place)}).after == place


@pytest.mark.parametrize("words", ["", "1", "1 2", "1 2 gate", "nan 1 a:b", "1 inf a:b", "x 1 a:b"])
def test_what_is_no_place_is_the_beginning(words: str):
    """Lost: an edited address is an error of the server."""
    assert selection({"after": words}).after is None


def test_unknown_words_count_as_not_given():
    """Lost: an edited address is an error of the server."""
    asked = selection({"sort": "x; DROP", "outcome": "x", "q": "  a b "})
    assert (asked.sort, asked.outcome, asked.text) == ("lost", "", "a b")
