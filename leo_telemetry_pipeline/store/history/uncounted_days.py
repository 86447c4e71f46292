"""SQL conditions and query parameters for days that are read from spans.

Belongs here: which spans of a partly sealed day remain to be read, and the SQL condition for the spans of some days.
Does not: counting (histograms).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from operator import itemgetter

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import Window, after, midnight, milliseconds


def condition(days: Sequence[date]) -> str:
    """Return the SQL condition for spans ``s`` that started on some days, which prunes partitions."""
    runs = groupby(enumerate(sorted(days)), key=lambda item: item[1].toordinal() - item[0])
    bounds = [[day for _, day in run] for _, run in runs]
    return " OR ".join(
        f"s.start_time_ms >= {milliseconds(midnight(run[0]))} AND s.start_time_ms < {milliseconds(after(run[-1]))}"
        for run in bounds
    )


def pieces(cursor: psycopg2.extensions.cursor, window: Window, days: Sequence[date]) -> Iterator[dict[str, object]]:
    """Yield query parameters for counting spans: consecutive days together, unless sealed at different times."""
    cursor.execute(
        "SELECT day, max(sealed_before) FROM telemetry_sealed_days WHERE day = ANY(%s::date[]) GROUP BY 1",
        (list(days),),
    )
    sealed = dict(cursor.fetchall())
    for _, group in groupby(enumerate(days), key=lambda item: (sealed.get(item[1]), item[1].toordinal() - item[0])):
        run = list(map(itemgetter(1), group))
        start, end = max(midnight(run[0]), window.start), min(after(run[-1]), window.end)
        yield replace(window, start=start, end=end).parameters() | {
            "created_from": sealed.get(run[0]),
            "created_to": None,
        }
