"""Names that are Markdown, HTML, links or terminal commands, read by a parser of Markdown as tables and paragraphs."""

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
# Whatever means something to a parser, close together.
TEXTS = st.text(st.sampled_from("`|\\![]()<>&;#*_~-=:./@ \n\tahtpw0\u2028\x00\u202e") | st.characters(), max_size=40)


def lines_of(markdown_text: str) -> list[list[Token]]:
    """Return what a parser with tables makes of each paragraph and cell of a text."""
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown_text)
    assert {token.type for token in parsed} <= BLOCKS, parsed
    return [token.children or [] for token in parsed if token.type == "inline"]


def shown(line: list[Token]) -> str:
    """Return what a line shows, and expect that it shows a name as code, and an X before it and after it."""
    for token in line:
        assert token.type in ("code_inline", "text", "strong_open", "strong_close"), token
        assert token.type == "code_inline" or not token.content.strip("X|"), token
    return "".join(token.content for token in line)


def is_inert(text: str) -> None:
    """Expect that a text is shown as it is where a paragraph begins, and as one of two cells of a table."""
    wanted = in_a_line(text)
    [line] = lines_of(f"{markdown(text)}X")
    assert shown(line) == f"{wanted}X"
    *_, cell, other = lines_of(f"| a | b |\n|---|--:|\n| **X{markdown(text)}X** | X |")
    assert (shown(cell), shown(other)) == (f"X{wanted}X", "X")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_shown_and_does_nothing(text: str):
    """Lost: the browser of whoever looks at the page fetches what somebody put into the name of a span."""
    is_inert(text)


@hypothesis.given(TEXTS)
@hypothesis.settings(max_examples=500)
def test_any_text_is_shown_and_does_nothing(text: str):
    """Lost: the hostile name that nobody thought of."""
    is_inert(text)


def test_a_name_that_is_not_made_inert_would_be_seen():
    """Lost: a test that could not fail."""
    assert [token.type for token in lines_of(f"| a |\n|---|\n| {HOSTILE[0]} |")[-1]] == ["image"]


@hypothesis.given(TEXTS | st.sampled_from(HOSTILE))
def test_any_text_is_a_text_of_a_picture(text: str):
    """Lost: a broken picture, or one with somebody else's elements in it, for a control character in a name."""
    drawn = ElementTree.fromstring(f'<svg a="{xml(text)}">{xml(text)}</svg>')
    assert (drawn.text or "", drawn.get("a")) == (in_a_line(text), in_a_line(text))


@hypothesis.given(TEXTS | st.sampled_from(HOSTILE))
def test_a_line_has_no_letter_that_commands_or_hides(text: str):
    """Lost: a name that turns around what stands after it, or clears the screen."""
    assert in_a_line(text).isprintable()
    assert in_a_line(text).encode("utf-8").decode() == in_a_line(text)
