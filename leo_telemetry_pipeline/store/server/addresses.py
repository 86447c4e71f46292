"""Addresses of outside databases: reading one as people paste it, showing it, saying what is wrong with it.

Belongs here: what a person is told who gave an address. Does not: connecting (database). No message holds a password,
not even a part of one.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, unquote, urlencode

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import PREFIX, unquoted

DAGSTER_URL_VARIABLE = PREFIX + "DAGSTER_DATABASE_URL"
_EXAMPLE = "it looks like postgresql://user:password@host:5432/database"

# Any driver's name may follow the plus: the driver is ours.
_SCHEME = re.compile(r"(?:jdbc:)?(?:postgres|postgresql|pgsql)(?:\+\w+)?", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"\A(?:export\s+|set\s+)?[A-Z][A-Z0-9_]*\s*[=:]\s*(?=\S)")
_COMMAND = re.compile(r"\Apsql\s+(?:-d\s*|--dbname[= ])?(?=\S)")
_HOST = r"(?:\[[^\]@/?#\s]+\]|[^:,@/?#]*)(?::[^\[\]:,@/?#]*)?"
_REST = rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?:/(?P<database>[^@/?#]*))?(?:\?(?P<query>[^#]*))?"
_CLEAN = re.compile(rf"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^:@/?#\s]*))?@)?{_REST}")
# Where a password holds raw characters, the last @ that can stand before a host ends it.
_RAW = re.compile(rf"(?P<user>[^:/?#\s]*):(?P<password>.*)@{_REST}", re.DOTALL)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNFILLED = re.compile(r"\[[\w .-]+\]|<[\w .-]+>|\{+[\w .-]+\}+|\$\{?[A-Z][A-Z_]*\}?|\.{3,}|\bYOUR[-_]\w+(?:[-_]\w+)*")
# Exact words only: anything else between brackets may be a password, which no message may show.
_UNFILLED_PASSWORD = re.compile(
    r"(?i:[\[<{]+(?:(?:your|my|the|db|database|postgres|user|real)[-_ ]?)*(?:password|pass|pwd)(?:[-_ ]?here)?[\]>}]+)"
    r"|(?i:your[-_ ](?:(?:db|database|postgres)[-_ ])?password)"
    r"|\$\{\w+\}|\$\(\w+\)|\$[A-Z_]*(?:PASSWORD|PASS|PWD|SECRET)|[.*\u2022]{3,}"
)
# Parameters that configure another driver or its pool, and mean nothing here.
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
# What libpq takes from the environment even where an address names a server.
_ALSO_DECIDE = {"PGHOSTADDR": "hostaddr", "PGOPTIONS": "options", "PGTARGETSESSIONATTRS": "target_session_attrs"}


class _Parts(NamedTuple):
    user: str
    password: str | None
    hosts: str
    database: str
    query: str


def parts_of(text: str, variable: str) -> dict[str, str]:
    """Return an address as libpq reads it. Raises UserError (exit 3) that names the variable and what is wrong."""
    address = _unwrapped(text)
    scheme, found, rest = address.partition("://")
    if found and _SCHEME.fullmatch(scheme):
        return _of_url(rest, variable, jdbc=scheme.lower().startswith("jdbc:"))
    if re.match(r"\w+\s*=", address):
        return _of_keywords(address, variable)
    if _COMMAND.match(address):
        raise _wrong(variable, f"is a psql command with options: write it as an address; {_EXAMPLE}")
    if found and scheme.lower() in ("http", "https"):
        raise _wrong(variable, "is the address of a web page: copy the database's connection string instead")
    if not found and "@" in address:
        raise _wrong(variable, "does not begin with postgresql://: write that before it")
    raise UserError(is_none(variable), NO_DATABASE)


def ignored(text: str) -> list[str]:
    """Return the parameters of an address that are for another driver, and that we leave out."""
    names = [pair.partition("=")[0] for pair in _unwrapped(text).partition("?")[2].split("&")]
    return [name for name in names if name.lower() in _OF_OTHERS]


def also_decide(parts: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Return the variables that change where an address leads, or what is seen there."""
    return [name for name, part in _ALSO_DECIDE.items() if environ.get(name) and part not in parts]


def remarks(text: str, environ: Mapping[str, str]) -> str:
    """Say what of an address is not used, and what else decides where it leads; empty where there is nothing to say."""
    said = []
    if left_out := ignored(text):
        said.append(f"{', '.join(left_out)} in its address are for other drivers")
    if others := also_decide(parts_of(text, "address"), environ):
        said.append(f"{', '.join(others)} of the environment decide too where it leads")
    return "".join(f"; {remark}" for remark in said)


def shown(parts: Mapping[str, str]) -> str:
    """Return an address as a person may see it."""
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{parts.get('user', '')}@{parts['host']}{port}/{parts.get('dbname', '')}"


def for_sqlalchemy(parts: Mapping[str, str]) -> str:
    """Return an address as SQLAlchemy takes it, which hands what follows the question mark to libpq as it is."""
    # Not with a plus for a space: libpq and parts_of take it for a plus.
    query = urlencode({name: value for name, value in parts.items() if name != "dbname"}, quote_via=quote)
    return f"postgresql+psycopg2:///{quote(parts.get('dbname', ''), safe='')}?{query}"


def is_none(variable: str) -> str:
    """Say that a variable holds no address."""
    return f"{variable} is not a PostgreSQL address: {_EXAMPLE}"


def is_pooler(shown: str) -> str:
    """Say that Dagster cannot use an address."""
    return (
        f"{shown} is a pooler that takes no search_path, which Dagster's own tables need: "
        f"set {DAGSTER_URL_VARIABLE} to an address of the server itself"
    )


def cannot_connect(shown: str, variable: str, said: str, parts: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Say why a server could not be reached, from what the driver ``said`` and what it was given."""
    if "unsupported startup parameter" in said:
        return is_pooler(shown)
    if "password authentication failed" in said or "no password supplied" in said:
        secret = parts.get("password", "")
        brackets = "; no brackets belong around the password" if secret[:1] + secret[-1:] in ("[]", "<>", "{}") else ""
        return f"{shown} refuses the user or the password: check them in {variable}{brackets}"
    if "does not exist" in said and "database" in said:
        return f"{shown} does not exist: create it, or correct {variable}"
    others = also_decide(parts, environ)
    right = f"are {', '.join([variable, *others])}" if others else f"is {variable}"
    return f"{shown} does not answer ({_reason(said)}): is it running, and {right} right?"


def cannot_connect_to_own(shown: str, home: str, said: str) -> str:
    """Say why the embedded server could not be reached."""
    if "password" in said:
        return f"{shown} refuses the password in {home}/pgpass: put back the one that it was made with"
    return f"{shown} does not answer ({_reason(said)}): is `leo-telemetry` running?"


def _reason(said: str) -> str:
    return said.strip().splitlines()[0].split("failed: ")[-1] if said.strip() else "no answer"


def _wrong(variable: str, what: str) -> UserError:
    return UserError(f"{variable} {what}", NO_DATABASE)


def _unwrapped(text: str) -> str:
    """Return what is left of a pasted line without the name, the command and the quotes around an address."""
    before = None
    while text != before:
        before = text
        text = unquoted(text.strip().strip("\ufeff\u200b;").strip())
        text = _COMMAND.sub("", _ASSIGNMENT.sub("", text, count=1), count=1) if "://" in text else text
        if "://" in text:
            # Half a pair of quotes; no address begins or ends with one.
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
        # libpq's own reading of what is clean now.
        return parse_dsn(f"postgresql://{who}{'@' if who else ''}{parts.hosts}/{database}?{query}")
    except psycopg2.ProgrammingError:
        # Its words may hold parts of the password.
        raise UserError(is_none(variable), NO_DATABASE) from None


def _split(rest: str, variable: str) -> _Parts:
    rest = re.sub(r"\s*\n\s*", "", rest)
    found = _CLEAN.fullmatch(rest)
    if found is None or ("@" in (found["query"] or "") and not _all_known(found["query"])):
        found = _RAW.fullmatch(rest)
    if found is None:
        raise _wrong(variable, _what_is_wrong(rest))
    parts = _Parts(**{name: text if name == "password" else text or "" for name, text in found.groupdict().items()})
    _refuse_placeholders(parts, variable)
    for name, part in (("user", parts.user), ("host", parts.hosts), ("database", parts.database)):
        if re.search(r"\s", part):
            raise _wrong(variable, f"has a space in its {name}: take it out, or write it as %20")
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
        return "has a # after its host: take out what begins there, or write it as %23"
    if "/" in after.partition("/")[2].partition("?")[0]:
        return "has a second / after its host: a database's name has none, or write it as %2F"
    return f"cannot be read: {_EXAMPLE}; in user and password, write @ as %40, : as %3A and / as %2F"


def _refuse_placeholders(parts: _Parts, variable: str) -> None:
    password = unquote(parts.password or "")
    if _UNFILLED_PASSWORD.fullmatch(password):
        raise _wrong(variable, f"still has {password} where the password belongs: write the password there instead")
    for name, part in (("user", parts.user), ("host", parts.hosts), ("database", parts.database)):
        if found := _UNFILLED.search(unquote(part)):
            raise _wrong(variable, f"still has {found[0]} in its {name}: write the real one there, without brackets")


def _encoded(password: str, variable: str) -> str:
    """Return a password as an address takes it. Raises UserError where it can be read in two ways."""
    raw = bool(_PERCENT.search(password)) or bool(re.search(r"[:@/?#\s]", password))
    if not raw:
        return password
    if _ESCAPE.search(password):
        raise _wrong(
            variable,
            "has a password that can be read in two ways: with a raw character and an escape such as %40 in it; "
            "write each of its : / ? # @ and spaces as an escape, and each % that is its own as %25",
        )
    return quote(password, safe="")


def _percent_checked(part: str, name: str, variable: str) -> str:
    if _PERCENT.search(part):
        raise _wrong(variable, f"has a % in its {name} that no two hexadecimal digits follow: write it as %25")
    return part


def _parameters(query: str, variable: str) -> dict[str, str]:
    parameters = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = (unquote(part) for part in pair.strip().partition("="))
        name = _SAME_AS.get(name.lower(), name)
        lower = name.lower()
        if not equals:
            raise _wrong(variable, "has a parameter without a value after its ?: write name=value, or take it out")
        if lower in _OF_OTHERS:
            if _OF_OTHERS[lower] not in (None, value):
                raise _wrong(
                    variable,
                    f"has the parameter {lower}={value}, which only other drivers know: take it out; where our tables "
                    "shall not lie in public, give the database's user that search_path",
                )
            continue
        if not knows(name):
            raise _wrong(variable, f"has a parameter {name!r}, which PostgreSQL's library does not know: take it out")
        parameters[name] = _SSL.get(value.lower(), value) if name == "sslmode" else value
    return parameters


@cache
def knows(parameter: str) -> bool:
    """Tell whether this libpq knows a parameter; one that it does not know would be an error."""
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
            "is a list of keywords that PostgreSQL's library cannot read: it looks like "
            "host=... port=5432 dbname=... user=... password='...', with quotes around a value that has spaces",
        ) from None
    if not parts.get("host"):
        raise _wrong(variable, "is a list of keywords without host=...: add it")
    return parts
