"""All that ``dev`` opens, attacked by pages of other origins in Chromium, by the small form of the trial."""

from benchmarks import accept_browser, browser
from leo_telemetry_pipeline_tests.processes import need, sees_processes

pytestmark = sees_processes


def test_pages_of_other_origins_can_do_nothing_and_the_uis_own_pages_everything():
    """Lost: any web page that its user happens to visit starts runs, wipes assets, reads and forges measurements."""
    need(browser.program(), "Chromium is not installed")
    missed = [figure for figure in accept_browser.run("all", 11, full=False) if not figure.held]
    assert missed == []
