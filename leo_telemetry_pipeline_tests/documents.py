"""Code blocks of the documentation, so that tests use what it shows and not a copy."""

import re
from pathlib import Path

from leo_telemetry_pipeline_tests.processes import ROOT

DEPLOYMENT = ROOT / "docs" / "deployment.md"


def blocks(page: Path, language: str) -> list[str]:
    """Return the text of every code block in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block(page: Path, language: str, has: str) -> str:
    """Return the only code block in a language that contains a text."""
    (found,) = [text for text in blocks(page, language) if has in text]
    return found


def command(page: Path, begins: str) -> str:
    """Return the only command line that begins with a text."""
    (found,) = {line for text in blocks(page, "sh") for line in text.splitlines() if line.startswith(begins)}
    return found
