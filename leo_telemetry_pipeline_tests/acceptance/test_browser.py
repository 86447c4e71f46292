"""The ports of ``dev``, attacked by pages of other origins in Chromium: a small run of the acceptance trial."""

from benchmarks import accept_browser, browser
from leo_telemetry_pipeline_tests.processes import need, sees_processes

pytestmark = sees_processes


def test_pages_of_other_origins_can_do_nothing_and_the_uis_own_pages_everything():
    """Lost: any web page that the user visits can start runs, wipe assets, read and forge measurements."""
    need(browser.program(), "Chromium is not installed")
    missed = [figure for figure in accept_browser.run("all", 11, full=False) if not figure.held]
    assert missed == []
