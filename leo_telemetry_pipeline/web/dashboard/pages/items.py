"""List of improvement items: what is slow or was, and what became of it.

Belongs here: the model of the list. Does not: one item (item).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from leo_telemetry_pipeline.actions.item_detail import Known, known_of
from leo_telemetry_pipeline.actions.items import lasted, ratio_of
from leo_telemetry_pipeline.store import directives, item_pages
from leo_telemetry_pipeline.store.directives import WorkOn
from leo_telemetry_pipeline.store.item_pages import ItemPlace
from leo_telemetry_pipeline.store.items import ACTIVE, Item
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import listing, version
from leo_telemetry_pipeline.web.dashboard.page import Asked, Page, identifier
from leo_telemetry_pipeline.web.dashboard.tables import Table

_CLOSED = ("RESOLVED", "ACCEPTED", "DISMISSED", "STALE")
# What the filter offers, and the statuses that it means.
FILTERS: Mapping[str, tuple[str, ...]] = {
    "": (),
    "active": ACTIVE,
    "closed": _CLOSED,
    **{status.lower(): (status,) for status in (*ACTIVE, *_CLOSED)},
}


@dataclass(frozen=True)
class Row:
    """An item in the list. ``times``: its ratio; ``lost``: time per week; both empty if unknown."""

    item: Item
    times: str
    lost: str
    since: str
    work: WorkOn | None


@dataclass(frozen=True)
class Items:
    """The list. ``state`` and ``text``: what it is filtered by; ``place``: where its next part begins."""

    rows: tuple[Row, ...]
    place: str
    state: str
    text: str
    filters: tuple[str, ...]
    is_start: bool
    version: str


def read(database: Database, asked: Asked) -> Items:
    """Read a part of the list."""
    state, text = asked.query.get("state", ""), listing.search(asked.query.get("text", ""))
    if state not in FILTERS:
        state = ""
    place = listing.parsed(asked.query.get("after", ""), (listing.truth, listing.moment, identifier))
    found = item_pages.after(
        database, ItemPlace(*place) if place else None, listing.SIZE + 1, statuses=FILTERS[state], text=text
    )
    part = listing.cut(found, _place)
    works = directives.of_items(database, [item.id for item in part.rows])
    rows = tuple(row(item, works.get(item.id)) for item in part.rows)
    return Items(rows, part.place, state, text, tuple(FILTERS), place is None, version.read(database))


def row(item: Item, work: WorkOn | None) -> Row:
    """Return the row of an item."""
    known = known_of(item)
    return Row(item, ratio_of(known) if "ratio" in known else "", _lost(known), known.get("onset_day", ""), work)


def _lost(known: Known) -> str:
    return lasted(known["lost_ms_a_week"] / 1000) if "lost_ms_a_week" in known else ""


def _place(item: Item) -> tuple[object, ...]:
    place = ItemPlace.of(item)
    return place.is_closed, place.created_at, place.id


QUERY = {
    "state": f"Only items in one state: {', '.join(filter(None, FILTERS))}",
    "text": "Only items with this text in their title",
    "after": "Where a part of the list begins: the place that the part before it ends with",
}
TABLE = Table(
    {
        "id": lambda row: row.item.id,
        "title": lambda row: row.item.title,
        "state": lambda row: row.item.status.lower(),
        "state_since": lambda row: row.item.status_since,
        "times_normal": lambda row: row.times,
        "lost_a_week": lambda row: row.lost,
        "slow_since": lambda row: row.since,
        "episode": lambda row: row.item.episode,
        "directive": lambda row: row.work.sd_key if row.work else None,
        "directive_state": lambda row: row.work.status if row.work else None,
    }
)
PAGE = Page("/items", "items.html", read, "Items", QUERY, TABLE)
