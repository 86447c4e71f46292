"""Commands of ``leo-telemetry`` in the process of the test, on the database that the environment names."""

import pytest
from click.testing import CliRunner

from leo_telemetry_pipeline.cli import commands
from leo_telemetry_pipeline.errors import UserError


def say(*words: str) -> str:
    """Return what a command prints; it must succeed."""
    done = CliRunner().invoke(commands.cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: str) -> str:
    """Return the line in which a command refuses."""
    with pytest.raises(UserError) as refusal:
        commands.cli.main(list(words), standalone_mode=False)
    assert refusal.value.exit_code == 2
    assert "\n" not in refusal.value.message
    return refusal.value.message
