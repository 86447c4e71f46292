"""Time-outs count only time in which the machine ran this process."""

import time

from leo_telemetry_pipeline.writer import patience


def test_a_wait_that_returns_far_too_late_counts_as_a_short_one():
    """Lost: spans of programs that end on a busy machine, whose time-outs pass while they do not run."""
    assert 0.02 <= patience.passed(lambda _: time.sleep(0.5), 0.01) < 0.25
    assert 0.01 <= patience.passed(time.sleep, 0.01) < 0.25


def test_time_in_which_the_process_computes_counts_however_late_the_wait_returns():
    """Lost: an exit within its limit, if other threads keep the interpreter busy."""

    def work(_: float) -> None:
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass

    assert patience.passed(work, 0.01) >= 0.3


def test_waiting_ends_with_success_or_when_the_whole_time_was_waited():
    """Lost: an exit ends too early, or never."""
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
