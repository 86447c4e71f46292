"""Deciding which names are folded: those that hold ids and are seen too rarely to be judged one by one.

Belongs here: the rule, its evidence, and marking counted days that a decision changes.
Does not: folding a name (name_templates), storing decisions (folded_names), counting (histograms).

A decision is made before days are counted, from the names on them and in earlier history, and is kept.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import psycopg2.extensions

from leo_telemetry_pipeline.dimension import OTHER_KEYS, Dimension
from leo_telemetry_pipeline.store import folded_names
from leo_telemetry_pipeline.store.days import started_on
from leo_telemetry_pipeline.store.dimensions import GLOBAL, NAMED_SPANS
from leo_telemetry_pipeline.store.history import blocks
from leo_telemetry_pipeline.store.history.watermark import Fence, lock
from leo_telemetry_pipeline.store.name_templates import MAY_HOLD_IDS, Folds, template
from leo_telemetry_pipeline.store.server.database import Database

# The names of a template with fewer of them are judged one by one, however rare they are.
LEAST_NAMES = 20
# A name is rare if it is seen at most this often per week,
RARE_A_WEEK = 2
# or if it is seen for at most this many days while others of its template are seen for a week or longer.
RARE_DAYS = 2
WEEK = 7
# In less than a week, names of nightly jobs are rare, too. As many names as this are ids, and would bloat the history.
MANY_NAMES = 1_000
# Maximum number of names examined per span type. They are chosen at random, so frequent templates still appear.
MOST_NAMES = 5_000
# Days of history in which earlier names of a template are looked for.
EARLIER_DAYS = 28


@dataclass(frozen=True)
class NameUse:
    """A name with its template, its number of spans, and the first and last day with any."""

    span_type: str
    name: str
    template: str
    spans: int
    first: date
    last: date


def to_fold(uses: Iterable[NameUse]) -> dict[Dimension, list[NameUse]]:
    """Return the templates whose names are mostly rare, each with its names."""
    of_template: dict[Dimension, list[NameUse]] = {}
    for use in uses:
        of_template.setdefault((use.span_type, use.template), []).append(use)
    return {name: names for name, names in of_template.items() if _is_mostly_rare(names)}


def _is_mostly_rare(names: Sequence[NameUse]) -> bool:
    if len(names) < LEAST_NAMES:
        return False
    days = (max(use.last for use in names) - min(use.first for use in names)).days + 1
    if days < WEEK and len(names) < MANY_NAMES:
        return False
    return 2 * sum(_is_rare(use, days) for use in names) > len(names)


def _is_rare(use: NameUse, days: int) -> bool:
    if use.spans <= RARE_A_WEEK * max(1.0, days / WEEK):
        return True
    return days >= WEEK and (use.last - use.first).days < RARE_DAYS


def decide(database: Database, days: Sequence[date], fence: Fence | None = None) -> bool:
    """Decide on the names of days that are about to be counted; return whether other days must be counted again too.

    Names with a configured threshold are kept, and so are all names of a type with a configured baseline, since such
    thresholds decide on exact names. ``fence`` is called last, and raises if the caller may no longer write.
    """
    known, judged = folded_names.of(database), _judged_by_type(database)
    found = {name: uses for name, uses in _found(database, days, known).items() if not judged(name)}
    dropped = frozenset(filter(judged, known.templates))
    templates = (known.templates | found.keys()) - dropped
    kept = _configured(database, templates) if templates else frozenset()
    if not found and not dropped and kept == known.kept:
        return False
    with database.transaction() as cursor:
        folded_names.put(cursor, found, dropped, kept)
        _mark_stale(cursor, found.keys(), dropped | (kept ^ known.kept))
        if fence is not None:
            fence(cursor)
    return True


def _found(database: Database, days: Sequence[date], known: Folds) -> dict[Dimension, list[NameUse]]:
    if not days:
        return {}
    rows = database.rows(_USES.format(days=started_on(days)), {"most": MOST_NAMES})
    uses = {
        (use.span_type, use.name): use
        for row in rows
        if ((use := NameUse(*row)).span_type, use.template) not in known.templates
    }
    if not uses:
        return {}
    # Analyses that run daily count one day at a time: only history shows how rare its names are.
    templates = {(use.span_type, use.template) for use in uses.values()}
    parameters = {
        "types": sorted({span_type for span_type, _ in templates}),
        "templates": sorted(map(":".join, templates)),
        "days": list(days),
        "since": max(days) - timedelta(days=EARLIER_DAYS),
    }
    for row in database.rows(_EARLIER, parameters):
        earlier = NameUse(*row)
        name = earlier.span_type, earlier.name
        uses[name] = _together(uses[name], earlier) if name in uses else earlier
    return to_fold(uses.values())


def _together(use: NameUse, earlier: NameUse) -> NameUse:
    first, last = min(use.first, earlier.first), max(use.last, earlier.last)
    return replace(use, spans=use.spans + earlier.spans, first=first, last=last)


# Names are chosen by their hash, since sorting 100,000 of them takes as long as counting their spans.
_USES = f"""
WITH counted AS MATERIALIZED (
    SELECT span_type, span_name, count(*) AS spans, min(day) AS first_day, max(day) AS last_day
    FROM ({NAMED_SPANS} WHERE {{days}}) AS named
    GROUP BY 1, 2
), numbers AS (
    SELECT span_type, count(*) AS names FROM counted GROUP BY 1
)
SELECT span_type, span_name, template, spans, first_day, last_day FROM (
    SELECT counted.*, {template("span_name").replace("{", "{{").replace("}", "}}")} AS template
    FROM counted JOIN numbers USING (span_type)
    WHERE (hashtext(span_name)::bigint & 2147483647) * names < %(most)s * 2147483648
      AND span_name ~ '{MAY_HOLD_IDS}'
    OFFSET 0
) AS used
WHERE template <> span_name
"""
_EARLIER = f"""
SELECT dimension_type, dimension_key, template, spans, first_day, last_day FROM (
    SELECT dimension_type, dimension_key, spans, first_day, last_day, {template("dimension_key")} AS template
    FROM (
        SELECT dimension_type, dimension_key, sum(count)::bigint AS spans, min(day) AS first_day, max(day) AS last_day
        FROM duration_histograms
        WHERE dimension_type = ANY(%(types)s) AND day >= %(since)s AND NOT day = ANY(%(days)s::date[])
          AND dimension_key ~ '{MAY_HOLD_IDS}'
        GROUP BY 1, 2
    ) AS keys
) AS earlier
WHERE dimension_type || ':' || template = ANY(%(templates)s)
"""


def _judged_by_type(database: Database) -> Callable[[Dimension], bool]:
    """Return a predicate: whether a baseline is configured for the type of a name, or for all types."""
    rows = database.rows(
        "SELECT dimension_type FROM telemetry_thresholds WHERE dimension_key IS NULL AND baseline_p50_ms IS NOT NULL"
    )
    types = {dimension_type.partition("+")[0] for (dimension_type,) in rows}
    return lambda name: GLOBAL in types or name[0] in types


def _configured(database: Database, templates: Collection[Dimension]) -> frozenset[Dimension]:
    """Return the names that would be folded if they had no threshold of their own."""
    types = {span_type for span_type, _ in templates}
    rows = database.rows("SELECT dimension_type, dimension_key FROM telemetry_thresholds WHERE dimension_key <> ''")
    names = [name for row in rows for name in _names_in(*row) if name[0] in types]
    folded = database.rows(
        f"SELECT of_type, of_name, {template('of_name')}"
        " FROM unnest(%(types)s::text[], %(names)s::text[]) AS u (of_type, of_name)",
        {"types": [span_type for span_type, _ in names], "names": [name for _, name in names]},
    )
    return frozenset((span_type, name) for span_type, name, of in folded if of != name and (span_type, of) in templates)


def _names_in(dimension_type: str, key: str) -> Iterator[Dimension]:
    """Yield the names that a dimension may contain: its key or, for ``A+b``, the part before each colon in its key."""
    span_type, _, attribute = dimension_type.partition("+")
    if not attribute:
        yield span_type, key
        return
    parts = key.split(":")
    for size in range(1, len(parts)):
        yield span_type, ":".join(parts[:size])


def _mark_stale(
    cursor: psycopg2.extensions.cursor, templates: Collection[Dimension], names: Collection[Dimension]
) -> None:
    """Mark the counted days on which a folded or kept name has spans; sealed parts of days stay as they are."""
    cursor.execute(
        f"""
        SELECT DISTINCT day FROM duration_histograms
        WHERE part = 0 AND dimension_type = ANY(%(types)s) AND (
            dimension_key = %(other)s OR dimension_type || ':' || dimension_key = ANY(%(names)s)
            OR dimension_type || ':' || dimension_key IN (
                SELECT of_type || ':' || {template("of_name")}
                FROM unnest(%(of_types)s::text[], %(of_names)s::text[]) AS u (of_type, of_name))
            OR dimension_type || ':' || {template("dimension_key")} = ANY(%(templates)s))
        ORDER BY day
        """,
        {
            "types": sorted({span_type for span_type, _ in (*templates, *names)}),
            "other": OTHER_KEYS,
            "names": [":".join(name) for name in names],
            "of_types": [span_type for span_type, _ in names],
            "of_names": [name for _, name in names],
            "templates": [":".join(name) for name in templates],
        },
    )
    for (day,) in cursor.fetchall():
        lock(cursor, [day])
        cursor.execute("UPDATE duration_histogram_days SET is_stale = true WHERE day = %s", (day,))
        blocks.forget(cursor, [day])
