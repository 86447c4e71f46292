"""docs/cli.md matches the commands, and every link between the documents has a target."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools import reference

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_cli_reference_matches_the_commands() -> None:
    """Lost: people look up a removed option, or never learn of a new one."""
    written = reference.CLI.read_text(encoding="utf-8")
    assert written == reference.cli_reference(), "run `make reference` and commit docs/cli.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_has_a_target(page: Path) -> None:
    """Lost: a reader follows a link to nothing."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_the_index_names_every_page() -> None:
    """Lost: nobody finds a page."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert {page for page in pages - {"index.md"} if f"]({page})" not in index} == set()


def test_the_texts_of_the_loop_picture_fit_into_their_boxes() -> None:
    """Lost: in the first picture of the README, text runs out of its boxes."""
    drawn = ElementTree.parse(ROOT / "docs" / "images" / "loop.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    boxes = [
        {name: float(box.get(name, 0)) for name in ("x", "y", "width", "height")} for box in drawn.iter(f"{svg}rect")
    ]
    for text in drawn.iter(f"{svg}text"):
        middle, baseline = float(text.get("x", 0)), float(text.get("y", 0))
        within = [box for box in boxes if box["x"] < middle < box["x"] + box["width"] and box["y"] < baseline]
        narrowest = min(box["width"] for box in within if baseline < box["y"] + box["height"])
        # The widest common sans-serif fonts take 0.6 of their size per letter.
        assert len(text.text or "") * float(text.get("font-size", 14)) * 0.6 < narrowest, text.text


def test_every_page_that_the_code_names_exists_with_its_heading() -> None:
    """Lost: a message sends people to a page or section that no longer exists."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "leo_telemetry_pipeline").rglob("*.py")]
    named = {
        found for text in texts for found in re.findall(r"((?:docs/[\w-]+|README)\.md)(?:, ([A-Z][a-zA-Z ]+))?", text)
    }
    assert ("README.md", "Your own work") in named
    missing = {
        (page, heading)
        for page, heading in named
        if not (ROOT / page).exists() or (heading and heading.lower().replace(" ", "-") not in anchors(ROOT / page))
    }
    assert missing == set()
