"""Deciding which names are shared: those that several services, or client and server, use for different work.

Belongs here: the rule and its evidence. Does not: storing decisions (shared_names), counting (histograms).

The dimension type that is judged instead is then missing on counted days, so they are counted again from their spans.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store import folded_names, shared_names
from leo_telemetry_pipeline.store.dimensions import KEYED_SPANS
from leo_telemetry_pipeline.store.history import uncounted_days
from leo_telemetry_pipeline.store.history.watermark import Fence
from leo_telemetry_pipeline.store.server.database import Database

SPAN_TYPE = "operation"
SERVICE = "service.name"
KIND = "span.kind"
# Spans of a value of an attribute, on the days that are looked at: fewer may be a mistake.
LEAST_SPANS = 5
# More services are probably ids.
MOST_SERVICES = 200
# Spans without the attribute would not be judged at all.
MOST_WITHOUT = 0.01
# The newest days are enough, since a name that is shared later is found later.
DAYS = 7


@dataclass
class NameValues:
    """Number of spans of a name by service and by kind; an empty value counts those without."""

    services: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)


def shared(rows: Iterable[tuple[str, str, str, int]]) -> dict[Dimension, str]:
    """Return the shared names with the attribute that tells their spans apart. Rows: name, service, kind, spans."""
    of_name: dict[str, NameValues] = {}
    for name, service, kind, spans in rows:
        values = of_name.setdefault(name, NameValues())
        values.services[service] = values.services.get(service, 0) + spans
        values.kinds[kind] = values.kinds.get(kind, 0) + spans
    found = {}
    for name, values in of_name.items():
        if _differs(values.services):
            found[SPAN_TYPE, name] = SERVICE
        elif _differs(values.kinds):
            found[SPAN_TYPE, name] = KIND
    return found


def _differs(spans: Mapping[str, int]) -> bool:
    several = sum(1 for value, count in spans.items() if value and count >= LEAST_SPANS)
    return 2 <= several <= MOST_SERVICES and spans.get("", 0) <= MOST_WITHOUT * sum(spans.values())


def decide(database: Database, days: Sequence[date], fence: Fence | None = None) -> bool:
    """Decide on the names of days that are about to be counted; return whether there are new dimension types.

    ``fence`` is called last, and raises if the caller may no longer write.
    """
    if not days:
        return False
    known = shared_names.of(database)
    newest = uncounted_days.condition(sorted(days)[-DAYS:])
    rows = database.rows(
        f"""
        SELECT span_name, coalesce(service, ''), coalesce(kind, ''), count(*) FROM (
            SELECT span_name, attributes->>'{SERVICE}' AS service, attributes->>'{KIND}' AS kind
            FROM ({KEYED_SPANS} WHERE s.span_type = %(span_type)s AND ({newest})) AS keyed
        ) AS valued
        GROUP BY 1, 2, 3
        """,
        folded_names.of(database).parameters() | {"span_type": SPAN_TYPE},
    )
    found = {name: attribute for name, attribute in shared(rows).items() if name not in known.attributes}
    if not found:
        return False
    with database.transaction() as cursor:
        shared_names.put(cursor, found)
        if fence is not None:
            fence(cursor)
    return True
