"""Days that are read from their spans, as windows.

Belongs here: which part of a day is left to read once parts of it are sealed. Does not: counting (histograms).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from operator import itemgetter

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import Window, after, midnight


def pieces(cursor: psycopg2.extensions.cursor, window: Window, days: Sequence[date]) -> Iterator[dict[str, object]]:
    """Yield the parameters by which spans are counted: of days in a row together, but of each sealed one by itself."""
    cursor.execute(
        "SELECT day, max(sealed_before) FROM telemetry_sealed_days WHERE day = ANY(%s::date[]) GROUP BY 1",
        (list(days),),
    )
    sealed = dict(cursor.fetchall())
    for _, run in groupby(enumerate(days), key=lambda one: (sealed.get(one[1]), one[1].toordinal() - one[0])):
        in_a_row = list(map(itemgetter(1), run))
        start, end = max(midnight(in_a_row[0]), window.start), min(after(in_a_row[-1]), window.end)
        yield replace(window, start=start, end=end).parameters() | {
            "created_from": sealed.get(in_a_row[0]),
            "created_to": None,
        }
