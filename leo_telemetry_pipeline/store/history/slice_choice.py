"""Choice of the attributes per whose values spans are counted, such as host, model or sd_type.

Belongs here: the rule and its evidence. Does not: storing decisions (name_slices), counting (histograms).

A dimension type that is chosen is missing on counted days, so they are counted again for it from their spans.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import psycopg2.extensions

from leo_telemetry_pipeline.store import folded_names, name_slices, shared_names, thresholds
from leo_telemetry_pipeline.store.days import DAY, started_on
from leo_telemetry_pipeline.store.dimensions import MOST_SLICES, NAMED_ASSETS, valued_spans
from leo_telemetry_pipeline.store.history.span_counts import ALL_TYPES
from leo_telemetry_pipeline.store.history.watermark import Fence
from leo_telemetry_pipeline.store.name_templates import Slice
from leo_telemetry_pipeline.store.server.database import Database

# The newest days are enough, since an attribute that has several values later is chosen then.
DAYS = 7
# Two values must have this many spans on the examined days, about two per day; fewer could not be judged.
LEAST_SPANS = 14
MOST_VALUES = 10
# An attribute that was chosen keeps up to this many values; more are probably ids.
MOST_VALUES_KEPT = 30
# The least share of a name's spans that have the attribute.
LEAST_SHARE = 0.9
MOST_ATTRIBUTES = 4
# Spans that are examined; of more, a sample of traces.
SAMPLED = 100_000
# Above this many spans of history, it is not counted again: new slices begin with the day on which they are chosen.
MOST_AGAIN = 2_000_000

# Ids say nothing; another version is a change of the work itself; how work went does not say what work it was.
_NOT_CHOSEN = re.compile(
    r"(^|[._-])(u?u?id|pid|hash|sha|commit|version|revision|release|build|status|status_code|state|result|outcome|"
    r"error|exception|message|reason|retry|attempt|cached?|date|time|timestamp|start|end)$"
)


@dataclass(frozen=True)
class Values:
    """Values of an attribute: ``spans`` of the most frequent ones, largest first, and the number of all values."""

    slice_: Slice
    of_name: int
    spans: Sequence[int]
    values: int


def chosen(found: Iterable[Values], known: Mapping[Slice, bool], counted_wholly: Collection[str]) -> dict[Slice, bool]:
    """Return the slices with whether they are counted: those known, and those found, the largest names first.

    ``counted_wholly``: dimension types that are counted for all names. A known attribute that turned out to hold ids is
    no longer counted.
    """
    found = sorted(found, key=lambda one: (-one.of_name, one.slice_[:2], one.values, one.slice_))
    sizes = {one.slice_: one.values for one in found}
    kept = {
        slice_: is_counted
        for slice_, is_counted in known.items()
        if sizes.get(slice_, 0) <= MOST_VALUES_KEPT and _type(slice_) not in counted_wholly
    }
    room = MOST_SLICES - sum(sizes.get(slice_, MOST_VALUES) for slice_, is_counted in kept.items() if is_counted)
    attributes: dict[tuple[str, str], list[Sequence[int]]] = {}
    for one in found:
        others = attributes.setdefault(one.slice_[:2], [])
        is_new = _is_fit(one) and _type(one.slice_) not in counted_wholly and len(others) < MOST_ATTRIBUTES
        # The same numbers of spans under another name, such as host and pod, are the same slices.
        if kept.get(one.slice_) or (is_new and one.spans not in others):
            others.append(one.spans)
            if not kept.get(one.slice_):
                kept[one.slice_] = one.values <= room
                room -= one.values if kept[one.slice_] else 0
    return kept


def _type(slice_: Slice) -> str:
    return f"{slice_[0]}+{slice_[2]}"


def _is_fit(one: Values) -> bool:
    return (
        2 <= one.values <= MOST_VALUES
        and one.spans[1] >= LEAST_SPANS
        and sum(one.spans) >= LEAST_SHARE * one.of_name
        and not _NOT_CHOSEN.search(one.slice_[2].lower())
    )


def decide(database: Database, days: Sequence[date], fence: Fence | None = None) -> bool:
    """Choose slices, before ``days`` are counted; return whether there are new dimension types or names.

    ``fence`` is called last, and raises if the caller may no longer write.
    """
    shared, known = shared_names.of(database), name_slices.known(database)
    wholly = {*NAMED_ASSETS, *thresholds.named_types(database), *shared.types}
    if not days and wholly.isdisjoint(map(_type, known)):
        return False
    found = _examined(database, max(days)) if days else []
    found = [one for one in found if one.slice_[:2] not in shared.attributes]
    kept = chosen(found, known, wholly)
    new = {slice_: is_counted for slice_, is_counted in kept.items() if known.get(slice_) != is_counted}
    dropped = known.keys() - kept.keys()
    if not new and not dropped:
        return False
    with database.transaction() as cursor:
        name_slices.drop(cursor, dropped)
        name_slices.put(cursor, new.items())
        uncounted = {_type(slice_) for slice_, is_counted in new.items() if is_counted}
        # A type that is counted for all names from now on was not so far.
        uncounted |= {_type(slice_) for slice_ in dropped} & wholly
        _count_again(cursor, sorted(uncounted))
        if fence is not None:
            fence(cursor)
    return True


def _examined(database: Database, newest: date) -> list[Values]:
    condition = started_on([newest - n * DAY for n in range(DAYS)])
    [(spans,)] = database.rows(f"SELECT count(*) FROM workflow_trace_log AS s WHERE {condition}")
    share = min(1.0, SAMPLED / max(spans, 1))
    folds = folded_names.of(database)
    rows = database.rows(
        valued_spans(condition, folds),
        folds.parameters() | {"sampled": round(share * 2**31), "most": MOST_VALUES_KEPT},
    )
    return [
        Values((span_type, name, attribute), round(total / share), [round(n / share) for n in counts], values)
        for span_type, name, attribute, total, counts, values in rows
    ]


def _count_again(cursor: psycopg2.extensions.cursor, types: Sequence[str]) -> None:
    """Let the days of dimension types be counted again, or begin now if there are too many spans."""
    cursor.execute("SELECT coalesce(sum(spans), 0) FROM workflow_trace_counts WHERE span_type = ''")
    [(spans,)] = cursor.fetchall()
    if spans <= MOST_AGAIN:
        for table in ("duration_histogram_days", "duration_histogram_blocks", "duration_histogram_blocks_made"):
            cursor.execute(f"DELETE FROM {table} WHERE dimension_type = ANY(%s)", (list(types),))
        return
    cursor.execute(
        "INSERT INTO duration_histogram_days (day, dimension_type, complete_before, counted_until, is_stale,"
        " open_spans, open_nearby, looked_at) SELECT day, new.dimension_type, complete_before, counted_until,"
        " is_stale, open_spans, open_nearby, looked_at"
        " FROM duration_histogram_days AS d, unnest(%s) AS new (dimension_type)"
        " WHERE d.dimension_type = %s ON CONFLICT DO NOTHING",
        (list(types), ALL_TYPES),
    )
