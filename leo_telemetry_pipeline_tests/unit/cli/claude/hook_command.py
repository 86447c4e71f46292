"""Run ``leo-telemetry hook ...`` in this process, and the events that it hooks."""

from click.testing import CliRunner

from leo_telemetry_pipeline.cli.claude import claude_settings
from leo_telemetry_pipeline.cli.claude.hook_commands import hook

EVENTS = ("SessionStart", *claude_settings.SPAN_EVENTS)


def invoke(*arguments: str) -> str:
    """Run ``leo-telemetry hook ...`` and return what it prints; its errors are raised."""
    return CliRunner().invoke(hook, arguments, catch_exceptions=False).output
