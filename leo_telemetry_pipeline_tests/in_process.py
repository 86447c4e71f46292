"""``leo-telemetry`` commands in the test's process, on the database from the environment."""

import pytest
from click.testing import CliRunner

from leo_telemetry_pipeline.cli import commands
from leo_telemetry_pipeline.errors import UserError


def say(*words: str) -> str:
    """Return the output of a command, which must succeed."""
    done = CliRunner().invoke(commands.cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: str) -> str:
    """Return the one-line message of a usage error."""
    with pytest.raises(UserError) as refusal:
        commands.cli.main(list(words), standalone_mode=False)
    assert refusal.value.exit_code == 2
    assert "\n" not in refusal.value.message
    return refusal.value.message
