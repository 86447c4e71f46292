"""Database privileges: every privilege of every role, and all integration tests with the roles of the guide.

Belongs here: line 1 of issue 12. Does not: the tests (leo_telemetry_pipeline_tests).
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.figures import Figure

LINE = "12.1"
_TESTS = Path(__file__).resolve().parents[1] / "leo_telemetry_pipeline_tests"
_RIGHTS = ("test_closed.py", "test_roles.py")


def parts(full: bool) -> list[str]:
    """Return the names of the parts."""
    return ["rights", "suite"] if full else ["rights"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:  # noqa: ARG001 nothing is random
    """Measure one part."""
    folder = _TESTS / "integration"
    if part == "rights":
        what = "Supabase's lints, and every privilege of nine roles on all our objects"
        yield _figure(what, [str(folder / name) for name in _RIGHTS])
    else:
        what = "integration tests as owner, writer and reader, with row-level security forced"
        yield _figure(what, ["-p", "leo_telemetry_pipeline_tests.as_roles", "--direct", str(folder)])


def _figure(what: str, arguments: list[str]) -> Figure:
    with tempfile.TemporaryDirectory() as results:
        report = Path(results) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--junitxml", str(report), *arguments], cwd=_TESTS.parent
        )
        [suite] = ElementTree.parse(report).getroot().iter("testsuite")
    tests, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    measured = f"{tests - skipped - failed} passed, {failed} failed, {skipped} skipped"
    return Figure(LINE, what, "all pass", measured, done.returncode == 0 and tests > skipped)
