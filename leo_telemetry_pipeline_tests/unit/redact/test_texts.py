"""Redaction of one text: it becomes storable, short enough and free of secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.redact import REACH, clean, clean_text, flat, shown, text
from leo_telemetry_pipeline_tests.secrets_corpus import PLAIN, SECRETS
from leo_telemetry_pipeline_tests.unit.redact.examples import EVERY_KIND, SECRET_TEXT, span


@EVERY_KIND
def test_truncation_hides_no_secret_from_redaction(kind: str):
    """Lost: a key, or its first half, can be read at the end of a truncated message."""
    secret = PLAIN[kind]
    pieces = {secret[at : at + 12] for at in range(max(1, len(secret) - 11))}
    size = len(SECRETS[kind])
    for place in (*range(100 - size, 102, 1 + size // 16), 100 + REACH - size, 100 + REACH - size // 2):
        for filler in ("x y ", "password=hunter2 "):
            made = text((filler * 2_000)[: max(place, 0)] + " " + SECRETS[kind] + " end" * 2_000, 100)
            assert len(made) <= 100
            assert not [piece for piece in pieces if piece in made]


@given(SECRET_TEXT, st.integers(12, 80))
def test_a_truncated_text_is_not_truncated_again(given_text, limit):
    """Lost: the same text read twice would differ from itself."""
    once = text(given_text, limit)
    assert len(once) <= limit
    assert text(once, limit) == once


def test_messages_may_quote_values():
    """Lost: reasons in the quarantine contain secrets, or lack the value that is wrong."""
    assert shown("12x") == "'12x'"
    assert shown(["a"]) == "\"['a']\""
    assert PLAIN["connection string"] not in shown("x" * 40 + " " + SECRETS["connection string"])


def test_the_short_text_of_a_deep_value_has_no_part_of_a_secret():
    """Lost: the rest of a long key whose middle was left out can be read."""
    made = flat([["x" * 60 + " " + SECRETS["private key"] + "y" * 60]])
    assert "[redacted]" in made
    assert PLAIN["private key"][:10] not in made


UNSHOWN = [chr(n) for n in (0, 7, 8, 11, 13, 27, 31, 127, 128, 0x9B, 0x202A, 0x202E, 0x2066, 0x2069, 0xD800)]


@pytest.mark.parametrize("letter", UNSHOWN, ids=ascii)
def test_characters_that_control_a_terminal_are_replaced(letter: str):
    """Lost: anyone who may send a span controls the terminal of its reader."""
    name, long = f"a{letter}b", f"wörd {letter}[31m " * 30
    made = clean(span(span_name=name, sd_id=name, attributes={name: name, "list": [name], "long": long}))
    expected = name.replace(letter, "\ufffd")
    attributes = {expected: expected, "list": [expected], "long": long.replace(letter, "\ufffd")}
    assert (made.span_name, made.sd_id, made.attributes) == (expected, expected, attributes)
    assert clean(made) == made
    assert clean_text(name) == text(name) == expected
    assert letter not in flat({"a": [name]})


def test_lines_and_every_script_are_unchanged():
    """Lost: the lines of a message, and the letters of a language."""
    family, right_to_left = "\U0001f468\u200d\U0001f469", "\u05e9\u05dc\u05d5\u05dd\u200f"
    for value in ("one\ntwo\tthree", "é\n\tü", family, right_to_left, "a\u00a0b"):
        assert text(value) is value
        assert clean_text(value) is value
        made = span(span_name=value, attributes={"a": value})
        assert clean(made) is made
    assert text("one\r\ntwo") == "one\ntwo"
