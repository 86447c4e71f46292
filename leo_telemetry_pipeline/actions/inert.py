"""Text from anywhere made inert for where it is shown: nothing in a name may command a terminal, a page or a picture.

Belongs here: one function per place that text is written to. Does not: what is written there.
"""

import re
from html import escape


def in_a_line(text: str) -> str:
    """Return a text with a space for whatever could end its line, hide a part of it or command a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def markdown(text: str) -> str:
    r"""Return Markdown that shows a text letter by letter: code, in which nothing is a link, an image or HTML.

    A ``|`` stands as ``\|`` between two pieces of code, since a table takes a ``\`` of the text before it for its own.
    """
    return r"\|".join(_code(part) if part else "" for part in in_a_line(text).split("|"))


def xml(text: str) -> str:
    """Return a text as the content of an element or of a quoted attribute, without letters that XML cannot have."""
    return escape(in_a_line(text))


def _code(text: str) -> str:
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    # A parser takes away one space at each end where both have one, unless there is nothing else.
    space = " " if text.strip(" ") and (text[0] in "` " or text[-1] in "` ") else ""
    return f"{fence}{space}{text}{space}{fence}"
