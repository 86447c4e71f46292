"""How a run of the tests is shared between processes, and how it tells of failures and of what it could not test.

Belongs here: hooks of pytest and pytest-xdist. Does not: fixtures (conftest), what a test needs (processes).
"""

import gc
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# What waits longest, longest first: one of these that begins last would keep everybody waiting.
WAITS = (
    "acceptance/test_lifecycle.py",
    "acceptance/test_receiver.py",
    "acceptance/test_embedded_database.py",
    "acceptance/test_demo.py",
    "acceptance/test_claude_code.py",
    "acceptance/test_hook.py",
    "acceptance/test_plain_dagster.py",
)
# What computes longest, longest last: the other end.
COMPUTES = ("integration/test_queue.py", "integration/test_p50.py", "integration/test_analysis_job.py")
FOLDERS = ("/acceptance/", "/unit/", "/integration/")


class TwoEnded(LoadScopeScheduling):
    """Share the tests by file. Half of the processes begin with those that wait, the others with those that compute.

    So a process that waits for another one's clock seldom has only such beside it, and the cores have work to do.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        waits_first = int(node.gateway.id.removeprefix("gw")) % 2 == 0
        chosen = (min if waits_first else max)(self.workqueue, key=rank)
        self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


def scope_of(nodeid: str) -> str:
    """Return what the test is kept together with: its file, and for Claude Code whether hooks run in its sessions."""
    file, _, test = nodeid.partition("::")
    if not file.endswith("/test_claude_code.py"):
        return file
    return file + ("otel" if "[otel-" in test else "hooks")


def rank(scope: str) -> tuple[int, str]:
    """Return where a file stands between the longest wait and the longest computing."""
    order = (*WAITS, *FOLDERS, *COMPUTES)
    for name in (*WAITS, *COMPUTES, *FOLDERS):
        if name in scope:
            return order.index(name), scope
    return len(WAITS), scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Share the tests between processes as suits ours."""
    return TwoEnded(config, log)


def pytest_collection(session: pytest.Session) -> None:
    """Collect no garbage while tests are loaded: nearly all of it stays, and the search takes a fifth of the time."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collect garbage only among what tests make, not again and again among all that was loaded."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


class SaysAtOnce:
    """Tells why a test failed when it does: of a run that is ended from outside, nobody reads a summary."""

    def __init__(self, terminal: Any) -> None:
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a failure below the line of dots."""
        if report.failed:
            self.terminal.ensure_newline()
            self.terminal.write_line(f"FAILED {report.nodeid} ({report.when})\n{report.longreprtext}")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Tell of failures at once, in the process that has the terminal."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(SaysAtOnce(terminal))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not tested here and why: one line per reason, however many tests it stopped."""
    for line in not_tested(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True, bold=True)


def not_tested(skipped: Iterable[Any]) -> list[str]:
    """Return a line per reason, the one that stopped most tests first."""
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ").partition("\n")[0] for report in skipped)
    return [f"NOT TESTED HERE ({count} test{'s' * (count > 1)}): {reason}" for reason, count in reasons.most_common()]
