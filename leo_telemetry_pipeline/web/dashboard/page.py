"""What a page is to the application: a path, a template, and a function that reads its model.

Belongs here: the registration of pages and of what people may do on them. Does not: the application that serves them
(app), any page (pages).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.actions.item_decisions import require_person
from leo_telemetry_pipeline.errors import DatabaseAway, UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes
from leo_telemetry_pipeline.web.dashboard.tables import Table

T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """A request, as pages see it: its path parameters, its query, and for a step of a person its form."""

    settings: Settings
    minutes: Minutes
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A page: ``read`` returns its model, or raises Missing; ``link``: its name in the navigation, empty for none.

    ``query``: what its address may say after the question mark, name by name, in words. The same model is answered as
    JSON under ``/api/v1``, and with a ``table`` as CSV too.
    """

    path: str
    template: str
    read: Callable[[Database, Asked], Any]
    link: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    table: Table | None = None

    def model(self, database: Database, asked: Asked) -> Any:
        """Read the model in one transaction."""
        with database.together():
            return self.read(database, asked)


@dataclass(frozen=True)
class Step:
    """Something that people may do, by POST: ``make`` does it and returns the address to show, or raises Refused.

    ``form``: what they give, name by name, in words.
    """

    path: str
    make: Callable[[Database, Asked], str]
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """A file to save: its name, media type and text."""

    name: str
    media_type: str
    text: str


@dataclass(frozen=True)
class Download:
    """A link to a file: ``read`` returns it, or raises Missing."""

    path: str
    read: Callable[[Database, Asked], File]


class Missing(Exception):
    """What a page is about does not exist; the text says so, and what to do."""


class Refused(Exception):
    """A step is not possible; the text says why, and what to do."""


@contextmanager
def refusals() -> Iterator[None]:
    """Turn errors that a command would print into refusals."""
    try:
        yield
    except DatabaseAway:
        raise
    except UserError as error:
        raise Refused(str(error)) from None


# Fields of a form by which people sign a step.
SIGNATURE = {"by": "Who makes the step", "reason": "Why; others read it later"}


def signed(asked: Asked) -> tuple[str, str]:
    """Return who makes a step and why, as the form says. Raises Refused."""
    by, reason = (in_a_line(asked.form.get(name, "")).strip() for name in ("by", "reason"))
    if not by:
        raise Refused("Nobody signed this step: give your name")
    with refusals():
        require_person(by)
    return by, reason or "no reason given"


def subject(database: Database, asked: Asked, get: Callable[[Database, str], T | None], what: str) -> T:
    """Return what the id in the address names. Raises Missing."""
    wanted = asked.path["id"]
    try:
        named = get(database, identifier(wanted))
    except ValueError:
        named = None
    if named is None:
        raise Missing(f"There is no {what} {wanted}: the list of {what}s shows all")
    return named


def identifier(text: str) -> str:
    """Read an id. Raises ValueError."""
    return str(UUID(text))
