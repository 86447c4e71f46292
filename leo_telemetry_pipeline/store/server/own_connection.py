"""Connections to the embedded server, independent of libpq's environment variables.

Belongs here: fixed parameters, and variables that no parameter overrides. Does not: addresses of outside databases,
for which PG* variables keep their meaning.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.store.server import addresses
from leo_telemetry_pipeline.store.server.embedded import ROLE, Embedded

if TYPE_CHECKING:
    import psycopg2.extensions

# Each parameter, even an empty one, overrides libpq's environment variable for it.
_FIXED = {
    "port": "5432",
    "hostaddr": "",
    "options": "",
    "application_name": "leo-telemetry",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
    "channel_binding": "disable",
    "require_auth": "scram-sha-256",
    "requirepeer": "",
    "replication": "",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
    "sslmode": "disable",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslcert": "",
    "sslkey": "",
    "sslcertmode": "disable",
    "sslrootcert": "",
    "sslcrl": "",
    "sslcrldir": "",
    "sslsni": "1",
    "ssl_min_protocol_version": "",
    "ssl_max_protocol_version": "",
    "gssencmode": "disable",
    "gssdelegation": "0",
    "krbsrvname": "postgres",
    "gsslib": "",
}
# libpq reads these in any case: it looks up the service before all parameters, and sends three settings after them.
UNFIXABLE = {"PGSERVICE": "service", "PGDATESTYLE": "DateStyle", "PGTZ": "TimeZone", "PGGEQO": "geqo"}


def parameters(server: Embedded) -> dict[str, str]:
    """Return libpq's parameters, including the password but without the database's name."""
    fixed = {name: value for name, value in _FIXED.items() if addresses.knows(name)}
    # PGPASSWORD would override a password file, so the password itself is passed.
    return fixed | {
        "host": str(server.sockets),
        "user": ROLE,
        "password": password(server),
        "passfile": str(server.password_file),
    }


def password(server: Embedded) -> str:
    """Return the server's password, empty if its file cannot be read, which libpq then reports."""
    try:
        return server.password_file.read_text(encoding="utf-8").strip().rpartition(":")[2]
    except OSError:
        return ""


def connect(
    server: Embedded, database: str, *, timeout_s: int = 10, forget: bool = False
) -> "psycopg2.extensions.connection":
    """Open a connection to a database of the server.

    In our own processes, ``forget`` first removes variables that no parameter overrides. In a measured program they are
    left alone: UserError (exit 3) names one that prevents the connection. Raises psycopg2.Error.
    """
    import psycopg2
    from psycopg2.extensions import make_dsn

    if forget:
        _forget_variables()
    dsn = make_dsn(**(parameters(server) | {"dbname": database, "connect_timeout": str(timeout_s)}))
    try:
        return psycopg2.connect(dsn)
    except psycopg2.Error as error:
        culprit = to_blame(str(error), os.environ)
        if culprit is None:
            raise
        raise UserError(
            f"{culprit} is {os.environ[culprit]!r}, with which PostgreSQL's library cannot connect to any database, "
            "not even the embedded one: correct it, or unset it",
            NO_DATABASE,
        ) from None


def _forget_variables() -> None:
    """Remove from this process's environment the variables that no parameter overrides."""
    for name in UNFIXABLE:
        os.environ.pop(name, None)


def to_blame(message: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable of UNFIXABLE that made a connection fail, by the message of libpq or the server."""
    # libpq's message may be localized, but it names the service or its file.
    words = {name: [what] for name, what in UNFIXABLE.items()}
    words["PGSERVICE"] += filter(None, [environ.get("PGSERVICE"), environ.get("PGSERVICEFILE"), "pg_service.conf"])
    return next((name for name in UNFIXABLE if environ.get(name) and _mentions(message, words[name])), None)


def for_sqlalchemy(url: str, variable: str) -> str:
    """Return the address of Dagster's tables, from a variable, for SQLAlchemy in one of Dagster's processes.

    For the embedded database, variables that no parameter overrides are removed from this process's environment, since
    Dagster would store times in another zone. Raises UserError (exit 3) for an invalid address.
    """
    from psycopg2.extensions import make_dsn

    parts = addresses.parts_of(url, variable)
    server = Embedded(Path(parts.get("passfile", "/")).parent)
    if parts.get("passfile") != str(server.password_file) or parts["host"] != str(server.sockets):
        return addresses.for_sqlalchemy(parts)
    _forget_variables()
    # An address written by the user may set a schema in its options.
    given = parameters(server) | {"options": parts.get("options", "")}
    user, secret = quote(given.pop("user"), safe=""), quote(given.pop("password"), safe="")
    # SQLAlchemy drops empty parameters, but passes a ``dsn`` to psycopg2 unchanged.
    return f"postgresql+psycopg2://{user}:{secret}@/{parts['dbname']}?dsn={quote(make_dsn(**given), safe='')}"


def child_environment(environ: Mapping[str, str], server: Embedded | None) -> dict[str, str]:
    """Return the environment of a child process, without PG* if its database is the embedded one."""
    return {name: value for name, value in environ.items() if server is None or not name.startswith("PG")}


def _mentions(message: str, words: Iterable[str]) -> bool:
    return any(word.lower() in message.lower() for word in words)
