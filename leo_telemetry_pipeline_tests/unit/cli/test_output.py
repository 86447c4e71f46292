"""Output streams: unencodable characters, a full disk, a closed pipe, a closed stream."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests import processes

NAMES = "gate…×–═▁█ Grüße 検査 \\udcff"
PRINTS = f"""
from leo_telemetry_pipeline.cli import output, text
import click, sys
output.prepare()
for value in ["{NAMES}"]:
    click.echo(value); print(value); text.as_json(value); print(value, file=sys.stderr)
"""


def printed(encoding: str) -> list[str]:
    """Return the lines that the program prints in an encoding."""
    done = subprocess.run(
        [sys.executable, "-c", PRINTS],
        env=processes.environment(Path("/nowhere"), PYTHONIOENCODING=encoding),
        capture_output=True,
        check=True,
    )
    return [*done.stdout.decode(encoding).splitlines(), *done.stderr.decode(encoding).splitlines()]


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("iso8859-1", "gate...×-=18 Grüße ?? ?"),
        ("cp437", "gate...x-═1█ Grüße ?? ?"),
        ("koi8-r", "gate...x-═1█ Gr??e ?? ?"),
        ("utf-8", "gate…×–═▁█ Grüße 検査 ?"),
    ],
)
def test_characters_that_a_terminal_lacks_are_replaced(encoding: str, shown: str):
    """Lost: findings end in a traceback over one arrow."""
    echoed, written, as_json, error = printed(encoding)
    assert (echoed, written, error) == (shown, shown, shown)
    assert json.loads(as_json)[:-1] == "gate…×–═▁█ Grüße 検査 "


@pytest.mark.parametrize("arguments", ["--help", "thresholds --help"])
@pytest.mark.parametrize(
    ("redirected", "code", "word"),
    [
        (">/dev/full", 1, "No space left on device"),
        (">&-", 1, "Standard output cannot be written"),
        (">/dev/full 2>/dev/full", 1, ""),
        (">&- 2>&-", 1, ""),
        (">/dev/null 2>&- <&-", 0, ""),
        ("| true", 0, ""),
    ],
)
def test_output_that_cannot_be_written_is_reported_in_one_line(arguments: str, redirected: str, code: int, word: str):
    """Lost: a script continues with half a report, or gets a traceback instead."""
    script = f'set -o pipefail; "$0" -P -m leo_telemetry_pipeline.cli {arguments} {redirected}'
    done = processes.finished(["bash", "-c", script, sys.executable], processes.environment(Path("/nowhere")))
    assert (done.code, done.out) == (code, "")
    if word:
        processes.has_line(done, word)
    else:
        assert done.err == ""
