"""The trial of files at full size, in its small form."""

import pytest

from benchmarks import accept_files


@pytest.mark.parametrize("part", accept_files.parts(full=False))
def test_what_is_asked_for_holds_in_small(part: str) -> None:
    """Lost: one span counts twice, a name becomes hex, a remedy does not mend, or a conversation is kept."""
    figures = list(accept_files.run(part, 11, full=False))
    assert figures
    assert [figure for figure in figures if not figure.held] == []
