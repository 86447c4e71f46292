"""Redaction of a span and its attributes: they become storable and free of secrets."""

import datetime
import enum
import json
import math
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.redact import MAX_KEY, MAX_NAME, MAX_TEXT, clean, clean_attributes, clean_text
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline_tests.secrets_corpus import ORDINARY, PLAIN, SECRETS
from leo_telemetry_pipeline_tests.unit.redact.examples import ANY_TEXT, EVERY_KIND, KEY, SECRET_TEXT, SECRET_VALUE, span

ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4) | st.tuples(inner),
    max_leaves=20,
)

# Whatever becomes text on its way: the name of a secret, and the secret that follows.
NAME = st.sampled_from(["password", b"password", PurePosixPath("password"), "--password", b"--password", "STORAGEKEY"])
NOT_YET_TEXT = NAME | st.sampled_from([2**63, 2**63 - 1, math.nan, -math.inf, b"-x", "x", 3, None, True])
PART = st.sampled_from(["key", "name", "value", "Value", "data", "max_tokens", b"key", b"value"])
HOLDER = st.lists(NOT_YET_TEXT, max_size=3) | st.dictionaries(PART, NOT_YET_TEXT, max_size=4)


@given(st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=6))
def test_any_attributes_become_json_that_the_database_accepts(attributes):
    """Lost: the whole batch, because one refused value refuses all spans sent with it."""
    text = json.dumps(clean_attributes(attributes), allow_nan=False, ensure_ascii=False)
    assert "\0" not in text
    assert "\\u0000" not in text
    text.encode()


@given(st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=6))
def test_cleaning_attributes_twice_is_like_once(attributes):
    """Lost: the same span read again from a spool would differ from itself."""
    once = clean_attributes(attributes)
    assert clean_attributes(once) == once


@given(HOLDER)
def test_a_secret_and_its_name_are_found_whatever_type_they_come_as(holder):
    """Lost: the secret can be read once, and then the same span differs from itself."""
    once = clean_attributes({"a": holder})
    assert clean_attributes(once) == once


def test_storable_attributes_are_unchanged():
    """Lost: attributes that people group by would silently change."""
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
    """Lost: the rest of an import after a broken name."""
    made = clean(span(span_name="a\0b", sd_id="\ud800", attributes={"k\0": "v\udfff"}))
    assert (made.span_name, made.sd_id, made.attributes) == ("a\ufffdb", "\ufffd", {"k\ufffd": "v\ufffd"})


def test_cleaning_does_not_change_the_given_span():
    """Lost: a program's own dict would change while the program uses it."""
    given_span = span(attributes={"n": math.nan})
    assert clean(given_span).attributes == {"n": "NaN"}
    assert math.isnan(given_span.attributes["n"])


def test_numbers_that_json_or_64_bits_cannot_represent_become_text():
    """Lost: one NaN makes jsonb refuse the batch, one long integer makes readers misread it."""
    attributes = {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "long": 2**63, "edge": 2**63 - 1}
    assert clean_attributes(attributes) == {
        "nan": "NaN",
        "inf": "Infinity",
        "minus": "-Infinity",
        "long": "9223372036854775808",
        "edge": 2**63 - 1,
    }
    assert clean_attributes({"huge": 10**5000})["huge"].startswith("0x")


def test_values_of_types_that_json_lacks_become_text():
    """Lost: a date or a UUID in an attribute would make its span unstorable."""

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


def test_values_that_are_too_deep_or_endless_become_a_short_text():
    """Lost: a program that attaches an object that contains itself would hang."""
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


def test_long_keys_values_and_names_are_visibly_truncated():
    """Lost: a pasted document as a name would not fit the database's index."""
    made = clean(span(span_name="n" * 5_000, attributes={"k" * 5_000: "v" * 50_000}))
    ((key, value),) = made.attributes.items()
    assert (len(made.span_name), len(key), len(value)) == (MAX_NAME, MAX_KEY, MAX_TEXT)
    assert {made.span_name[-17], key[-17], value[-1]} == {"…"}
    assert clean_text(value) == value


def everything_in(made: Span) -> str:
    """Return all texts of a span as in a dump of the table."""
    return json.dumps([getattr(made, name) for name in COLUMNS], ensure_ascii=False)


def holds(made: Span, kind: str) -> bool:
    """Return whether a span still has the secret of that kind, plain or escaped for JSON."""
    dump = everything_in(made)
    return PLAIN[kind] in dump or json.dumps(PLAIN[kind], ensure_ascii=False)[1:-1] in dump


@EVERY_KIND
@pytest.mark.parametrize(
    "place",
    [
        *("span_name", "span_type", "status", "sd_id", "workflow_execution_id", "project", "phase", "gate_name"),
        *("subagent_name", "key", "value", "nested key", "nested value", "list", "deep", "subclass"),
    ],
)
def test_a_secret_is_found_in_every_place(kind: str, place: str):
    """Lost: everybody who may read the table sees a password or a person's address."""
    secret = SECRETS[kind].replace("+", "%2B") if place == "span_type" else SECRETS[kind]
    if place in COLUMNS:
        made = clean(span(**{place: secret}))
    else:
        deep: object = secret
        for _ in range(22):
            deep = [deep]
        attributes = {
            "key": {secret: 1},
            "value": {"note": secret},
            "nested key": {"a": {"b": [{secret: 1}]}},
            "nested value": {"a": {"b": {"note": secret}}},
            "list": {"a": ["x", [secret]]},
            "deep": {"a": deep},
            "subclass": {"a": type("Text", (str,), {})(secret)},
        }[place]
        made = clean(span(attributes=attributes))
    assert not holds(made, kind)
    assert "[redacted]" in everything_in(made)


@pytest.mark.parametrize("value", ["x", 12345, 1.5, True, ["x"], {"a": {"b": "x"}}, ("x",), b"x"])
@pytest.mark.parametrize(
    "key", ["password", "API_KEY", "Authorization", "x-auth-token", "clientSecret", "db.cookie", "http.header.cookie"]
)
def test_the_whole_value_of_a_key_that_names_a_secret_is_removed(key: str, value: object):
    """Lost: secrets without a recognizable form, as most passwords are, can be read."""
    assert clean_attributes({key: value}) == {key: "[redacted]"}
    assert clean_attributes({"a": [{"b": {key: value}}]}) == {"a": [{"b": {key: "[redacted]"}}]}


@pytest.mark.parametrize(
    "key",
    [
        *("input_tokens", "max_tokens", "gen_ai.usage.output_tokens", "gen_ai.token.type", "time_to_first_token_ms"),
        *(
            "token_count",
            "cookie_count",
            "secret_name",
            "has_password",
            "sort_key",
            "primary_key",
            "author",
            "session.id",
        ),
    ],
)
def test_a_key_that_only_mentions_tokens_or_secrets_keeps_its_value(key: str):
    """Lost: token counts, the first thing to check if a model is slow."""
    assert clean_attributes({key: 5, "a": {key: "x"}}) == {key: 5, "a": {key: "x"}}


def test_a_pair_of_key_and_value_is_read_as_one():
    """Lost: secrets in lists of headers and of OpenTelemetry's attributes can be read."""
    pairs = [{"key": "password", "value": {"stringValue": "hunter2"}}, {"name": "x-api-key", "value": "hunter2"}]
    pairs += [{"Name": "DB_PASSWORD", "Value": "hunter2"}, {"Key": "token", "Value": "hunter2"}]
    pairs += [{"key": "password", "stringValue": "hunter2"}, {"name": "password", "data": ["hunter2"]}]
    kept = [{"key": "model", "value": "opus"}, {"name": "password", "type": "text", "size": 3}]
    assert "hunter2" not in json.dumps(clean_attributes({"a": pairs}))
    assert clean_attributes({"a": kept}) == {"a": kept}


@pytest.mark.parametrize(
    "holder",
    [
        ["cmd", "--password", "Hunter22"],
        [["x-api-key", "Hunter22"]],
        ("password", "Hunter22"),
        [(b"authorization", b"Hunter22")],
        json.dumps(["cmd", "--password", "Hunter22"]),
        {b"password": b"Hunter22"},
        {b"key": b"password", b"value": b"Hunter22"},
        {"name": PurePosixPath("password"), "data": "Hunter22"},
        [PurePosixPath("--password"), "Hunter22"],
        "secret:\n  - Hunter22",
    ],
    ids=str,
)
def test_a_name_in_a_list_marks_the_next_item_as_a_secret(holder: object):
    """Lost: passwords in the arguments of programs and in the headers of requests can be read."""
    once = clean_attributes({"a": holder})
    assert "Hunter22" not in json.dumps(once)
    assert clean_attributes(once) == once


def test_lists_of_names_and_options_are_unchanged():
    """Lost: nobody sees which options a slow command was given."""
    kept = {"a": ["cmd", "--password", "--force"], "b": ["token", "password", "name"], "name": "token", "c": "x"}
    assert clean_attributes(kept) == kept


@pytest.mark.parametrize(
    "key", ["secret_scan", "password_gate_passed", "token_validation", "secrets_found", "credential_check"]
)
@pytest.mark.parametrize("value", [True, 3, 0.5, "ok"])
def test_a_key_about_the_handling_of_secrets_keeps_its_value(key: str, value: object):
    """Lost: results of gates that look for secrets."""
    assert clean_attributes({key: value}) == {key: value}


@pytest.mark.parametrize("ordinary", ORDINARY)
def test_ordinary_names_and_values_are_unchanged(ordinary: str):
    """Lost: the names of dimensions."""
    made = span(span_name=ordinary or "x", sd_id=ordinary, attributes={"a": ordinary, "b": [ordinary]})
    assert clean(made) == made


@given(SECRET_TEXT, SECRET_TEXT, st.dictionaries(KEY, SECRET_VALUE, max_size=4))
def test_cleaning_a_clean_span_changes_nothing(name, status, attributes):
    """Lost: the same span read again from a spool would differ from itself, and be stored twice."""
    once = clean(span(span_name=name or "x", status=status, attributes=attributes))
    assert clean(once) == once


def test_an_email_that_is_kept_under_one_key_is_not_remembered_as_harmless():
    """Lost: an address that is allowed in one place would be kept everywhere."""
    address = SECRETS["e-mail address"]
    assert clean_attributes({"user.email": address}) == {"user.email": address}
    assert PLAIN["e-mail address"] not in clean_attributes({"note": address})["note"]
    assert "@" not in clean_attributes({"a": {"user.email": address}})["a"]["user.email"]
