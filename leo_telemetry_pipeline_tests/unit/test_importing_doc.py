"""docs/importing.md agrees with the code."""

from pathlib import Path

from click.testing import CliRunner

from leo_telemetry_pipeline.cli.commands import cli
from leo_telemetry_pipeline.sources import plausible
from leo_telemetry_pipeline.sources.files import admission, column_maps, formats

DOC = (Path(__file__).resolve().parents[2] / "docs" / "importing.md").read_text(encoding="utf-8")


def test_every_format_that_is_read_is_in_the_document():
    """Lost: people convert files that could be read as they are."""
    for shape in formats.SHAPES:
        assert f"| {shape.name.removeprefix('a ').removesuffix(' trace').removesuffix(' span')} |" in DOC, shape.name


def test_every_unit_is_in_the_document_and_in_the_help():
    """Lost: nobody can look up the unit that a refusal suggests."""
    said = CliRunner().invoke(cli, ["import", "--help"]).output
    for unit in column_maps.UNITS:
        assert f"| `{unit}` | {plausible.WORDS[unit]} |" in DOC
        assert unit in said


def test_the_limits_of_the_document_are_those_of_the_code():
    """Lost: a file is refused by a limit that is documented differently."""
    assert admission.MOST_BAD == 100
    assert "a hundred bad lines" in DOC
    assert f"first {admission.JUDGED:,} spans" in DOC
    assert "`LEO_TELEMETRY_KEEP` plus 365 days" in DOC
