"""Counters of writers that ended while the database was away."""

import fcntl
from pathlib import Path

import pytest

from leo_telemetry_pipeline.spool import leftover_counters
from leo_telemetry_pipeline.spool.spool import SpoolError
from leo_telemetry_pipeline_tests.draining import drain
from leo_telemetry_pipeline_tests.unit.spool.stores import away, noted


def test_counters_are_left_for_the_next_drain(spool, folder):
    """Lost: nobody learns what became of the spans of a program that ended."""
    spool.keep_counters({"created": 3, "dropped": {"queue_full": 1}})
    spool.keep_counters({"created": 2})
    assert drain(folder, away).counters == []
    assert [one["created"] for one in drain(folder, away, note=noted).counters] == [3, 2]
    assert drain(folder, away, note=noted).counters == []


def test_counters_that_arrive_while_others_are_recorded_stay(spool, folder):
    """Lost: the counters of a program that ends at that moment, or its time, spent waiting for a database."""
    spool.keep_counters({"created": 3})
    drain(folder, away, note=lambda done: spool.keep_counters({"created": 2}))
    assert drain(folder, away, note=noted).counters == [{"created": 2}]


def test_counters_truncated_by_a_full_disk_do_not_affect_others(spool, folder):
    """Lost: the counters of the next program that ends."""
    spool.keep_counters({"created": 3})
    path = Path(folder) / leftover_counters.NAME
    path.write_bytes(path.read_bytes()[:-5])
    spool.keep_counters({"created": 2})
    assert drain(folder, away, note=noted).counters == [{"created": 2}]


def test_leaving_counters_does_not_wait_long_for_a_lock(spool, folder):
    """Lost: a program cannot end while another process holds the counters."""
    spool.keep_counters({"created": 3})
    with (Path(folder) / leftover_counters.NAME).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SpoolError, match="spool_unavailable"):
            spool.keep_counters({"created": 2})
        assert drain(folder, away, note=noted).counters == []
    assert drain(folder, away, note=noted).counters == [{"created": 3}]
