"""What a page is to the application: a path, a template, and a function that reads its model.

Belongs here: the registration of pages and of what people may do on them. Does not: the application that serves them
(app), any page (pages).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes


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
    JSON under ``/api/v1``.
    """

    path: str
    template: str
    read: Callable[[Database, Asked], Any]
    link: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Something that people may do, by POST: ``make`` does it and returns the address to show, or raises Refused.

    ``form``: what they give, name by name, in words.
    """

    path: str
    make: Callable[[Database, Asked], str]
    form: Mapping[str, str] = field(default_factory=dict)


class Missing(Exception):
    """What a page is about does not exist; the text says so, and what to do."""


class Refused(Exception):
    """A step is not possible; the text says why, and what to do."""
