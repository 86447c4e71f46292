"""List of directives: work drafted from improvement items.

Belongs here: the model of the list. Does not: one directive (directive).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from leo_telemetry_pipeline.store import directives
from leo_telemetry_pipeline.store.directives import ENDED, Directive, DirectivePlace
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import listing, version
from leo_telemetry_pipeline.web.dashboard.page import Asked, Page
from leo_telemetry_pipeline.web.dashboard.tables import Table

_LIVE = ("draft", "pending_approval", "deferred", "active", "planning", "in_progress", "review")
# What the filter offers, and the statuses that it means.
FILTERS: Mapping[str, tuple[str, ...]] = {
    "": (),
    "live": _LIVE,
    "ended": ENDED,
    **{status: (status,) for status in ("draft", "active", "in_progress", "review", *ENDED)},
}


@dataclass(frozen=True)
class Directives:
    """The list. ``state`` and ``text``: what it is filtered by; ``place``: where its next part begins."""

    rows: tuple[Directive, ...]
    place: str
    state: str
    text: str
    filters: tuple[str, ...]
    is_start: bool
    version: str


def read(database: Database, asked: Asked) -> Directives:
    """Read a part of the list."""
    state, text = asked.query.get("state", ""), listing.search(asked.query.get("text", ""))
    if state not in FILTERS:
        state = ""
    place = listing.parsed(asked.query.get("after", ""), (listing.truth, listing.moment, str))
    found = directives.after(
        database, DirectivePlace(*place) if place else None, listing.SIZE + 1, statuses=FILTERS[state], text=text
    )
    part = listing.cut(found, _place)
    return Directives(part.rows, part.place, state, text, tuple(FILTERS), place is None, version.read(database))


def _place(directive: Directive) -> tuple[object, ...]:
    place = DirectivePlace.of(directive)
    return place.has_ended, place.created_at, place.sd_key


QUERY = {
    "state": f"Only directives in one state: {', '.join(filter(None, FILTERS))}",
    "text": "Only directives with this text in key or title",
    "after": "Where a part of the list begins: the place that the part before it ends with",
}
TABLE = Table(
    {
        "key": lambda row: row.sd_key,
        "state": lambda row: row.status,
        "priority": lambda row: row.priority,
        "title": lambda row: row.title,
        "items": lambda row: len(row.item_ids),
        "drafted": lambda row: row.created_at,
    }
)
PAGE = Page("/directives", "directives.html", read, "Directives", QUERY, TABLE)
