"""What the README tells people to type exists, and what it says of settings is true."""

import re
import shlex
from pathlib import Path

import click
import pytest

from leo_telemetry_pipeline.cli.commands import cli
from leo_telemetry_pipeline.settings import SETTINGS

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Return every ``leo-telemetry ...`` of the README, in code blocks and in the text."""
    code = re.findall(r"`([^`\n]+)`", README) + re.findall(r"^(leo-telemetry .*?)(?:\s+#.*)?$", README, re.MULTILINE)
    found = [re.search(r"leo-telemetry ([a-z][^)\"]*)", text) for text in code]
    return sorted({match.group(1).strip() for match in found if match})


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_readme_exists_with_its_options(line: str) -> None:
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
    asked = {word for word in words if word.startswith("--")}
    assert asked <= known, line


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_in_the_readme_as_it_is_in_the_code(setting) -> None:
    """Lost: an operator sets a variable that does nothing, or never learns of one."""
    assert f"| `{setting.variable}` |" in README
    assert setting.meaning in README
    assert not setting.default or f"`{setting.default}`" in README
