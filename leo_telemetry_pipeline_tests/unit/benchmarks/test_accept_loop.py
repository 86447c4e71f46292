"""A small run of the simulated repairs of the acceptance trial of the loop."""

from benchmarks import accept_loop


def test_the_intervals_of_effects_hold_the_true_ones_also_when_days_resemble_their_neighbours() -> None:
    """Lost: an effect that people quote would be wrong more often than it says."""
    [figure] = accept_loop.run(accept_loop.SIMULATED, 11, full=False)
    assert figure.held, figure
