"""What may be stored: whatever a program puts into a span, the store can hold it."""

import datetime
import enum
import json
import math
import uuid

from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.redact import (
    MAX_KEY,
    MAX_NAME,
    MAX_TEXT,
    clean,
    clean_attributes,
    clean_text,
    without_identity,
)
from leo_telemetry_pipeline.span import Span

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4) | st.tuples(inner),
    max_leaves=20,
)


def span(**values) -> Span:
    ids = {"trace_id": str(uuid.UUID(int=1)), "span_id": str(uuid.UUID(int=2))}
    return Span(**{**ids, "span_type": "gate", "span_name": "G", "start_time_ms": 1, **values})


@given(st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=6))
def test_whatever_a_program_attaches_becomes_json_that_the_database_takes(attributes):
    """Lost otherwise: the whole batch, as one refused value refuses all spans sent with it."""
    text = json.dumps(clean_attributes(attributes), allow_nan=False, ensure_ascii=False)
    assert "\0" not in text
    assert "\\u0000" not in text
    text.encode()


@given(st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=6))
def test_cleaning_twice_changes_nothing_more(attributes):
    """Lost otherwise: the same span read again from a spool would differ from itself."""
    once = clean_attributes(attributes)
    assert clean_attributes(once) == once


def test_what_can_be_stored_is_left_exactly_as_it_is():
    """Lost otherwise: attributes that people group by would silently change."""
    attributes = {
        "sd_type": "feature",
        "gate_score": 87,
        "ok": True,
        "none": None,
        "ratio": 0.5,
        "naïve": ["é", {}],
    }
    assert clean_attributes(attributes) == attributes
    plain = span(attributes={"sd_type": "feature", "ratio": 0.5})
    assert clean(plain) is plain


def test_nul_and_lone_surrogates_become_the_replacement_character_in_every_text_column():
    """Lost otherwise: an import that stops at a broken name."""
    made = clean(span(span_name="a\0b", sd_id="\ud800", attributes={"k\0": "v\udfff"}))
    assert (made.span_name, made.sd_id, made.attributes) == ("a\ufffdb", "\ufffd", {"k\ufffd": "v\ufffd"})


def test_cleaning_leaves_the_given_span_alone():
    """Lost otherwise: a program's own dict would change under its hands."""
    given_span = span(attributes={"n": math.nan})
    assert clean(given_span).attributes == {"n": "NaN"}
    assert math.isnan(given_span.attributes["n"])


def test_numbers_that_json_or_64_bits_do_not_know_become_text():
    """Lost otherwise: one NaN makes jsonb refuse the batch, one long integer makes readers misread it."""
    attributes = {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "long": 2**63, "edge": 2**63 - 1}
    assert clean_attributes(attributes) == {
        "nan": "NaN",
        "inf": "Infinity",
        "minus": "-Infinity",
        "long": "9223372036854775808",
        "edge": 2**63 - 1,
    }
    assert clean_attributes({"huge": 10**5000})["huge"].startswith("0x")


def test_what_json_has_no_word_for_becomes_text():
    """Lost otherwise: a date or a UUID in an attribute would make its span unstorable."""

    class Colour(enum.StrEnum):
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    attributes = {
        "day": datetime.date(2026, 2, 9),
        "colour": Colour.RED,
        "level": Level.HIGH,
        "rude": Rude(),
        5: {1},
    }
    assert clean_attributes(attributes) == {
        "day": "2026-02-09",
        "colour": "red",
        "level": 3,
        "rude": "<Rude>",
        "5": [1],
    }


def test_what_lies_too_deep_or_never_ends_becomes_a_short_text():
    """Lost otherwise: a program that attaches an object which holds itself would hang."""
    endless: dict = {}
    endless["self"] = [endless] * 50
    assert len(json.dumps(clean_attributes(endless))) < 1_000_000
    deep: object = "bottom"
    for _ in range(30):
        deep = [deep]
    level: object = clean_attributes({"deep": deep})
    depth = 0
    while isinstance(level, dict | list):
        level, depth = (level["deep"] if isinstance(level, dict) else level[0]), depth + 1
    assert (depth, type(level)) == (20, str)


def test_long_keys_values_and_names_are_cut_and_show_it():
    """Lost otherwise: a pasted document as a name would not fit the database's index."""
    made = clean(span(span_name="n" * 5_000, attributes={"k" * 5_000: "v" * 50_000}))
    ((key, value),) = made.attributes.items()
    assert (len(made.span_name), len(key), len(value)) == (MAX_NAME, MAX_KEY, MAX_TEXT)
    assert {made.span_name[-1], key[-1], value[-1]} == {"…"}
    assert clean_text(value) == value


def test_who_did_it_can_be_left_out():
    """Lost otherwise: the privacy of whoever's agent did the work."""
    attributes = {"user.id": "x", "user.email": "x", "organization.id": "x", "user_prompt_length": 6}
    assert without_identity(attributes) == {"user_prompt_length": 6}
