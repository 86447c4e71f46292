"""Notices: counts for the doctor, and the rate limit of the log."""

import logging

import pytest

from leo_telemetry_pipeline.store.intake import REJECTED, WRONG_PROTOCOL, Noticed
from leo_telemetry_pipeline.web.receiver.notices import OTHERS, SOURCE, Notices


class Clock:
    """Clock that advances on request."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged messages."""
    return [record.getMessage() for record in caplog.records]


def test_a_reason_is_logged_at_once_and_then_once_per_minute_with_its_count(caplog: pytest.LogCaptureFixture):
    """Lost: the first sign of a loss; or a full disk from one line per span."""
    clock = Clock()
    notices = Notices(clock)
    with caplog.at_level(logging.WARNING):
        for seconds in range(130):
            clock.now_s = 1000.0 + seconds
            notices.add(REJECTED, "no name", "span(s) rejected: no name", 2)
    assert lines(caplog) == [f"{count} span(s) rejected: no name" for count in (2, 120, 120)]
    assert notices.take() == {Noticed(SOURCE, REJECTED, "no name"): 260}
    assert notices.take() == {}


def test_reasons_do_not_suppress_each_other(caplog: pytest.LogCaptureFixture):
    """Lost: a frequent reason hides a rare one."""
    notices = Notices(Clock())
    with caplog.at_level(logging.WARNING):
        notices.add(REJECTED, "a", "spans a")
        notices.add(REJECTED, "b", "spans b")
        notices.add(WRONG_PROTOCOL, "a", "connections a")
        notices.add(REJECTED, "a", "spans a")
        notices.add(REJECTED, "none", "nothing", 0)
    assert lines(caplog) == ["1 spans a", "1 spans b", "1 connections a"]


def test_counts_that_could_not_be_written_are_kept():
    """Lost: rejections while the database was away."""
    notices = Notices(Clock())
    notices.add(REJECTED, "a", "a", 3)
    taken = notices.take()
    notices.add(REJECTED, "a", "a", 4)
    notices.give_back(taken)
    assert notices.take() == {Noticed(SOURCE, REJECTED, "a"): 7}


def test_unlimited_reasons_are_pooled():
    """Lost: memory, and rows of a table, if each refusal has another text."""
    notices = Notices(Clock())
    for number in range(10_000):
        notices.add(REJECTED, f"reason {number}", "x")
    taken = notices.take()
    assert len(taken) < 300
    assert sum(taken.values()) == 10_000
    assert taken[Noticed(SOURCE, REJECTED, OTHERS)] > 9_000
