"""Commands in the documents exist, and settings are documented as they are."""

import re
import shlex
from pathlib import Path

import click
import pytest

from leo_telemetry_pipeline.cli.commands import cli
from leo_telemetry_pipeline.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
# The changelog also names removed commands; the reference is generated.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def commands(page: Path) -> set[str]:
    """Return every ``leo-telemetry ...`` of a page, in code blocks and in the text."""
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"`([^`\n]+)`", text)
    code += re.findall(r"^(?:\$ )?(leo-telemetry .*?)(?:\s+#.*)?$", text, re.MULTILINE)
    found = [re.search(r"leo-telemetry ([a-z][^)\"|;]*)", part) for part in code]
    return {match.group(1).strip() for match in found if match}


LINES = sorted({line for page in PAGES if page.name != "cli.md" for line in commands(page)})


@pytest.mark.parametrize("line", LINES)
def test_every_command_of_the_documents_exists_with_its_options(line: str) -> None:
    """Lost: the first thing a newcomer types ends in a usage error."""
    words = shlex.split(line.replace("…", ""))
    command, context = cli, click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            break
        command, context = found, click.Context(found, info_name=words[0], parent=context)
        words = words[1:]
    assert command is not cli, line
    known = {option for parameter in command.params for option in parameter.opts}
    asked = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert asked <= known, line


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_documented_as_in_the_code(setting) -> None:
    """Lost: an operator sets a variable that does nothing, or never learns of one."""
    default = f"`{setting.default}`" if setting.default else "see below" if setting.name == "home" else "none"
    assert f"| `{setting.variable}` | {default} | {setting.meaning} |" in CONFIGURATION
