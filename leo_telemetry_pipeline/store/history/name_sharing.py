"""Deciding which names are shared: those that several services, or client and server, use for different work.

Belongs here: the rule and its evidence. Does not: storing decisions (shared_names), counting (histograms).

After a decision, counted days lack the dimension type that is judged instead, so they are counted again from their
spans.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.store import folded_names, shared_names
from leo_telemetry_pipeline.store.days import started_on
from leo_telemetry_pipeline.store.dimensions import keyed_spans
from leo_telemetry_pipeline.store.history.watermark import Fence
from leo_telemetry_pipeline.store.server.database import Database

SPAN_TYPE = "operation"
SERVICE = "service.name"
KIND = "span.kind"
# Minimum number of spans per value of the attribute on the examined days: fewer may be a mistake.
LEAST_SPANS = 5
# Maximum number of values: more are probably ids.
MOST_SERVICES = 200
# Maximum share of spans without the attribute, which would not be judged at all.
MOST_WITHOUT = 0.01
# The newest days are enough, since a name that becomes shared later is found by a later analysis.
DAYS = 7


def shared(rows: Iterable[tuple[str, str, str, int]]) -> dict[Dimension, str]:
    """Return the shared names with the attribute that tells their spans apart.

    Rows: name, service, kind, spans; empty strings for none.
    """
    services: dict[str, Counter[str]] = {}
    kinds: dict[str, Counter[str]] = {}
    for name, service, kind, spans in rows:
        services.setdefault(name, Counter())[service] += spans
        kinds.setdefault(name, Counter())[kind] += spans
    by_kind = {(SPAN_TYPE, name): KIND for name, spans in kinds.items() if _differs(spans)}
    return by_kind | {(SPAN_TYPE, name): SERVICE for name, spans in services.items() if _differs(spans)}


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
    folds = folded_names.of(database)
    newest = started_on(sorted(days)[-DAYS:])
    rows = database.rows(
        f"""
        SELECT key, coalesce(service, ''), coalesce(kind, ''), count(*) FROM (
            SELECT key, attributes->>'{SERVICE}' AS service, attributes->>'{KIND}' AS kind
            FROM ({keyed_spans(f"s.span_type = %(span_type)s AND ({newest})", folds)}) AS keyed
        ) AS valued
        GROUP BY 1, 2, 3
        """,
        folds.parameters() | {"span_type": SPAN_TYPE},
    )
    found = {name: attribute for name, attribute in shared(rows).items() if name not in known.attributes}
    if not found:
        return False
    with database.transaction() as cursor:
        shared_names.put(cursor, found)
        if fence is not None:
            fence(cursor)
    return True
