"""Query parameters for days that are read from spans.

Belongs here: which spans of a partly sealed day remain to be read. Does not: counting (histograms).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import Window, after, midnight


def pieces(cursor: psycopg2.extensions.cursor, window: Window, days: Sequence[date]) -> Iterator[dict[str, object]]:
    """Yield query parameters for counting spans: consecutive days together, unless sealed at different times."""
    sealed = sealed_before(cursor, days)
    for _, group in groupby(enumerate(days), key=lambda item: (sealed.get(item[1]), item[1].toordinal() - item[0])):
        run = list(map(itemgetter(1), group))
        start, end = max(midnight(run[0]), window.start), min(after(run[-1]), window.end)
        yield replace(window, start=start, end=end).parameters() | {
            "created_from": sealed.get(run[0]),
            "created_to": None,
        }


def sealed_before(cursor: psycopg2.extensions.cursor, days: Sequence[date]) -> dict[date, datetime]:
    """Return up to when the sealed ones of some days are sealed."""
    cursor.execute(
        "SELECT day, max(sealed_before) FROM telemetry_sealed_days WHERE day = ANY(%s::date[]) GROUP BY 1",
        (list(days),),
    )
    return dict(cursor.fetchall())
