"""Recount of history on request, after changes to spans that cannot be detected.

Belongs here: choosing the days (closed ones only, since every analysis counts the current day).
Does not: counting a day (histograms), detecting stale days (staleness).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class Recount:
    """Days that were, or would be, recounted; for ``sealed`` days, only the spans stored after sealing."""

    dry_run: bool
    days: tuple[date, ...]
    sealed: tuple[date, ...]


def days(database: Database, first: date | None, last: date | None) -> tuple[list[date], list[date]]:
    """Return the counted days between two, both included: unsealed ones, and sealed ones."""
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
    """Recount days for all their dimension types, one by one; it may be interrupted and started again."""
    for day in of_days:
        histograms.count_again(database, day)
        on_day()
