"""Parts of lists."""

from datetime import UTC, datetime

import pytest

from leo_telemetry_pipeline.web.dashboard import listing
from leo_telemetry_pipeline.web.dashboard.page import Missing


def test_a_part_ends_where_the_next_one_begins():
    """Lost: a row is shown twice, or never."""
    part = listing.cut(range(51), lambda number: (number % 2 == 0, number))
    assert (part.rows[-1], part.place) == (49, "False~49")
    assert listing.cut(range(50), lambda number: (number,)).place == ""
    assert listing.parsed(part.place, (listing.truth, int)) == (False, 49)


def test_a_place_survives_its_link():
    """Lost: "Next" leads to an error."""
    moment = datetime(2026, 2, 9, 12, 0, 0, 1, tzinfo=UTC)
    text = listing.written((True, moment, "a~b"))
    assert listing.parsed(text, (listing.truth, listing.moment, str)) == (True, moment, "a~b")
    assert listing.parsed("", (str,)) is None


@pytest.mark.parametrize("text", ["x", "yes~1", "True", "True~x"])
def test_a_mistyped_place_is_missing(text: str):
    """Lost: a mistyped address makes the server fail."""
    with pytest.raises(Missing):
        listing.parsed(text, (listing.truth, int))


def test_a_name_has_a_type_and_a_key_that_may_contain_colons():
    """Lost: dimensions such as gate+sd_type cannot be opened."""
    assert listing.dimension("gate+sd_type:A:b") == ("gate+sd_type", "A:b")
    assert listing.dimension("") is None
    with pytest.raises(Missing):
        listing.dimension("gate")
