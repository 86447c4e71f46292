"""What may be stored: whatever a program puts into a span, the store can hold it."""

import datetime
import enum
import json
import math
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.analysis.span_measures import MEASURES, Measure
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.redact import (
    MAX_KEY,
    MAX_NAME,
    MAX_TEXT,
    REACH,
    Policy,
    clean,
    clean_attributes,
    clean_text,
    flat,
    shown,
    text,
)
from leo_telemetry_pipeline.sources.files import reader
from leo_telemetry_pipeline.sources.rows import span_from_row
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline_tests.secrets_corpus import ORDINARY, PLAIN, SECRETS

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4) | st.tuples(inner),
    max_leaves=20,
)
# Texts with secrets, and pieces that make new ones where they meet.
PIECES = st.sampled_from(
    [*SECRETS.values(), "password=", "token: ", '"', "'", "[redacted]", "…", "@", "://", " ", "\\"]
)
SECRET_TEXT = st.lists(PIECES | ANY_TEXT, max_size=6).map("".join)
KEY = st.sampled_from(["password", "max_tokens", "note", "user.email", "value", "key"]) | SECRET_TEXT
SECRET_VALUE = st.recursive(
    SECRET_TEXT | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3)
)
EVERY_KIND = pytest.mark.parametrize("kind", SECRETS)


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
    assert {made.span_name[-17], key[-17], value[-1]} == {"…"}
    assert clean_text(value) == value


DEEP = {"request": {"user": {"name": "Jane Doe"}, "user_id": "u-77", "n": 1}, "steps": [[{"userId": "u"}, 5]]}


def test_who_did_it_is_left_out_at_every_depth():
    """Lost otherwise: the privacy of whoever's agent did the work."""
    for keep in (Policy().own, Policy(("request", "steps")).foreign):
        removed: dict[str, int] = {}
        assert keep(DEEP, removed) == {"request": {"n": 1}, "steps": [[{}, 5]]}
        assert removed == {"request.user": 1, "request.user_id": 1, "steps.userId": 1}
    assert Policy(keep_identity=True).own(DEEP, {}) == DEEP


@pytest.mark.parametrize(
    "key", ["userId", "user-id", "UserEmail", "accountUuid", "account.id", "organizationId", "USER_ID", "user.x.y"]
)
def test_who_did_it_is_left_out_however_it_is_written(key: str):
    """Lost otherwise: the same, to the first library that writes keys in its own way."""
    removed: dict[str, int] = {}
    assert Policy().own({key: "x", "user_prompt_length": 6, "user_agent.name": "curl"}, removed) == {
        "user_prompt_length": 6,
        "user_agent.name": "curl",
    }
    assert removed == {key: 1}


def test_looking_for_identities_ends_where_an_object_holds_itself():
    """Lost otherwise: a program that attaches such an object would hang."""
    endless: dict = {"user": 1}
    endless["self"] = [endless] * 50
    assert len(json.dumps(clean_attributes(Policy().own(endless, {})))) < 1_000_000


def everything_in(made: Span) -> str:
    """Return all texts of a span, as they would stand in a dump of the table."""
    return json.dumps([getattr(made, name) for name in COLUMNS], ensure_ascii=False)


def holds(made: Span, kind: str) -> bool:
    """Say whether a span still has the secret of that kind, as it is or as JSON writes it."""
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
def test_a_secret_is_found_wherever_it_stands(kind: str, place: str):
    """Lost: a password or a person's address, to everybody who may read the table."""
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
def test_what_a_key_that_names_a_secret_holds_goes_as_a_whole(key: str, value: object):
    """Lost: secrets that look like nothing, as most passwords do."""
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
def test_a_key_that_only_speaks_of_tokens_and_secrets_keeps_its_value(key: str):
    """Lost: token counts, the first thing to look at where a model is slow."""
    assert clean_attributes({key: 5, "a": {key: "x"}}) == {key: 5, "a": {key: "x"}}


def test_a_pair_of_key_and_value_is_read_as_one():
    """Lost: secrets in lists of headers and of OpenTelemetry's attributes."""
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
        "secret:\n  - Hunter22",
    ],
    ids=str,
)
def test_a_name_in_a_list_names_the_secret_behind_it(holder: object):
    """Lost: passwords in the arguments of programs, and in the headers of requests."""
    once = clean_attributes({"a": holder})
    assert "Hunter22" not in json.dumps(once)
    assert clean_attributes(once) == once


def test_lists_of_names_and_options_stay():
    """Lost: which options a slow command was given."""
    kept = {"a": ["cmd", "--password", "--force"], "b": ["token", "password", "name"], "name": "token", "c": "x"}
    assert clean_attributes(kept) == kept


@pytest.mark.parametrize(
    "key", ["secret_scan", "password_gate_passed", "token_validation", "secrets_found", "credential_check"]
)
@pytest.mark.parametrize("value", [True, 3, 0.5, "ok"])
def test_what_is_only_about_secrets_keeps_its_value(key: str, value: object):
    """Lost: results of gates that look for secrets."""
    assert clean_attributes({key: value}) == {key: value}


@pytest.mark.parametrize("ordinary", ORDINARY)
def test_ordinary_names_and_values_stay_as_they_are(ordinary: str):
    """Lost: names that dimensions are made of."""
    made = span(span_name=ordinary or "x", sd_id=ordinary, attributes={"a": ordinary, "b": [ordinary]})
    assert clean(made) == made


@given(SECRET_TEXT, SECRET_TEXT, st.dictionaries(KEY, SECRET_VALUE, max_size=4))
def test_cleaning_a_clean_span_changes_nothing(name, status, attributes):
    """Lost: the same span read again from a spool would differ from itself, and be stored twice."""
    once = clean(span(span_name=name or "x", status=status, attributes=attributes))
    assert clean(once) == once


@EVERY_KIND
def test_no_secret_is_cut_in_two_and_then_missed(kind: str):
    """Lost: the first half of a key, at the end of a long message, or a whole one that is not much longer."""
    secret = PLAIN[kind]
    pieces = {secret[at : at + 12] for at in range(max(1, len(secret) - 11))}
    size = len(SECRETS[kind])
    for place in (*range(100 - size, 102, 1 + size // 16), 100 + REACH - size, 100 + REACH - size // 2):
        for filler in ("x y ", "password=hunter2 "):
            made = text((filler * 2_000)[: max(place, 0)] + " " + SECRETS[kind] + " end" * 2_000, 100)
            assert len(made) <= 100
            assert not [piece for piece in pieces if piece in made]


@given(SECRET_TEXT, st.integers(12, 80))
def test_a_cut_text_is_not_cut_again(given_text, limit):
    """Lost: the same text read twice would differ from itself."""
    once = text(given_text, limit)
    assert len(once) <= limit
    assert text(once, limit) == once


def test_what_was_found_harmless_is_not_remembered_for_an_email_that_was_kept():
    """Lost: an address that is allowed in one place would be let through in all."""
    address = SECRETS["e-mail address"]
    assert clean_attributes({"user.email": address}) == {"user.email": address}
    assert PLAIN["e-mail address"] not in clean_attributes({"note": address})["note"]
    assert "@" not in clean_attributes({"a": {"user.email": address}})["a"]["user.email"]


def test_messages_may_quote_values():
    """Lost: secrets in the reasons of the quarantine, or a reason without the value that it is about."""
    assert shown("12x") == "'12x'"
    assert shown(["a"]) == "\"['a']\""
    assert PLAIN["connection string"] not in shown("x" * 40 + " " + SECRETS["connection string"])


def test_a_short_text_for_deep_values_has_no_half_of_a_secret():
    """Lost: the rest of a long key whose middle was left out."""
    made = flat([["x" * 60 + " " + SECRETS["private key"] + "y" * 60]])
    assert "[redacted]" in made
    assert PLAIN["private key"][:10] not in made


@EVERY_KIND
def test_no_secret_reaches_the_quarantine(kind: str, tmp_path: Path):
    """Lost: secrets of lines that gave no span, kept for a person to look at."""
    secret = SECRETS[kind]
    row = {"trace_id": str(uuid.UUID(int=1)), "span_id": str(uuid.UUID(int=2)), "span_type": "gate", "start_time_ms": 1}
    lines = [
        json.dumps({**row, "attributes": {"note": secret}}),
        json.dumps({**row, "span_name": "G", "trace_id": secret}),
        json.dumps({**row, "span_name": "G", "start_time_ms": "x" * 50 + " " + secret}),
        json.dumps({**row, "span_name": "G", "span_type": "+" + secret}),
        json.dumps(secret),
        "no json " + json.dumps(secret),
        " " * 1_985 + secret.replace("\n", r"\n") + " x" * 5_000,
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(lines) + "\n")
    bad = list(reader.read(tmp_path / "x.jsonl"))
    assert [type(each) for each in bad] == [reader.BadLine] * len(lines)
    for each in bad:
        assert isinstance(each, reader.BadLine)
        told = each.reason + each.text
        for written in (PLAIN[kind], json.dumps(PLAIN[kind])[1:-1]):
            assert written not in told


def test_a_row_loses_identities_only_and_they_are_counted(tmp_path: Path):
    """Lost: what a person chose to import, or the privacy of whoever did the work."""
    row = {"trace_id": str(uuid.UUID(int=1)), "span_id": str(uuid.UUID(int=2)), "span_type": "gate", "span_name": "G"}
    row |= {"start_time_ms": 1, "anything": "x", "attributes": {"user.id": "x", "prompt": "hi", "password": "hunter2"}}
    removed: dict[str, int] = {}
    made = span_from_row(row, removed=removed)
    assert made.attributes == {"anything": "x", "prompt": "hi", "password": "[redacted]"}
    assert removed == {"user.id": 1}
    assert span_from_row(row, policy=Policy(keep_identity=True)).attributes["user.id"] == "x"


def test_the_header_of_a_wrong_file_is_shown_without_secrets(tmp_path: Path):
    """Lost: secrets on the terminal and in its logs, where a file of something else was named."""
    (tmp_path / "x.csv").write_text("trace_id,password=hunter2,c\n1,2,3\n")
    with pytest.raises(UserError) as error:
        list(reader.read(tmp_path / "x.csv"))
    assert "hunter2" not in error.value.message


FOREIGN = {
    "service.name": "shop",
    "http.request.method": "GET",
    "k8s.pod.name": "p",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.request.model": "m",
    "queue_ms": 7,
    "gate_score": 90,
    "session.id": "s",
}
REMOVED = {
    "gen_ai.prompt.0.content": "hi",
    "gen_ai.input.messages": "hi",
    "gen_ai.tool.call.arguments": "{}",
    "db.statement": "SELECT 1",
    "user_prompt": "hi",
    "code.file.path": "/x",
    "k8s.pod.label.owner": "x",
    "notes_ms": "hi",
    "user.id": "x",
    "enduser.id": "x",
}


def test_of_other_instrumentation_only_harmless_keys_stay_and_the_rest_is_counted():
    """Lost: prompts, commands and file paths, which exporters add by themselves; and why a key is missing."""
    removed: dict[str, int] = {}
    policy = Policy()
    assert policy.foreign({**FOREIGN, **REMOVED}, removed) == FOREIGN
    assert policy.foreign(FOREIGN, removed) == FOREIGN
    assert policy.foreign({"user_prompt": "again"}, removed) == {}
    assert removed == {**dict.fromkeys(REMOVED, 1), "user_prompt": 2}


# As Claude Code 2.1.332 sends them, and OpenTelemetry's conventions for requests to a model.
OF_A_REQUEST = {
    "ttft_ms": 99,
    "input_tokens": 1000,
    "output_tokens": 50,
    "cache_read_tokens": 10,
    "cache_creation_tokens": 5,
    "effort": "medium",
    "attempt": 1,
    "stop_reason": "end_turn",
    "model": "claude-opus-5-5",
    "speed": "normal",
    "query_source_safe": "sdk",
    "success": True,
    "gen_ai.response.time_to_first_chunk": 0.5,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cache_read.input_tokens": 10,
}


def test_what_says_why_a_request_to_a_model_was_slow_is_kept():
    """Lost: time to first token and tokens, thrown away before anybody could look at them."""
    assert Policy().foreign({**OF_A_REQUEST, "user_prompt": "hi", "ttft_ms_note": "hi"}, {}) == OF_A_REQUEST


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_measure_that_is_shown_gets_through(measure: Measure):
    """Lost: a column that stays empty for ever."""
    attributes = {name: 1 for name, _ in measure.attributes}
    assert Policy().foreign(attributes, {}) == attributes


def test_a_setting_keeps_more_keys_by_name_or_by_beginning():
    """Lost: attributes of one's own instrumentation, with no way to have them."""
    policy = Policy(("db.statement", "shop.*"))
    attributes = {"db.statement": "SELECT 1", "shop.cart": 1, "shopping": 1, "user.id": "x"}
    assert policy.foreign(attributes, {}) == {"db.statement": "SELECT 1", "shop.cart": 1}


def test_identities_stay_only_when_switched_on():
    """Lost: the privacy of whoever's agent did the work."""
    identities = {
        "user.id": "x",
        "User.Email": "a@b.example",
        "organization.id": "x",
        "account_uuid": "x",
        "email": "x",
    }
    chosen = {"user_prompt_length": 6, "anything": "x"}
    removed: dict[str, int] = {}
    assert Policy().own({**identities, **chosen}, removed) == chosen
    assert removed == dict.fromkeys(identities, 1)
    for kept in (Policy(keep_identity=True).own, Policy(keep_identity=True).foreign):
        assert clean_attributes(kept(identities, removed)) == identities
    assert removed == dict.fromkeys(identities, 1)


def test_names_of_removed_keys_are_short_few_and_without_secrets():
    """Lost: a table that grows with every key that somebody makes up."""
    removed: dict[str, int] = {}
    Policy().foreign({**{f"key {number}": 1 for number in range(500)}, "k" * 500: 1}, removed)
    assert (len(removed), removed["…"], sum(removed.values())) == (201, 301, 501)
    Policy().foreign({SECRETS["GitHub personal token"]: 1, "k" * 500: 1}, counted := {})
    assert max(map(len, counted)) == 100
    assert PLAIN["GitHub personal token"] not in json.dumps(counted)


UNSHOWN = [chr(n) for n in (0, 7, 8, 11, 13, 27, 31, 127, 128, 0x9B, 0x202A, 0x202E, 0x2066, 0x2069, 0xD800)]


@pytest.mark.parametrize("letter", UNSHOWN, ids=ascii)
def test_what_steers_a_terminal_is_not_kept(letter: str):
    """Lost: whoever may send a span rewrites what a person reads in a terminal."""
    name, long = f"a{letter}b", f"wörd {letter}[31m " * 30
    made = clean(span(span_name=name, sd_id=name, attributes={name: name, "list": [name], "long": long}))
    told = name.replace(letter, "\ufffd")
    attributes = {told: told, "list": [told], "long": long.replace(letter, "\ufffd")}
    assert (made.span_name, made.sd_id, made.attributes) == (told, told, attributes)
    assert clean(made) == made
    assert clean_text(name) == text(name) == told
    assert letter not in flat({"a": [name]})


def test_lines_and_every_script_stay_as_they_are():
    """Lost: the lines of a message, and the letters of a language."""
    family, right_to_left = "\U0001f468\u200d\U0001f469", "\u05e9\u05dc\u05d5\u05dd\u200f"
    for value in ("one\ntwo\tthree", "é\n\tü", family, right_to_left, "a\u00a0b"):
        assert text(value) is value
        assert clean_text(value) is value
        made = span(span_name=value, attributes={"a": value})
        assert clean(made) is made
    assert text("one\r\ntwo") == "one\ntwo"
