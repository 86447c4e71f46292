"""Links from Dagster to the dashboard."""

import pytest

from leo_telemetry_pipeline.defs.names import dashboard_page
from leo_telemetry_pipeline.settings import Settings


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:4400/runs/1"),
        ("0.0.0.0", "http://127.0.0.1:4400/runs/1"),
        ("::", "http://127.0.0.1:4400/runs/1"),
        ("::1", "http://[::1]:4400/runs/1"),
        ("10.0.0.5", "http://10.0.0.5:4400/runs/1"),
    ],
)
def test_a_link_leads_to_an_address_at_which_the_dashboard_listens(host: str, address: str):
    """Lost: the link in Dagster leads nowhere."""
    settings = Settings({"LEO_TELEMETRY_SERVE_HOST": host, "LEO_TELEMETRY_SERVE_PORT": "4400"})
    assert dashboard_page(settings, "/runs/1").url == address
