"""Sharing a test run between processes, and its report of skipped tests."""

from types import SimpleNamespace

from leo_telemetry_pipeline_tests import sharing
from leo_telemetry_pipeline_tests.claude import truth
from leo_telemetry_pipeline_tests.processes import ROOT


def skipped(file: str, reason: str) -> SimpleNamespace:
    """Return pytest's report of a skipped test."""
    return SimpleNamespace(longrepr=(file, 7, f"Skipped: {reason}"))


def test_skipped_tests_are_reported_once_per_reason():
    """Lost: the one line that matters, among four hundred tests that were skipped without pgbouncer."""
    reports = [skipped(f"test_{number}.py", "pgbouncer is not installed") for number in range(300)]
    reports.insert(5, skipped("test_npm.py", "npm's registry is out of reach (ENOTFOUND)\nsee a log"))
    assert sharing.not_tested(reports) == [
        "NOT TESTED HERE (300 tests): pgbouncer is not installed",
        "NOT TESTED HERE (1 test): npm's registry is out of reach (ENOTFOUND)",
    ]
    assert sharing.not_tested([]) == []


def test_files_are_ordered_from_the_longest_wait_to_the_longest_computation():
    """Lost: minutes in which one process waits for time to pass after all others have finished."""
    tests = ROOT / "leo_telemetry_pipeline_tests"
    assert [name for name in sharing.WAITS + sharing.COMPUTES if not (tests / name).exists()] == []
    wanted = [
        *sharing.WAITS,
        "acceptance/test_a.py",
        "unit/test_d.py",
        "integration/test_c.py",
        *sharing.COMPUTES,
    ]
    scopes = {sharing.scope_of(f"{tests.name}/{name}::test_it[hooks-plain]") for name in wanted}
    order = [scope.partition("/")[2].removesuffix("hooks") for scope in sorted(scopes, key=sharing.rank)]
    assert order == wanted


def test_tests_of_claude_code_that_use_the_same_sessions_run_in_the_same_process():
    """Lost: minutes, if sessions are played one after the other, or twice."""
    scopes = {
        way: sharing.scope_of(f"x/acceptance/test_claude_code.py::test_it[{way}-plain]")
        for ways in truth.SIDE_BY_SIDE
        for way in ways
    }
    together = [[way for way in scopes if scopes[way] == scope] for scope in dict.fromkeys(scopes.values())]
    assert together == [list(ways) for ways in truth.SIDE_BY_SIDE]
    assert len({sharing.scope_of(f"x/unit/test_a.py::test_it[{way}-plain]") for way in ("hooks", "otel")}) == 1
