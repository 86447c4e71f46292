r"""Scanner for secrets in a text.

Belongs here: compiled expressions, where the value of a name begins and ends, and what looks random.
Does not: the kinds (kinds) and names (names) of secrets.

Prefilter: one search for all marks clears nearly every text; a kind's own expression runs only if its mark occurs.
"""

import re
from binascii import Error, a2b_base64

from leo_telemetry_pipeline.scrub.kinds import KINDS, START
from leo_telemetry_pipeline.scrub.names import LONG, MARK, NAMES, is_chosen, names_secret

_NO_VALUES = frozenset(("null", "none", "nil", "true", "false", "undefined", "nan"))
# Words that follow "password:" in code and reports.
_PLAIN_WORDS = "str string bytes int bool object any text ok failed passed missing invalid wrong required expired valid"
_NO_PASSWORDS = frozenset(_PLAIN_WORDS.split())
_SIGNS = (MARK, "…")
_KEY_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_.-"
_MOST_BEFORE = 64
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
# What may separate a name from its value: an equals sign or colon, with quotes, escaped or not; in JSON, a following
# key that ends in "value"; the end of an XML tag; a comma before the next string, in a pair or after an option; a space
# where that is unambiguous.
_BETWEEN = (
    r"[\w.-]{0,40}+(?P<between>"
    r"\\{0,8}+[\"'`]?\s{0,9},\s{0,9}\\{0,8}+\"\w{0,12}?(?i:value)\\{0,8}+\"\s{0,9}:\s{0,9}"
    r"(?:\{\s{0,9}\\{0,8}+\"\w{1,20}\\{0,8}+\"\s{0,9}:\s{0,9})?"
    r"|(?P<next>\\{0,8}+[\"']\s{0,9},\s{0,9}(?=[bu]?\\{0,8}[\"']))"
    r"|(?P<sign>\\{0,8}+[\"'`]?\]?[ \t]{0,9}(?:=>|:=|={1,2}|:(?!:)|%3[dD])\s{0,9})"
    r"|>(?=[^<>]{1,256}</)|(?P<space>[ \t]{1,9}))"
)


class Tools:
    """The compiled expressions, and the scan of a text with them."""

    def __init__(self) -> None:
        names = [(name[0], name[1:].replace("_", r"[_.\- ]?")) for name in NAMES] + [("p", r"w(?![a-z])")]
        shapes = ((marks.split(), re.compile(shape)) for marks, shape in KINDS)
        self.kinds = [(marks, shape, (r"\g<keep>" if shape.groups else "") + MARK) for marks, shape in shapes]
        self.name = re.compile(_by_first_letter(names))
        self.between = re.compile(_BETWEEN)
        self.quoted = re.compile(r"(?s:[bBuU]?(\\{0,8}[\"'`])(.*?)(?:(?<!\\)\1|\Z))")
        self.brackets = re.compile(r"[\[{}\]]")
        self.items = re.compile(r"(?:-[ \t]{1,9}[^\r\n]*(?:\r?\n[ \t]*+(?=-[ \t]))?)+")
        self.word = re.compile(r"(?:(?i:bearer|basic|token|digest)[ +])?(?:[^\s\"'`&;<>\\]|\\(?![\"'nrtu]))+")
        self.line = re.compile(r"(?:[^\r\n\"'\\]|(?<==)\"[^\"\r\n]*\"|\\(?![\"'nr]))+")
        self.basic = re.compile(START + r"((?i:basic)(?:\s{1,9}|\+|%20))([\w+/-]{6,512})={0,2}", re.ASCII)
        self.email = re.compile(
            r"(?<![\w.+-])[\w.+-]++(?<!^git)(?<![\s\"'=]git)(?:@|%40|\\u0040)(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}"
        )
        self.encoded = re.compile(r"(?<![\w.~+*!-])[\w.~+*!-]*+(?:%[0-9a-fA-F]{2}[\w.~+*!-]*+)+")
        self.escape = re.compile(r"%([0-9a-fA-F]{2})")
        self.run = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
        self.twilio = re.compile(START + r"(?:SK|AC)[0-9a-f]{32}(?![A-Za-z0-9])")
        self.discord = re.compile(START + r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,}")
        self.changes = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z])")
        marks = {
            "@",
            "%40",
            r"\u0040",
            "basic",
            "%2f%2f",
            "%252f%252f",
            *(mark for kind in self.kinds for mark in kind[0]),
        }
        self.marker = re.compile(_by_first_letter([*((mark[0], re.escape(mark[1:])) for mark in marks), *names])).search

    def once(self, text: str, keep_emails: bool) -> str:
        """Return the text after one pass for every kind."""
        lowered = text.lower()
        if self.marker(lowered):
            text = self._marked(text, lowered, keep_emails)
            if "%" in text:
                text = self.encoded.sub(lambda run: self._decoded(run[0], keep_emails), text)
        # Secrets without a marker contain no space.
        if len(text) >= LONG and max(map(len, text.split()), default=0) >= LONG:
            text = self.run.sub(self._judge_run, self.discord.sub(MARK, self.twilio.sub(MARK, text)))
        return text

    def _marked(self, text: str, lowered: str, keep_emails: bool) -> str:
        for marks, shape, mark in self.kinds:
            if any(map(lowered.__contains__, marks)):
                text = shape.sub(mark, text)
        if "basic" in lowered:
            text = self.basic.sub(_judge_basic, text)
        if not keep_emails and ("@" in text or "40" in text):
            text = self.email.sub(MARK, text)
        return self._named_values(text)

    def _decoded(self, run: str, keep_emails: bool) -> str:
        # A URL within a URL is escaped twice.
        text = run
        for _ in range(3):
            text = self.escape.sub(lambda code: chr(int(code[1], 16)), text)
        return run if self._marked(text, text.lower(), keep_emails) == text else MARK

    def _named_values(self, text: str) -> str:
        parts, copied, position, lowered = [], 0, 0, _lower(text)
        while name := self.name.search(lowered, position):
            position = name.end()
            if not (separator := self.between.match(text, position)):
                continue
            position, begin = separator.end(), name.start()
            before = lowered[max(0, begin - _MOST_BEFORE) : begin]
            begin -= len(before) - len(before.rstrip(_KEY_LETTERS))
            key = lowered[begin : separator.start("between")]
            if not names_secret(key) or not self._is_followed(text, begin, key, separator):
                continue
            start, end = self._value(text, position, key, separator)
            if start < end:
                parts += text[copied:start], MARK
                copied = position = end
        return "".join((*parts, text[copied:])) if parts else text

    def _is_followed(self, text: str, begin: int, key: str, separator: re.Match) -> bool:
        # Whether the text after the separator is the name's value at all.
        is_option = key.startswith("-")
        if separator["next"]:
            return is_option or text[max(0, begin - 12) : begin].rstrip("\\\"'bu ").endswith(("[", "("))
        if separator["space"]:
            return is_option or (is_chosen(key) and text.startswith("'", separator.end()))
        return True

    def _value(self, text: str, start: int, key: str, separator: re.Match) -> tuple[int, int]:
        # Start and end of the value at this position; empty if it is not a value, or already redacted.
        is_next = bool(separator["next"] or separator["space"])
        if text.startswith(_SIGNS, start) or (is_next and text.startswith("-", start)):
            return start, start
        if key.endswith("pwd") and text.startswith(("/", "~"), start):
            return start, start
        if quoted := self.quoted.match(text, start):
            return self._inside(text, quoted, separator, is_pair=bool(separator["next"]) and not key.startswith("-"))
        if text.startswith(("[", "{"), start):
            return start, self._closing(text, start)
        if "\n" in separator["between"] and (items := self.items.match(text, start)):
            return items.span()
        whole_line = "authorization" in key or "cookie" in key
        matched = (self.line if whole_line else self.word).match(text, start)
        value = matched[0].rstrip(" ,.)}]") if matched else ""
        value += "]" if value.endswith(MARK[:-1]) else ""
        if value.lower() in _NO_VALUES or (separator["between"].endswith(": ") and _is_plain(value, key)):
            return start, start
        return start, start + len(value)

    def _inside(self, text: str, quoted: re.Match, separator: re.Match, *, is_pair: bool) -> tuple[int, int]:
        inner, nothing = quoted[2], (quoted.start(), quoted.start())
        if not inner or inner.startswith(_SIGNS) or (separator["next"] and inner.startswith("-")):
            return nothing
        if is_pair and not text.startswith((")", "]"), quoted.end()):
            return nothing
        return quoted.span(2)

    def _closing(self, text: str, start: int) -> int:
        depth = 0
        for bracket in self.brackets.finditer(text, start):
            depth += 1 if bracket[0] in "[{" else -1
            if depth == 0:
                return bracket.end()
        return len(text)

    def _judge_run(self, run: re.Match) -> str:
        # Random text changes between small letter, capital and digit at two of three places; words, names and paths
        # rarely do, and hex ids have no capitals.
        text = run[0]
        size = len(text)
        capitals, small = sum(map(str.isupper, text)), sum(map(str.islower, text))
        # AWS secret keys have 40 characters, which may include slashes.
        is_path = size != 40 and (text.startswith("/") or text.count("/") * 10 > size)
        size -= text.count("/") + text.count("+")
        if is_path or min(capitals, small) * 7 < size or len(self.changes.findall(text)) * 20 < size * 9:
            return text
        return MARK


def _is_plain(value: str, key: str) -> bool:
    # "check_credentials: ok" and "fetch_token: 12 ms" report outcomes; a password may be a word, but not one of these.
    is_word = value.isascii() and ((value.isalpha() and value.islower()) or (value.isdigit() and len(value) < 4))
    return is_word and (value in _NO_PASSWORDS or not is_chosen(key))


def _judge_basic(match: re.Match) -> str:
    # Ordinary words may follow "basic"; credentials are base64 of user:password.
    coded = match[2].translate({45: "+", 95: "/"})
    try:
        user, colon, _ = a2b_base64(coded[: len(coded) // 4 * 4]).partition(b":")
    except Error:
        return match[0]
    return match[1] + MARK if colon and user.isascii() and user.decode("ascii").isprintable() else match[0]


def _lower(text: str) -> str:
    # Keep every letter's position: str.lower turns some capitals into two characters.
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.translate(_LOWER)


def _by_first_letter(words: list[tuple[str, str]]) -> str:
    # One branch per first letter is searched twice as fast as one branch per word.
    tails: dict[str, list[str]] = {}
    for letter, tail in words:
        tails.setdefault(letter, []).append(tail)
    return "|".join(f"{re.escape(letter)}(?:{'|'.join(rest)})" for letter, rest in tails.items())
