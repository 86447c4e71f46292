"""Addresses of outside databases: tolerant parsing, display without the password, error messages.

Belongs here: messages about addresses and homes. Does not: connecting (database). No message contains any part of a
password.
"""

import errno
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlencode

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.setting_values import unquoted
from leo_telemetry_pipeline.settings import PREFIX

DAGSTER_URL_VARIABLE = PREFIX + "DAGSTER_DATABASE_URL"
_EXAMPLE = "it looks like postgresql://user:password@host:5432/database"

# Any driver name may follow the plus, since we choose the driver.
_SCHEME = re.compile(r"(?:jdbc:)?(?:postgres|postgresql|pgsql)(?:\+\w+)?", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"\A(?:export\s+|set\s+)?[A-Z][A-Z0-9_]*\s*[=:]\s*(?=\S)")
_COMMAND = re.compile(r"\Apsql\s+(?:-d\s*|--dbname[= ])?(?=\S)")
_HOST = r"(?:\[[^\]@/?#\s]+\]|[^:,@/?#]*)(?::[^\[\]:,@/?#]*)?"
_REST = rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?:/(?P<database>[^@/?#]*))?(?:\?(?P<query>[^#]*))?"
_CLEAN = re.compile(rf"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^:@/?#\s]*))?@)?{_REST}")
# A password with raw special characters ends at the last @ that can precede a host.
_RAW = re.compile(rf"(?P<user>[^:/?#\s]*):(?P<password>.*)@{_REST}", re.DOTALL)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNFILLED = re.compile(r"\[[\w .-]+\]|<[\w .-]+>|\{+[\w .-]+\}+|\$\{?[A-Z][A-Z_]*\}?|\.{3,}|\bYOUR[-_]\w+(?:[-_]\w+)*")
# Exact words only: other text in brackets may be a real password, which no message may show.
_UNFILLED_PASSWORD = re.compile(
    r"(?i:[\[<{]+(?:(?:your|my|the|db|database|postgres|user|real)[-_ ]?)*(?:password|pass|pwd)(?:[-_ ]?here)?[\]>}]+)"
    r"|(?i:your[-_ ](?:(?:db|database|postgres)[-_ ])?password)"
    r"|\$\{\w+\}|\$\(\w+\)|\$[A-Z_]*(?:PASSWORD|PASS|PWD|SECRET)|[.*\u2022]{3,}"
)
# Parameters of other drivers or their pools, which mean nothing here.
_OF_OTHERS = {
    "pgbouncer": None,
    "connection_limit": None,
    "pool_timeout": None,
    "pool_mode": None,
    "socket_timeout": None,
    "statement_cache_size": None,
    "prepared_statement_cache_size": None,
    "preparethreshold": None,
    "prepared_statements": None,
    "uselibpqcompat": None,
    "supa": None,
    "workaround": None,
    "sslaccept": None,
    "schema": "public",
}
_SAME_AS = {"ssl": "sslmode", "currentschema": "schema"}
_SSL = {"true": "require", "1": "require", "no-verify": "require", "false": "disable", "0": "disable"}
# Variables that libpq reads even if an address names a server.
_ALSO_DECIDE = {"PGHOSTADDR": "hostaddr", "PGOPTIONS": "options", "PGTARGETSESSIONATTRS": "target_session_attrs"}


class _UrlParts(NamedTuple):
    user: str
    password: str | None
    hosts: str
    database: str
    query: str


def parts_of(text: str, variable: str) -> dict[str, str]:
    """Parse an address into libpq's parameters. Raises UserError (exit 3) that names the variable and the fault."""
    address = _unwrapped(text)
    scheme, separator, rest = address.partition("://")
    if separator and _SCHEME.fullmatch(scheme):
        return _of_url(rest, variable, jdbc=scheme.lower().startswith("jdbc:"))
    if re.match(r"\w+\s*=", address):
        return _of_keywords(address, variable)
    if _COMMAND.match(address):
        raise _wrong(variable, f"is a psql command with options: use an address instead; {_EXAMPLE}")
    if separator and scheme.lower() in ("http", "https"):
        raise _wrong(variable, "is the address of a web page: copy the database's connection string instead")
    if not separator and "@" in address:
        raise _wrong(variable, "does not begin with postgresql://: add that")
    raise UserError(not_an_address(variable), NO_DATABASE)


def ignored(text: str) -> list[str]:
    """Return the parameters of an address that we ignore because only other drivers know them."""
    names = [pair.partition("=")[0] for pair in _unwrapped(text).partition("?")[2].split("&")]
    return [name for name in names if name.lower() in _OF_OTHERS]


def environment_overrides(parts: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Return the environment variables that override or extend an address."""
    return [name for name, part in _ALSO_DECIDE.items() if environ.get(name) and part not in parts]


def remarks(text: str, environ: Mapping[str, str]) -> str:
    """Return a message on ignored parameters and on variables that affect the address, empty if there are none."""
    notes = []
    if left_out := ignored(text):
        notes.append(f"parameters of other drivers in its address are ignored: {', '.join(left_out)}")
    if others := environment_overrides(parts_of(text, "address"), environ):
        notes.append(f"the environment also changes where it connects: {', '.join(others)}")
    return "".join(f"; {note}" for note in notes)


def shown(parts: Mapping[str, str]) -> str:
    """Return an address for display, without its password."""
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{parts.get('user', '')}@{parts['host']}{port}/{parts.get('dbname', '')}"


def for_sqlalchemy(parts: Mapping[str, str]) -> str:
    """Return an address for SQLAlchemy, which passes the query parameters to libpq."""
    # Do not encode a space as a plus, which libpq and parts_of read literally.
    query = urlencode({name: value for name, value in parts.items() if name != "dbname"}, quote_via=quote)
    return f"postgresql+psycopg2:///{quote(parts.get('dbname', ''), safe='')}?{query}"


def not_an_address(variable: str) -> str:
    """Return the message for a variable without an address."""
    return f"{variable} is not a PostgreSQL address: {_EXAMPLE}"


def needs_direct_address(shown: str) -> str:
    """Return the message for a pooler that Dagster cannot use."""
    return (
        f"{shown} is a pooler that does not accept search_path, which Dagster's own tables need: "
        f"set {DAGSTER_URL_VARIABLE} to a direct address of the server"
    )


def cannot_connect(shown: str, variable: str, error: str, parts: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Return the message for a failed connection, by the driver's ``error`` and the address."""
    if "unsupported startup parameter" in error:
        return needs_direct_address(shown)
    if "password authentication failed" in error or "no password supplied" in error:
        secret = parts.get("password", "")
        brackets = "; remove the brackets around the password" if secret[:1] + secret[-1:] in ("[]", "<>", "{}") else ""
        return f"{shown} refuses the user or the password: check them in {variable}{brackets}"
    if "does not exist" in error and "database" in error:
        return f"{shown} does not exist: create it, or correct {variable}"
    others = environment_overrides(parts, environ)
    right = f"are {', '.join([variable, *others])}" if others else f"is {variable}"
    return f"{shown} does not answer ({_reason(error)}): is it running, and {right} right?"


def cannot_connect_to_own(shown: str, home: str, error: str) -> str:
    """Return the message for a failed connection to the embedded server."""
    if "password" in error:
        return f"{shown} refuses the password in {home}/pgpass: restore the original file"
    return f"{shown} does not answer ({_reason(error)}): is `leo-telemetry` running?"


def _reason(error: str) -> str:
    return error.strip().splitlines()[0].split("failed: ")[-1] if error.strip() else "no answer"


def _wrong(variable: str, what: str) -> UserError:
    return UserError(f"{variable} {what}", NO_DATABASE)


def _unwrapped(text: str) -> str:
    """Strip the variable name, command and quotes around a pasted address."""
    before = None
    while text != before:
        before = text
        text = unquoted(text.strip().strip("\ufeff\u200b;").strip())
        text = _COMMAND.sub("", _ASSIGNMENT.sub("", text, count=1), count=1) if "://" in text else text
        if "://" in text:
            # Strip unpaired quotes too, since no address begins or ends with one.
            text = text.strip("\"'`<>\u201c\u201d\u2018\u2019")
    return text


def _of_url(rest: str, variable: str, *, jdbc: bool) -> dict[str, str]:
    import psycopg2
    from psycopg2.extensions import parse_dsn

    parts = _split(rest, variable)
    parameters = _parameters(parts.query, variable)
    if jdbc:
        parts = parts._replace(
            user=parts.user or quote(parameters.pop("user", ""), safe=""),
            password=parts.password or quote(parameters.pop("password", ""), safe=""),
        )
    if parts.hosts.startswith((":", ",")) or not (parts.hosts or parameters.get("host")):
        raise _wrong(variable, f"names no host between // and the database: {_EXAMPLE}")
    who = _percent_checked(parts.user, "user", variable).replace("@", "%40")
    if parts.password is not None:
        who += f":{_encoded(parts.password, variable)}"
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters.items())
    database = quote(unquote(_percent_checked(parts.database, "database", variable)), safe="")
    try:
        # libpq itself parses the cleaned address.
        return parse_dsn(f"postgresql://{who}{'@' if who else ''}{parts.hosts}/{database}?{query}")
    except psycopg2.ProgrammingError:
        # libpq's message may contain parts of the password.
        raise UserError(not_an_address(variable), NO_DATABASE) from None


def _split(rest: str, variable: str) -> _UrlParts:
    rest = re.sub(r"\s*\n\s*", "", rest)
    match = _CLEAN.fullmatch(rest)
    if match is None or ("@" in (match["query"] or "") and not _all_known(match["query"])):
        match = _RAW.fullmatch(rest)
    if match is None:
        raise _wrong(variable, _what_is_wrong(rest))
    parts = _UrlParts(**{name: text if name == "password" else text or "" for name, text in match.groupdict().items()})
    _refuse_placeholders(parts, variable)
    for name, part in (("user", parts.user), ("host", parts.hosts), ("database", parts.database)):
        if re.search(r"\s", part):
            raise _wrong(variable, f"has a space in its {name}: remove it, or write it as %20")
    for port in re.findall(r":([^:,\]]*)(?=,|$)", parts.hosts):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise _wrong(variable, "has a port that is not a number from 1 to 65535: write it as in host:5432")
    return parts


def _all_known(query: str) -> bool:
    names = [pair.partition("=")[0].lower() for pair in query.split("&")]
    return all(name in _OF_OTHERS or name in _SAME_AS or knows(name) for name in names)


def _what_is_wrong(rest: str) -> str:
    after = rest.rpartition("@")[2]
    host = re.split(r"[/?]", after, maxsplit=1)[0]
    if host.count(":") > 1:
        return "has an IPv6 address without brackets: write it as [2001:db8::1]:5432"
    if "#" in after:
        return "has a # after its host: remove it and what follows, or write it as %23"
    if "/" in after.partition("/")[2].partition("?")[0]:
        return "has a second / after its host: remove it, or write it as %2F if the database's name contains it"
    return f"is malformed: {_EXAMPLE}; in user and password, write @ as %40, : as %3A and / as %2F"


def _refuse_placeholders(parts: _UrlParts, variable: str) -> None:
    password = unquote(parts.password or "")
    if _UNFILLED_PASSWORD.fullmatch(password):
        raise _wrong(variable, f"still has the placeholder {password}: replace it with the password")
    for name, part in (("user", parts.user), ("host", parts.hosts), ("database", parts.database)):
        if match := _UNFILLED.search(unquote(part)):
            raise _wrong(variable, f"still has the placeholder {match[0]} in its {name}: replace it, brackets included")


def _encoded(password: str, variable: str) -> str:
    """Return a percent-encoded password. Raises UserError if it is ambiguous."""
    raw = bool(_PERCENT.search(password)) or bool(re.search(r"[:@/?#\s]", password))
    if not raw:
        return password
    if _ESCAPE.search(password):
        raise _wrong(
            variable,
            "has an ambiguous password, with both a raw special character and an escape such as %40: "
            "write each : / ? # @ and space in it as an escape, and each literal % as %25",
        )
    return quote(password, safe="")


def _percent_checked(part: str, name: str, variable: str) -> str:
    if _PERCENT.search(part):
        raise _wrong(variable, f"has a % in its {name} without two hexadecimal digits after it: write it as %25")
    return part


def _parameters(query: str, variable: str) -> dict[str, str]:
    parameters = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = (unquote(part) for part in pair.strip().partition("="))
        name = _SAME_AS.get(name.lower(), name)
        lower = name.lower()
        if not equals:
            raise _wrong(variable, "has a parameter without a value after its ?: write name=value, or remove it")
        if lower in _OF_OTHERS:
            if _OF_OTHERS[lower] not in (None, value):
                raise _wrong(
                    variable,
                    f"has the parameter {lower}={value}, which only other drivers know: remove it; to put our tables "
                    "in another schema than public, set the search_path of the database's user",
                )
            continue
        if not knows(name):
            raise _wrong(variable, f"has a parameter {name!r}, which PostgreSQL's library does not know: remove it")
        parameters[name] = _SSL.get(value.lower(), value) if name == "sslmode" else value
    return parameters


@cache
def knows(parameter: str) -> bool:
    """Return whether this version of libpq knows a parameter; an unknown one would be an error."""
    if re.fullmatch(r"\w+", parameter) is None:
        return False
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        parse_dsn(f"{parameter}=''")
    except psycopg2.ProgrammingError:
        return False
    return True


def _of_keywords(text: str, variable: str) -> dict[str, str]:
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        parts = parse_dsn(text)
    except psycopg2.ProgrammingError:
        raise _wrong(
            variable,
            "is a list of keywords that PostgreSQL's library cannot read: write "
            "host=... port=5432 dbname=... user=... password='...', with quotes around values that have spaces",
        ) from None
    if not parts.get("host"):
        raise _wrong(variable, "is a list of keywords without host=...: add it")
    return parts


def unusable_home(home: Path, error: OSError) -> str:
    """Say why the folder of the embedded database cannot be used, and what to do."""
    where = f" ({error.filename})" if error.filename else ""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "make room there" if is_full else "move what is in the way, or choose a folder you can write to"
    return f"LEO_TELEMETRY_HOME ({home}) cannot be used: {error.strerror}{where}; {advice}"
