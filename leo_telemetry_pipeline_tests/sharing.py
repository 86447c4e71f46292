"""Sharing a test run between processes, and reporting failures and skipped tests.

Belongs here: hooks of pytest and pytest-xdist. Does not: fixtures (conftest), helpers of tests (processes).
"""

import gc
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Files that wait longest, longest first: if one of these began last, all other processes would wait for it.
WAITS = (
    "acceptance/test_lifecycle.py",
    "acceptance/test_receiver_attacks.py",
    "acceptance/test_demo.py",
    "acceptance/test_claude_code.py",
    "acceptance/test_receiver.py",
    "acceptance/test_hook.py",
    "acceptance/test_plain_dagster.py",
)
# Files that compute longest, longest last.
COMPUTES = ("integration/test_daily.py", "integration/test_learning.py", "integration/test_interleavings.py")
FOLDERS = ("/acceptance/", "/unit/", "/integration/")


class TwoEndedScheduling(LoadScopeScheduling):
    """A scheduler by file: half of the processes begin with files that wait, the others with files that compute.

    So while some processes wait, others keep the cores busy.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        waits_first = int(node.gateway.id.removeprefix("gw")) % 2 == 0
        chosen = (min if waits_first else max)(self.workqueue, key=rank)
        self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


def scope_of(nodeid: str) -> str:
    """Return the unit by which a test is shared: its file; for Claude Code also whether its sessions have hooks."""
    file, _, test = nodeid.partition("::")
    if not file.endswith("/test_claude_code.py"):
        return file
    return file + ("otel" if "[otel-" in test else "hooks")


def rank(scope: str) -> tuple[int, str]:
    """Return the position of a file between the longest wait and the longest computation."""
    order = (*WAITS, *FOLDERS, *COMPUTES)
    for name in (*WAITS, *COMPUTES, *FOLDERS):
        if name in scope:
            return order.index(name), scope
    return len(WAITS), scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Share the tests between processes from two ends."""
    return TwoEndedScheduling(config, log)


def pytest_collection(session: pytest.Session) -> None:
    """Collect no garbage while tests are loaded: nearly all of it stays, and the search takes a fifth of the time."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exclude everything loaded so far from garbage collection, and collect less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


class FailureReporter:
    """A report of each failure at once, because a run that is ended from outside prints no summary."""

    def __init__(self, terminal: Any) -> None:
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a failure below the line of dots."""
        if report.failed:
            self.terminal.ensure_newline()
            self.terminal.write_line(f"FAILED {report.nodeid} ({report.when})\n{report.longreprtext}")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Report failures at once, in the process that has the terminal."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(FailureReporter(terminal))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what was not tested and why, one line per reason."""
    for line in not_tested(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True, bold=True)


def not_tested(skipped: Iterable[Any]) -> list[str]:
    """Return one line per reason, the most frequent first."""
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ").partition("\n")[0] for report in skipped)
    return [f"NOT TESTED HERE ({count} test{'s' * (count > 1)}): {reason}" for reason, count in reasons.most_common()]
