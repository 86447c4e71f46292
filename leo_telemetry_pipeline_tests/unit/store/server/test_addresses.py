"""Addresses of databases as people paste them: read if they are unambiguous, otherwise refused in one line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import make_url

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server import addresses
from leo_telemetry_pipeline.store.server.database import outside

VARIABLE = "LEO_TELEMETRY_DATABASE_URL"
SECRET = "hunter2"
PLAIN = {"host": "h.example", "port": "5432", "dbname": "db", "user": "u", "password": SECRET}
URL = f"postgresql://u:{SECRET}@h.example:5432/db"


def with_password(password: str) -> dict[str, str]:
    """Return PLAIN with another password."""
    return PLAIN | {"password": password}


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        (URL, PLAIN),
        (f"{URL}?pgbouncer=true&connection_limit=1", PLAIN),
        (f"{URL}?schema=public", PLAIN),
        (f"{URL}?currentSchema=public&prepareThreshold=0", PLAIN),
        (f"{URL}?sslmode=require&supa=base-pooler.x", PLAIN | {"sslmode": "require"}),
        (f"{URL}?ssl=true", PLAIN | {"sslmode": "require"}),
        (f"{URL}?sslmode=no-verify&uselibpqcompat=true", PLAIN | {"sslmode": "require"}),
        (f"{URL}?options=-c%20search_path%3Dx", PLAIN | {"options": "-c search_path=x"}),
        (f"{URL}?application_name=a@b", PLAIN | {"application_name": "a@b"}),
        (f'"{URL}"', PLAIN),
        (f"'{URL}' ", PLAIN),
        (f"  {URL}\n", PLAIN),
        (f"{URL};", PLAIN),
        (f"<{URL}>", PLAIN),
        (f"\u201c{URL}\u201d", PLAIN),
        (f'{URL}"', PLAIN),
        (f"\ufeff{URL}", PLAIN),
        (f"export DATABASE_URL={URL}", PLAIN),
        (f'DATABASE_URL = "{URL}"', PLAIN),
        (f"DATABASE_URL: {URL}", PLAIN),
        (f"psql '{URL}'", PLAIN),
        (f"psql -d {URL}", PLAIN),
        (f"postgresql://u:{SECRET}@h.exa\n  mple:5432/db", PLAIN),
        (URL.replace("postgresql", "postgres"), PLAIN),
        (URL.replace("postgresql", "postgresql+psycopg"), PLAIN),
        (URL.replace("postgresql", "postgresql+asyncpg"), PLAIN),
        (URL.replace("postgresql", "postgresql+psycopg2"), PLAIN),
        (URL.replace("postgresql", "postgres+pg8000"), PLAIN),
        (URL.replace("postgresql", "PostgreSQL"), PLAIN),
        (f"jdbc:{URL}", PLAIN),
        (f"jdbc:postgresql://h.example:5432/db?user=u&password={SECRET}", PLAIN),
        ("jdbc:postgresql://h.example:5432/db?user=u&password=a%26b", with_password("a&b")),
        (f"host=h.example port=5432 dbname=db user=u password={SECRET}", PLAIN),
        (f"'host=h.example port=5432 dbname=db user=u password={SECRET}'", PLAIN),
        ("host=h.example port=5432 dbname=db user=u password='a b'", with_password("a b")),
        *(
            (f"postgresql://u:{raw}@h.example:5432/db", with_password(raw))
            for raw in (
                "p@ss",
                "p/ss",
                "p#ss",
                "p%ss",
                "p?ss",
                "p:ss",
                "p ss",
                "@",
                "a@b/c#d?e:f%",
                "x?y=1@z",
                "1/2@3",
                "[p]",
            )
        ),
        ("postgresql://u:p%40ss@h.example:5432/db", with_password("p@ss")),
        ("postgresql://u:100%25@h.example:5432/db", with_password("100%")),
        ("postgresql://u:password@h.example:5432/db", with_password("password")),
        ("postgresql://u:[myPassw0rd]@h.example:5432/db", with_password("[myPassw0rd]")),
        ("postgresql://u:$Password1@h.example:5432/db", with_password("$Password1")),
        ("postgresql://u:$ecret@h.example:5432/db", with_password("$ecret")),
        (f"postgresql://u@tenant:{SECRET}@h.example:5432/db", PLAIN | {"user": "u@tenant"}),
        (f"postgresql://u:{SECRET}@[2001:db8::1]:5432/db", PLAIN | {"host": "2001:db8::1"}),
        (f"postgresql://u:{SECRET}@a:1,b:2/db", PLAIN | {"host": "a,b", "port": "1,2"}),
        (f"postgresql://u:{SECRET}@%2Fvar%2Frun:5432/db", PLAIN | {"host": "/var/run"}),
        ("postgresql://u@/db?host=/run/pg", {"host": "/run/pg", "user": "u", "dbname": "db"}),
        ("postgresql://h.example", {"host": "h.example"}),
    ],
)
def test_an_unambiguous_address_is_read(pasted: str, meant: dict[str, str]):
    """Lost: an evening spent on an address that every other program accepts, because the message names no reason."""
    assert addresses.parts_of(pasted, VARIABLE) == meant


@pytest.mark.parametrize(
    ("pasted", "named"),
    [
        ("postgresql://postgres:[YOUR-PASSWORD]@db.example:5432/postgres", r"\[YOUR-PASSWORD\].*password"),
        ("postgresql://u:<password>@h/db", "<password>"),
        ("postgresql://u:${DB_PASSWORD}@h/db", r"\$\{DB_PASSWORD\}"),
        ("postgresql://u:your-password@h/db", "your-password"),
        ("postgresql://u:********@h/db", r"\*\*\*"),
        (f"postgresql://u:{SECRET}@db.[YOUR-PROJECT-REF].supabase.co/db", r"\[YOUR-PROJECT-REF\].*host"),
        (f"postgresql://u:{SECRET}@<host>/db", "<host>.*host"),
        (f"postgresql://u:{SECRET}@h/[dbname]", r"\[dbname\].*database"),
        (f"postgresql://<user>:{SECRET}@h/db", "<user>.*user"),
        (f"{URL}?schema=shop", "schema=shop.*search_path"),
        (f"{URL}?no_such=1", "'no_such'.*remove it"),
        (f"{URL}?sslmode", "parameter without a value"),
        (f"postgresql://u:{SECRET}@/db", "no host"),
        (f"postgresql:///db?user=u&password={SECRET}", "no host"),
        (f"postgresql://u:{SECRET}@:5432/db", "no host"),
        (f"postgresql://u:{SECRET}@h:port/db", "port.*number"),
        (f"postgresql://u:{SECRET}@h:99999/db", "port.*number"),
        (f"postgresql://u:{SECRET}@2001:db8::1:5432/db", r"IPv6.*\[2001:db8::1\]"),
        (f"{URL}#fragment", "#.*%23"),
        (f"{URL}/more", "second /"),
        (f"postgresql://u:{SECRET}@my host/db", "space in its host"),
        (f"postgresql://u:{SECRET}@h/my db", "space in its database"),
        (f"postgresql://100%:{SECRET}@h/db", "% in its user.*%25"),
        (f"postgresql://u:{SECRET}@%40@h/db", "ambiguous"),
        (f"mysql://u:{SECRET}@h/db", "not a PostgreSQL address.*postgresql://user"),
        (f"https://u:{SECRET}@h.supabase.co", "web page.*connection string"),
        (f"u:{SECRET}@h/db", "begin with postgresql://"),
        (f"psql -h h.example -U u --password {SECRET}", "psql command.*postgresql://user"),
        (f"dbname=db user=u password={SECRET}", "host="),
        (f"host=h pasword={SECRET}", "keywords.*cannot read"),
        (f"host=h password=a {SECRET}", "keywords.*quotes"),
        ("", "not a PostgreSQL address"),
        ("nonsense", "not a PostgreSQL address"),
        ("postgresql:", "not a PostgreSQL address"),
    ],
)
def test_an_error_in_an_address_is_reported_with_its_remedy(pasted: str, named: str):
    """Lost: people see "not a PostgreSQL address" because of one wrong word, or their password on the screen."""
    with pytest.raises(UserError) as error:
        addresses.parts_of(pasted, VARIABLE)
    assert error.value.exit_code == 3
    assert re.match(f"{VARIABLE} .*{named}", error.value.message), error.value.message
    assert SECRET not in error.value.message
    assert "\n" not in error.value.message


def outcome(pasted: str) -> tuple[dict[str, str] | None, str]:
    """Return how an address is read, and the text that a person sees."""
    try:
        parts = addresses.parts_of(pasted, VARIABLE)
    except UserError as error:
        return None, error.message
    return parts, addresses.shown(parts)


@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1))
def test_no_password_is_truncated_or_shown(password: str):
    """Lost: the password appears in a terminal, a log or a bug report; or the server gets another one."""
    marked = f"#{SECRET}{password}{SECRET}@"
    parts, said = outcome(f"postgresql://u:{marked}@h.example:5432/db")
    assert SECRET not in said
    assert parts in (None, with_password(marked))


def test_ignored_parameters_of_an_address_are_named():
    """Lost: a parameter is silently ignored, and its owner believes that it works."""
    pasted = f"'{URL}?pgbouncer=true&sslmode=require&connection_limit=1'"
    assert addresses.ignored(pasted) == ["pgbouncer", "connection_limit"]
    assert addresses.ignored(URL) == []


def test_variables_that_redirect_an_address_are_named():
    """Lost: an hour, because PGHOSTADDR redirects the connection to another host."""
    environ = {"PGHOSTADDR": "192.0.2.1", "PGOPTIONS": "-c search_path=x", "PGAPPNAME": "x"}
    assert addresses.environment_overrides(PLAIN, environ) == ["PGHOSTADDR", "PGOPTIONS"]
    assert addresses.environment_overrides(PLAIN | {"hostaddr": "192.0.2.2"}, environ) == ["PGOPTIONS"]
    said = addresses.cannot_connect("it", VARIABLE, "failed: no route", PLAIN, environ)
    assert f"are {VARIABLE}, PGHOSTADDR, PGOPTIONS right?" in said
    assert addresses.remarks(f"{URL}?pgbouncer=true", {}).endswith(
        "of other drivers in its address are ignored: pgbouncer"
    )


def test_brackets_around_a_password_are_named_when_it_is_refused():
    """Lost: an hour, because a password was typed between the brackets of [YOUR-PASSWORD]."""
    refused = "password authentication failed"
    for password, named in (("[x]", True), ("x", False), ("", False), ("[x", False)):
        said = addresses.cannot_connect("it", VARIABLE, refused, PLAIN | {"password": password}, {})
        assert ("remove the brackets" in said) == named


def test_both_addresses_are_read_in_the_same_way():
    """Lost: one variable accepts an address and the other does not."""
    target = outside(f'"{URL}?pgbouncer=true"', "dagster", "postgresql+asyncpg://u:p@ss@direct.example/db")
    assert target.shown == "postgresql://u@h.example:5432/db"
    assert target.dagster_shown == "postgresql://u@direct.example/db"
    assert "pgbouncer" not in target.dsn
    with pytest.raises(UserError, match="LEO_TELEMETRY_DAGSTER_DATABASE_URL still has"):
        outside(URL, "dagster", "postgresql://u:[YOUR-PASSWORD]@direct.example/db")


@pytest.mark.parametrize(
    "meant",
    [
        PLAIN | {"password": "a b"},
        PLAIN | {"password": " +%20&=#?/é "},
        PLAIN | {"user": "John Doe", "dbname": "my data"},
        PLAIN | {"options": "endpoint=ep-x -csearch_path=dagster"},
        PLAIN | {"options": "-c statement_timeout=0"},
    ],
)
def test_all_readers_of_an_address_for_sqlalchemy_agree(meant: dict[str, str]):
    """Lost: a password with a space is right for our tables and wrong for Dagster's."""
    written = addresses.for_sqlalchemy(meant)
    assert addresses.parts_of(written, VARIABLE) == meant
    _, given = PGDialect_psycopg2().create_connect_args(make_url(written))
    assert {name: str(value) for name, value in given.items()} == meant


@pytest.mark.parametrize("text", ['"~/x"', "'~/x'", " ~/x ", '" ~/x "'])
def test_quotes_and_spaces_around_a_setting_are_not_part_of_it(text: str, monkeypatch: pytest.MonkeyPatch):
    """Lost: the quotes of a .env file create a folder named "~, or the setting is refused."""
    from leo_telemetry_pipeline.cli.claude import hook

    monkeypatch.setenv("HOME", "/somewhere")
    named = {"LEO_TELEMETRY_HOME": text, "LEO_TELEMETRY_ENABLED": '"false"', "LEO_TELEMETRY_KEEP": "'99d'"}
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert str(settings.home) == hook.home() == "/somewhere/x"
    assert hook.switched_off()
    assert not settings.enabled
    assert settings.keep == 99


def test_a_user_without_a_home_folder_gets_the_root_folder(monkeypatch: pytest.MonkeyPatch):
    """Lost: every user of a container without an entry in /etc/passwd gets a traceback from pathlib."""
    from leo_telemetry_pipeline import settings
    from leo_telemetry_pipeline.cli.claude import hook

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("LEO_TELEMETRY_HOME", raising=False)
    for name in ("geteuid", "getuid"):
        monkeypatch.setattr(f"os.{name}", lambda: 61_999)
    assert str(settings.user_folder()) == "/"
    assert str(Settings().home) == hook.home()
    assert hook.home().startswith("/")
