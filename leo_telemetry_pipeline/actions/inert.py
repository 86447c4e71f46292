"""Escaping of untrusted text for terminals, Markdown, XML, CSV and messages.

Belongs here: one function per output format. Does not: the texts themselves.
"""

import re
from html import escape

# Single angle quotation marks, a fullwidth at sign, an apostrophe.
# Many programs make a link of it, without a scheme.
_WEB_ADDRESS = re.compile(r"\b(www|mailto|javascript)([.:])", re.IGNORECASE)
# Also the fullwidth characters, which some spreadsheets take for the others.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_LOOK_ALIKES = str.maketrans({"<": "\u2039", ">": "\u203a", "@": "\uff20", "`": "'"})


def in_a_line(text: str) -> str:
    """Replace line ends, control characters and invisible characters with spaces."""
    # Pages escape thousands of texts, nearly all of them printable.
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def markdown(text: str) -> str:
    r"""Return Markdown that shows a text literally, as code.

    A ``|`` becomes ``\|`` between two pieces of code, since tables misread a ``\`` before a ``|`` within code.
    """
    return r"\|".join(_code(part) if part else "" for part in in_a_line(text).split("|"))


def message(text: str) -> str:
    """Return text that no channel of alerts interprets: no mention, link, tag or escape sequence.

    Channels differ in what they escape, and escape what is escaped already, so look-alikes replace the characters.
    """
    line = in_a_line(text).translate(_LOOK_ALIKES).replace("](", "] (").replace("://", ": //")
    return _WEB_ADDRESS.sub(r"\1 \2", line)


def csv(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    line = in_a_line(text)
    return f"'{line}" if line.lstrip().startswith(_FORMULA) else line


def xml(text: str) -> str:
    """Escape a text for an element or a quoted attribute, without characters that XML does not allow."""
    return escape(in_a_line(text))


def _code(text: str) -> str:
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    # Parsers strip one space from each end if both have one, unless the code is blank.
    space = " " if text.strip(" ") and (text[0] in "` " or text[-1] in "` ") else ""
    return f"{fence}{space}{text}{space}{fence}"
