"""Pre-aggregated blocks of 4 to 64 days, so that 90 days need about a dozen rows per dimension.

Belongs here: possible blocks, making and deleting them, choosing those of a window.
Does not: contents of rows (bucket_counts), when a day is counted (histograms).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import psycopg2.extensions
from psycopg2.extras import execute_values

from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.history import bucket_counts
from leo_telemetry_pipeline.store.history.bucket_counts import OF_BLOCK, OF_DAY, Durations
from leo_telemetry_pipeline.store.history.watermark import Fence, lock
from leo_telemetry_pipeline.store.server.database import Database

SIZES = (4, 8, 16, 32, 64)


class Block(NamedTuple):
    """Consecutive days, 1 or a number in SIZES; the ordinal of the first day is a multiple of that number."""

    first: date
    days: int

    @property
    def all_days(self) -> list[date]:
        """All days of the block."""
        return [self.first + n * DAY for n in range(self.days)]


def around(day: date) -> list[Block]:
    """Return the blocks that contain a day, one per size."""
    return [Block(day - timedelta(day.toordinal() % size), size) for size in SIZES]


def possible(counted: Collection[date]) -> list[Block]:
    """Return the blocks whose days are all counted, small ones first."""
    touched = {block for day in counted for block in around(day)}
    complete = [block for block in touched if all(day in counted for day in block.all_days)]
    return sorted(complete, key=lambda block: (block.days, block.first))


def choose(days: Sequence[date], made: Collection[Block]) -> tuple[list[Block], list[date]]:
    """Return the largest blocks that lie within the days, and the remaining days."""
    left, chosen = set(days), []
    for block in sorted(made, key=lambda block: (-block.days, block.first)):
        if left.issuperset(block.all_days):
            left.difference_update(block.all_days)
            chosen.append(block)
    return chosen, sorted(left)


def forget(cursor: psycopg2.extensions.cursor, days: Iterable[date]) -> None:
    """Delete the blocks that contain one of some days; the caller holds their locks."""
    firsts, sizes = zip(*{block for day in days for block in around(day)}, strict=True)
    for table in ("duration_histogram_blocks", "duration_histogram_blocks_made"):
        cursor.execute(
            f"DELETE FROM {table} WHERE (first_day, days) IN (SELECT * FROM unnest(%s::date[], %s::integer[]))",
            (list(firsts), list(sizes)),
        )


def made_for(cursor: psycopg2.extensions.cursor, types: Sequence[str], first: date, last: date) -> set[Block]:
    """Return the blocks between two days, the latter excluded, that exist for all ``types``."""
    cursor.execute(
        "SELECT first_day, days FROM duration_histogram_blocks_made WHERE first_day >= %s AND first_day < %s"
        " AND dimension_type = ANY(%s) GROUP BY 1, 2 HAVING count(*) = %s",
        (first, last, list(types), len(set(types))),
    )
    return {Block(*row) for row in cursor.fetchall()}


def missing(
    counted: Mapping[str, Collection[date]], made: Mapping[str, Collection[Block]], first: date, last: date
) -> dict[Block, list[str]]:
    """Return the possible blocks that overlap a range of days and do not exist, each with its types; small ones first.

    ``counted`` maps each dimension type to its days, ``made`` to its blocks.
    """
    wanted: dict[Block, list[str]] = {}
    for dimension_type in sorted(counted):
        for block in possible(counted[dimension_type]):
            overlaps = block.first < last and block.first + timedelta(block.days) > first
            if overlaps and block not in made.get(dimension_type, ()):
                wanted.setdefault(block, []).append(dimension_type)
    return dict(sorted(wanted.items(), key=lambda item: (item[0].days, item[0].first)))


def make(database: Database, first: date, last: date, types: Sequence[str], fence: Fence | None = None) -> int:
    """Make missing blocks that overlap a range of days, one transaction per block; return how many."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT dimension_type, array_agg(day) FROM duration_histogram_days WHERE dimension_type = ANY(%s)"
            " AND NOT is_stale AND counted_until IS NULL AND day >= %s AND day < %s GROUP BY 1",
            (list(types), first - timedelta(SIZES[-1]), last + timedelta(SIZES[-1])),
        )
        counted = {name: set(days) for name, days in cursor.fetchall()}
        cursor.execute(
            "SELECT dimension_type, first_day, days FROM duration_histogram_blocks_made"
            " WHERE dimension_type = ANY(%s) AND first_day >= %s AND first_day < %s",
            (list(types), first - timedelta(SIZES[-1]), last),
        )
        made: dict[str, set[Block]] = {}
        for name, *block in cursor.fetchall():
            made.setdefault(name, set()).add(Block(*block))
    number = 0
    for block, of_types in missing(counted, made, first, last).items():
        with database.transaction() as cursor:
            lock(cursor, block.all_days)
            number += _make(cursor, block, of_types)
            if fence is not None:
                fence(cursor)
    return number


def _make(cursor: psycopg2.extensions.cursor, block: Block, types: Sequence[str]) -> int:
    smaller = [size for size in SIZES if size < block.days]
    child = smaller[-1] if smaller else 1
    parameters = {"first": block.first, "days": block.days, "child": child, "types": list(types)}
    parameters["children"] = block.days // child
    # Meanwhile a day may have been counted again or deleted, or another process may have made the block.
    cursor.execute(_COMPLETE_BLOCKS if smaller else _COMPLETE_DAYS, parameters)
    parameters["types"] = [name for (name,) in cursor.fetchall()]
    if not parameters["types"]:
        return 0
    added: dict[tuple[str, str, str], Durations] = {}
    for dimension_type, key, project, *row in bucket_counts.stream(cursor, _BLOCKS if smaller else _DAYS, parameters):
        added.setdefault((dimension_type, key, project), Durations()).add(*row, base=block.first)
    execute_values(
        cursor,
        "INSERT INTO duration_histogram_blocks (first_day, days, dimension_type, dimension_key, project, seen_on,"
        " count, sum_ms, min_ms, max_ms, packed) VALUES %s",
        [
            (*block, *names, _signed(sums.seen_on), sums.count, sums.sum_ms, sums.min_ms, sums.max_ms, sums.packed())
            for names, sums in sorted(added.items())
        ],
        page_size=500,
    )
    cursor.execute(
        "INSERT INTO duration_histogram_blocks_made (first_day, days, dimension_type)"
        " SELECT %(first)s, %(days)s, dimension_type FROM unnest(%(types)s) AS dimension_type",
        parameters,
    )
    return 1


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


_COMPLETE_DAYS = """
SELECT dimension_type FROM duration_histogram_days AS c
WHERE day >= %(first)s AND day < %(first)s::date + %(days)s AND dimension_type = ANY(%(types)s)
  AND NOT is_stale AND counted_until IS NULL AND NOT EXISTS (
      SELECT FROM duration_histogram_blocks_made AS m
      WHERE m.first_day = %(first)s AND m.days = %(days)s AND m.dimension_type = c.dimension_type)
GROUP BY 1 HAVING count(*) = %(children)s
"""
_COMPLETE_BLOCKS = """
SELECT dimension_type FROM duration_histogram_blocks_made AS c
WHERE first_day >= %(first)s AND first_day < %(first)s::date + %(days)s AND days = %(child)s
  AND dimension_type = ANY(%(types)s) AND NOT EXISTS (
      SELECT FROM duration_histogram_blocks_made AS m
      WHERE m.first_day = %(first)s AND m.days = %(days)s AND m.dimension_type = c.dimension_type)
GROUP BY 1 HAVING count(*) = %(children)s
"""
_DAYS = f"""
SELECT dimension_type, dimension_key, project, {OF_DAY} FROM duration_histograms
WHERE day >= %(first)s AND day < %(first)s::date + %(days)s AND dimension_type = ANY(%(types)s)
"""
_BLOCKS = f"""
SELECT dimension_type, dimension_key, project, {OF_BLOCK} FROM duration_histogram_blocks
WHERE first_day >= %(first)s AND first_day < %(first)s::date + %(days)s AND days = %(child)s
  AND dimension_type = ANY(%(types)s)
"""
