"""Count history again on request, for changes to spans that nothing can notice.

Belongs here: which days are counted again. Does not: counting a day (histograms), days that are known to be stale
(staleness). A day that has not ended is left out: every analysis counts it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class Recount:
    """Days that were, or would be, counted again.

    Of the ``sealed`` ones only spans that came after sealing were counted: their sealed parts are final.
    """

    dry_run: bool
    days: tuple[date, ...]
    sealed: tuple[date, ...]


def days(database: Database, first: date | None, last: date | None) -> tuple[list[date], list[date]]:
    """Return the days between two, both included, that history has: those that are not sealed, and those that are."""
    rows = database.rows(
        """
        SELECT d.day, EXISTS (SELECT FROM telemetry_sealed_days AS t WHERE t.day = d.day)
        FROM (SELECT DISTINCT day FROM duration_histogram_days) AS d
        WHERE d.day >= coalesce(%s::date, '-infinity') AND d.day <= coalesce(%s::date, 'infinity')
          AND d.day < (now() AT TIME ZONE 'UTC')::date
        ORDER BY d.day
        """,
        (first, last),
    )
    return [day for day, is_sealed in rows if not is_sealed], [day for day, is_sealed in rows if is_sealed]


def recount(database: Database, of_days: Sequence[date], on_day: Callable[[], object] = lambda: None) -> None:
    """Count days again for all dimension types that they have, a day at a time. Interrupted, it can be begun again."""
    for day in of_days:
        histograms.count_again(database, day)
        on_day()
