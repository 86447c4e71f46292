"""Figures of acceptance trials: records, JSON file and docs page.

Belongs here: reading, writing and rendering. Does not: measuring (accept, accept_*.py).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_DOCS = Path(__file__).resolve().parent.parent / "docs"
FIGURES = _DOCS / "acceptance.json"
PAGE = _DOCS / "acceptance.md"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured requirement; ``line``: issue and line number, such as 11.1."""

    line: str
    what: str
    required: str
    measured: str
    held: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A measured part of a trial."""

    trial: str
    part: str
    seed: int
    commit: str
    day: str
    seconds: int
    figures: tuple[Figure, ...]


def read() -> list[Part]:
    """Return the recorded parts."""
    if not FIGURES.exists():
        return []
    parts = json.loads(FIGURES.read_text("utf-8"))
    return [Part(**{**part, "figures": tuple(Figure(**figure) for figure in part["figures"])}) for part in parts]


def write(parts: list[Part]) -> None:
    """Write the parts, sorted, and render their page."""
    parts = sorted(parts, key=lambda measured: (measured.trial, measured.part))
    FIGURES.write_text(json.dumps([asdict(measured) for measured in parts], indent=1) + "\n", "utf-8")
    PAGE.write_text(page(parts), "utf-8")


def page(parts: Sequence[Part]) -> str:
    """Return the figures as a page of the docs."""
    lines = [
        "# Acceptance figures",
        "",
        "Requirements of issues, measured at full size by `make accept`, which writes this page. A line is named by",
        "its issue and line number. CI runs a smaller version of each.",
        "",
        "| line | what | required | measured | seed | commit | day |",
        "|---|---|---|---|---:|---|---|",
    ]
    rows = [(figure, measured) for measured in parts for figure in measured.figures]
    for figure, measured in sorted(rows, key=lambda row: [int(number) for number in row[0].line.split(".")]):
        mark = "" if figure.held else " **missed**"
        lines.append(
            f"| {figure.line} | {figure.what} | {figure.required} | {figure.measured}{mark} | {measured.seed}"
            f" | {measured.commit} | {measured.day} |"
        )
    return "\n".join(lines) + "\n"
