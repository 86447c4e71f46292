"""The dashboard under load: small runs of the acceptance trials with many viewers and with a large trace."""

from benchmarks import accept_traces, accept_viewers, browser
from leo_telemetry_pipeline_tests.processes import need, sees_processes

pytestmark = sees_processes


def test_open_pages_stay_live_while_spans_arrive_and_cost_the_receiver_no_span():
    """Lost: a team that watches the dashboard loses spans, or sees what happened minutes ago."""
    missed = [figure for figure in accept_viewers.run("all", 11, full=False) if not figure.held]
    assert missed == []


def test_a_large_trace_opens_and_scrolls_in_a_browser():
    """Lost: the trace that somebody most needs to see hangs the browser."""
    need(browser.program(), "Chromium is not installed")
    missed = [figure for figure in accept_traces.run("in a browser", 11, full=False) if not figure.held]
    assert missed == []
