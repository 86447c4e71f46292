"""Time in which the machine did not run this process is not waited for."""

import time

from leo_telemetry_pipeline.writer import patience


def test_a_wait_that_returns_far_too_late_counts_as_a_short_one():
    """Lost: the spans of programs that end on a busy machine, whose seconds pass without them."""
    assert patience.passed(lambda _: time.sleep(0.2), 0.01) == 0.02
    assert 0.01 <= patience.passed(time.sleep, 0.01) <= 0.02


def test_waiting_ends_with_success_or_when_the_time_was_really_waited_for():
    """Lost: an exit that ends too early, or never."""
    asked: list[float] = []

    def never(timeout_s: float) -> bool:
        asked.append(timeout_s)
        time.sleep(timeout_s)
        return False

    assert not patience.succeeds(never, 0.12)
    assert asked[0] == 0
    assert 0.06 <= sum(asked) <= 0.15
    answers = iter([False, False, True])
    assert patience.succeeds(lambda _: next(answers), 60)
