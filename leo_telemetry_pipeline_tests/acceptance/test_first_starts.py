"""First starts that are ended at a random moment: a few of the fifty that ``make accept`` tries."""

import pytest

from benchmarks import accept_starts
from leo_telemetry_pipeline_tests.processes import sees_processes

pytestmark = sees_processes


@pytest.mark.parametrize("part", accept_starts.parts(full=False))
def test_after_a_first_start_that_was_ended_the_next_one_works(part: str) -> None:
    """Lost: a laptop that was closed at a bad moment never analyses again, and the doctor says that all is well."""
    figures = accept_starts.run(part, 11, full=False)
    assert figures
    assert [figure for figure in figures if not figure.held] == []
