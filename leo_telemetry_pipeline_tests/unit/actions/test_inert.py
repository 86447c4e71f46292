"""Names that contain Markdown, HTML, links or terminal commands, checked with a Markdown parser."""

from xml.etree import ElementTree

import hypothesis
import hypothesis.strategies as st
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from leo_telemetry_pipeline.actions.inert import in_a_line, markdown, xml
from leo_telemetry_pipeline_tests.hostile_names import HOSTILE

BLOCKS = {
    *("paragraph_open", "inline", "paragraph_close"),
    *(f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")),
}
# Texts dense in characters that are special in Markdown or terminals.
TEXTS = st.text(st.sampled_from("`|\\![]()<>&;#*_~-=:./@ \n\tahtpw0\u2028\x00\u202e") | st.characters(), max_size=40)


def lines_of(markdown_text: str) -> list[list[Token]]:
    """Parse Markdown with tables, and return the tokens of each paragraph and cell."""
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown_text)
    assert {token.type for token in parsed} <= BLOCKS, parsed
    return [token.children or [] for token in parsed if token.type == "inline"]


def shown(line: list[Token]) -> str:
    """Return the visible text of a line; assert that it contains only code, and an X before or after."""
    for token in line:
        assert token.type in ("code_inline", "text", "strong_open", "strong_close"), token
        assert token.type == "code_inline" or not token.content.strip("X|"), token
    return "".join(token.content for token in line)


def is_inert(text: str) -> None:
    """Assert that a text is shown literally at the start of a paragraph and in a table cell."""
    wanted = in_a_line(text)
    [line] = lines_of(f"{markdown(text)}X")
    assert shown(line) == f"{wanted}X"
    *_, cell, other = lines_of(f"| a | b |\n|---|--:|\n| **X{markdown(text)}X** | X |")
    assert (shown(cell), shown(other)) == (f"X{wanted}X", "X")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_shown_literally(text: str):
    """Lost: a reader's browser fetches a URL from the name of a span."""
    is_inert(text)


@hypothesis.given(TEXTS)
@hypothesis.settings(max_examples=500)
def test_any_text_is_shown_literally(text: str):
    """Lost: protection from hostile names that the list above lacks."""
    is_inert(text)


def test_the_parser_sees_an_image_in_a_name_that_is_not_escaped():
    """Lost: the tests above cannot fail."""
    assert [token.type for token in lines_of(f"| a |\n|---|\n| {HOSTILE[0]} |")[-1]] == ["image"]


@hypothesis.given(TEXTS | st.sampled_from(HOSTILE))
def test_any_text_is_valid_text_in_svg(text: str):
    """Lost: a control character in a name breaks an image, or a name adds elements to it."""
    drawn = ElementTree.fromstring(f'<svg a="{xml(text)}">{xml(text)}</svg>')
    assert (drawn.text or "", drawn.get("a")) == (in_a_line(text), in_a_line(text))


@hypothesis.given(TEXTS | st.sampled_from(HOSTILE))
def test_a_line_has_no_control_or_invisible_characters(text: str):
    """Lost: a name reverses the text after it, or clears the screen."""
    assert in_a_line(text).isprintable()
    assert in_a_line(text).encode("utf-8").decode() == in_a_line(text)
