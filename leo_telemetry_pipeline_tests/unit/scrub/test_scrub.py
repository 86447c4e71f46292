"""Secrets in texts: every kind is found, ordinary text is unchanged, and no text takes long."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.scrub import LONG, MARK, is_suspicious, names_secret, scrub
from leo_telemetry_pipeline_tests.secrets_corpus import ORDINARY, PLAIN, SECRETS

EVERY_KIND = pytest.mark.parametrize("kind", SECRETS)
SEEDS = (
    *(
        "a",
        "a1B",
        "eyJ",
        "://",
        "@",
        "a@",
        "a.",
        "a@a.",
        "%40",
        "a%40",
        "\\u0040",
        "\\",
        " ",
        "\n",
        "[",
        "{",
        "é",
        "\ud800",
    ),
    *(
        "password=",
        "password ",
        'password="',
        "password={",
        'password: "a\\"',
        "token_url=",
        "token_",
        "pass_word_",
        "key",
    ),
    *(
        '"key":"token","value":{',
        "<password>",
        "cookie: a=",
        'cookie="',
        "authorization: ",
        "api key",
        "auth",
        "secret-",
    ),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "PuTTY-User-Key-File",
        "AKIA",
        "ghp_",
        "sk-",
        "SG.",
        "SG.a",
        "1:A",
        "M",
    ),
    *("bearer ", "bearer a", "basic a", "sig=", "signature=a", "login ", "login a password ", "-u ", "-u a:", "://a:"),
    *("pwd=/", "pwd=~ ", "-token ", "tokens = ", "bearer+", "basic+", "%7B%22", "%25", "a%3a", "token: a", "token: "),
    *("PASSWORD '", "IDENTIFIED BY '", "identified by ", "b'password': b'", '["--password","', "('token','", "pass: "),
    *("secret:\n - ", "- a\n", "mysql ", "mysql -p", "redis-cli -a ", "sshpass -p", "@tcp(", "a:@tcp(", "pw=", "sk-a-"),
    *("://a:b@", "/api/webhooks/", "hooks.slack.com/", "xox", "hv", "dapi", "AGE-SECRET-KEY-1", "[redacted]", "…"),
)
PIECES = st.sampled_from([*SECRETS.values(), *SEEDS, *ORDINARY])
ANY_TEXT = st.lists(PIECES | st.text(max_size=12), max_size=8).map("".join)


@EVERY_KIND
def test_every_kind_of_secret_is_found(kind: str):
    """Lost: everybody who may read the table sees secrets of that kind."""
    assert PLAIN[kind] in SECRETS[kind]
    made = scrub(SECRETS[kind])
    assert PLAIN[kind] not in made
    assert MARK in made


@EVERY_KIND
@pytest.mark.parametrize(
    "around",
    ["Error: {} (see log)", "first line\n{}\nlast line", "<{}>", "({})", "= {},", "Ünïcode – {} …", "x" * 300 + " {}"],
)
def test_a_secret_is_found_in_the_middle_of_a_text(kind: str, around: str):
    """Lost: secrets in messages, where most of them are, can be read."""
    assert PLAIN[kind] not in scrub(around.replace("{}", SECRETS[kind]))


@EVERY_KIND
def test_a_secret_is_found_in_the_raw_text_of_json(kind: str):
    """Lost: secrets can be read in the quarantine, which keeps lines as they came."""
    line = json.dumps({"span_name": "x\n" + SECRETS[kind], "n": json.dumps({"inner": "\t" + SECRETS[kind]})})
    made = scrub(line)
    for written in (PLAIN[kind], json.dumps(PLAIN[kind])[1:-1], json.dumps(json.dumps(PLAIN[kind])[1:-1])[1:-1]):
        assert written not in made


def test_no_part_of_a_password_is_left():
    """Lost: the rest of a password after an @ or a slash can be read."""
    assert scrub("postgresql://app:p@ss/w0rd@db:5432/app") == "postgresql://[redacted]@db:5432/app"
    assert scrub('password: "a \\"b\\" c" x') == 'password: "[redacted]" x'
    assert scrub("Authorization: Digest user=1, response=2") == "Authorization: [redacted]"


@pytest.mark.parametrize("ordinary", ORDINARY)
def test_ordinary_text_is_unchanged(ordinary: str):
    """Lost: the names and ids by which slow work is found."""
    assert scrub(ordinary) is ordinary
    assert scrub(f"{ordinary}") == ordinary


@EVERY_KIND
def test_the_quick_search_for_markers_misses_no_secret(kind: str):
    """Lost: such a secret can be read, because a text without a marker is stored unchanged."""
    assert is_suspicious(SECRETS[kind]) or len(SECRETS[kind]) >= LONG


@given(ANY_TEXT)
def test_scrubbing_twice_is_like_once(text: str):
    """Lost: the same text read again from a spool would differ from itself."""
    once = scrub(text)
    assert scrub(once) == once


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_can_be_scrubbed(text: str):
    """Lost: a whole batch, because of one unusual text."""
    assert isinstance(scrub(text), str)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("end", ["", "@a", " password=x", "\n"])
def test_no_text_takes_longer_than_its_length_allows(seed: str, end: str):
    """Lost: one hostile attribute blocks the receiver, or the writer of a measured program.

    A search whose time is not linear in the length takes minutes here.
    """
    text = (seed * 10_000)[:10_000] + end
    once = scrub(text)
    assert scrub(once) == once


def test_many_folders_after_the_name_of_a_secret_take_no_longer():
    """Lost: a second of the receiver per 15,000 characters, and minutes for a few such texts."""
    text = "pwd=/" * 50_000
    assert scrub(text) is text


def test_a_list_below_the_name_of_a_secret_is_removed_completely():
    """Lost: the secrets in a settings file can be read."""
    assert scrub("secret:\n  - Hunter22\n  - Hunter23\nname: x") == "secret:\n  [redacted]\nname: x"


def test_growth_is_linear():
    """Lost: texts so long that a search in quadratic time would never end block the receiver."""
    for seed in (
        "a",
        "eyJ",
        "password=",
        "a@",
        "token_url=",
        '"key":"token","value":{',
        "://a:",
        "-u a",
        "%7B",
        '["token","',
    ):
        scrub((seed * 100_000)[:100_000] + " password=x")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        *(
            (key, True)
            for key in ("password", "DB_PASSWORD", "apiKey", "api-key", "X-Auth-Token", "Set-Cookie", "auth")
        ),
        *(
            (key, True)
            for key in ("aws.secret_access_key", "refresh_tokens", "private key", "credentials", "PGPASSWORD")
        ),
        *((key, False) for key in ("tokens", "max_tokens", "token_budget", "tokenizer", "author", "key", "cache_key")),
        *(
            (key, True)
            for key in ("DB_PW", "password2", "token_hash", "api_key_value", "SECRET_KEY_BASE", "jsessionid")
        ),
        *(
            (key, False)
            for key in ("secret_scan", "password_gate_passed", "token_validation", "secrets_found", "keyword")
        ),
        *((key, False) for key in ("credential_check", "secretary", "passwordless", "prompt_token_ids", "upward")),
        *((key, False) for key in ("private_keyboard", "test_token.py", "output_token", "check_credentials", "bypass")),
        *((key, False) for key in ("has_token", "secret_name", "password_file", "authority", "", "GATE_TOKEN_BUDGET")),
    ],
)
def test_a_key_names_a_secret_or_only_mentions_one(key: str, expected: bool):
    """Lost: passwords without a recognizable form can be read, or counts of tokens are removed."""
    assert names_secret(key) is expected


def test_nothing_is_imported_or_compiled_before_a_text_needs_it():
    """Lost: milliseconds at the start of every program that is measured."""
    code = (
        "import sys; before = set(sys.modules); import leo_telemetry_pipeline.redact; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert not {"re", "json", "uuid", "logging", "dataclasses", "pathlib", "random"} & set(done.stdout.split())
