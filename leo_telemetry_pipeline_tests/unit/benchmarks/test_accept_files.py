"""A small run of the acceptance trial of files."""

import pytest

from benchmarks import accept_files


@pytest.mark.parametrize("part", accept_files.parts(full=False))
def test_every_part_holds_in_a_small_run(part: str) -> None:
    """Lost: one span counts twice, a name becomes hex, a remedy does not work, or a conversation is kept."""
    figures = list(accept_files.run(part, 11, full=False))
    assert figures
    assert [figure for figure in figures if not figure.held] == []
