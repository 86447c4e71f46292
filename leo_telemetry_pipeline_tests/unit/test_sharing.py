"""How a run of the tests is shared between processes, and what it says of tests that it skipped."""

from types import SimpleNamespace

from leo_telemetry_pipeline_tests import sharing
from leo_telemetry_pipeline_tests.processes import ROOT


def skipped(file: str, reason: str) -> SimpleNamespace:
    """Return what pytest reports of a skipped test."""
    return SimpleNamespace(longrepr=(file, 7, f"Skipped: {reason}"))


def test_what_is_not_tested_is_said_once_per_reason():
    """Lost: the one line that matters, among four hundred of tests that pgbouncer was missing for."""
    reports = [skipped(f"test_{number}.py", "pgbouncer is not installed") for number in range(300)]
    reports.insert(5, skipped("test_npm.py", "npm's registry is out of reach (ENOTFOUND)\nsee a log"))
    assert sharing.not_tested(reports) == [
        "NOT TESTED HERE (300 tests): pgbouncer is not installed",
        "NOT TESTED HERE (1 test): npm's registry is out of reach (ENOTFOUND)",
    ]
    assert sharing.not_tested([]) == []


def test_the_longest_waits_begin_first_and_pure_computing_ends_the_other_end():
    """Lost: the minutes in which one process waits for clocks and every other one is done."""
    tests = ROOT / "leo_telemetry_pipeline_tests"
    assert [name for name in sharing.LONGEST if not (tests / name).exists()] == []
    ids = [f"{tests.name}/{name}::test_it[embedded]" for name in ("unit/test_a.py", "acceptance/test_b.py")]
    ids += [f"{tests.name}/{name}::test_it[both-plain]" for name in ("integration/test_c.py", sharing.LONGEST[0])]
    order = sorted(map(sharing.scope_of, ids), key=sharing.rank)
    assert [scope.partition("/")[2] for scope in order] == [
        f"{sharing.LONGEST[0]}both",
        "acceptance/test_b.py",
        "integration/test_c.py",
        "unit/test_a.py",
    ]
