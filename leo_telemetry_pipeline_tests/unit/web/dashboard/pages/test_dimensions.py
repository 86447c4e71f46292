"""What a list of dimensions is asked for."""

import pytest

from leo_telemetry_pipeline.web.dashboard import listing
from leo_telemetry_pipeline.web.dashboard.page import Missing
from leo_telemetry_pipeline.web.dashboard.pages.dimensions import selection


@pytest.mark.parametrize("place", [(0.1 + 0.2, 1e300, "gate", "A b:c~d"), (0.0, 0.5, "gate+sd_type", "::")])
def test_a_place_survives_its_address(place: tuple[float, float, str, str]):
    """Lost: the next page skips or repeats dimensions, by a rounded number or a name with spaces."""
    value, total, *name = place
    assert selection({"after": listing.written((value, total, ":".join(name)))}).after == place


@pytest.mark.parametrize("words", ["1", "1~2", "x~1~a:b"])
def test_an_edited_place_is_refused(words: str):
    """Lost: an edited address is an error of the server."""
    with pytest.raises(Missing, match="from its start"):
        selection({"after": words})


def test_unknown_words_count_as_not_given():
    """Lost: an edited address is an error of the server."""
    asked = selection({"sort": "x; DROP", "outcome": "x", "q": "  a b "})
    assert (asked.sort, asked.outcome, asked.text) == ("lost", "", "a b")
