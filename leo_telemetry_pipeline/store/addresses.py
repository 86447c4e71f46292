"""Addresses of outside databases: reading one, showing it without its password, saying what is wrong with it.

Belongs here: what a person is told who gave an address. Does not: connecting (database).
"""

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import PREFIX

DAGSTER_URL_VARIABLE = PREFIX + "DAGSTER_DATABASE_URL"
_EXAMPLE = "it looks like postgresql://user:password@host:5432/database"


def parts_of(url: str, variable: str) -> dict[str, str]:
    """Return an address as libpq reads it. Raises UserError (exit 3) that names the variable it came from."""
    import psycopg2
    from psycopg2.extensions import parse_dsn

    scheme, found, rest = url.partition("://")
    try:
        # libpq's own reading: another one would cut a password elsewhere, and print the rest of it.
        parts = parse_dsn(f"postgresql://{rest}")
    except psycopg2.ProgrammingError:
        parts = {}
    if not found or scheme not in ("postgresql", "postgres", "postgresql+psycopg2") or not parts.get("host"):
        raise UserError(is_none(variable), NO_DATABASE)
    if "@" in parts["host"]:
        raise UserError(f"{variable} has more than one @: write one that belongs to the password as %40", NO_DATABASE)
    return parts


def shown(parts: dict[str, str]) -> str:
    """Return an address as a person may see it."""
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{parts.get('user', '')}@{parts['host']}{port}/{parts.get('dbname', '')}"


def is_none(variable: str) -> str:
    """Say that a variable holds no address."""
    return f"{variable} is no PostgreSQL address: {_EXAMPLE}"


def is_pooler(shown: str) -> str:
    """Say that Dagster cannot use an address."""
    return (
        f"{shown} is a pooler that takes no search_path, which Dagster's own tables need: "
        f"set {DAGSTER_URL_VARIABLE} to an address of the server itself"
    )


def cannot_connect(shown: str, variable: str, said: str) -> str:
    """Say why a server could not be reached, from what the driver ``said``."""
    reason = said.strip().splitlines()[0] if said.strip() else "no answer"
    if "unsupported startup parameter" in said:
        return is_pooler(shown)
    if "password authentication failed" in said or "no password supplied" in said:
        return f"{shown} refuses the user or the password: check them in {variable}"
    if "does not exist" in said and "database" in said:
        return f"{shown} does not exist: create it, or correct {variable}"
    return f"{shown} does not answer ({reason.split('failed: ')[-1]}): is it running, and is {variable} right?"
