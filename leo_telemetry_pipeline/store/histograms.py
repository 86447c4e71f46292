"""Daily history: how long each dimension took, in log buckets, for as long as anyone looks back.

Belongs here: which days must be counted again, counting them, and reading days as bucket counts.
Does not: percentiles of those counts, which are a pure function (analysis.p50).

Bucket i holds durations d with GAMMA**(i-1) < d <= GAMMA**i, and bucket -1 the zeros: any place in a bucket is
within 0.5 % of all that it holds (the idea of Masson, Rim and Lee, "DDSketch", VLDB 2019).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta

import psycopg2.extensions

from leo_telemetry_pipeline.store.database import Database
from leo_telemetry_pipeline.store.dimensions import REACH_MS, observations
from leo_telemetry_pipeline.store.spans import Window, milliseconds

ERROR = 0.005
GAMMA = 1 + ERROR
ZERO_BUCKET = -1

_ROWS = f"""
SELECT day, project, dimension_type, dimension_key, sum(n)::bigint, sum(total)::bigint, min(least), max(most),
       array_agg(bucket ORDER BY bucket), array_agg(n ORDER BY bucket)
FROM (
    SELECT day, project, dimension_type, dimension_key,
           CASE WHEN judged_ms = 0 THEN {ZERO_BUCKET}
                ELSE ceil(ln(judged_ms::double precision) / ln({GAMMA!r}::double precision))::integer END AS bucket,
           count(*) AS n, sum(judged_ms) AS total, min(judged_ms) AS least, max(judged_ms) AS most
    FROM ({{observations}}) AS o (day, project, dimension_type, dimension_key, trace_id, judged_ms, queue_wait_ms)
    GROUP BY 1, 2, 3, 4, 5) AS counted
GROUP BY 1, 2, 3, 4
"""


# A span carries the start of its transaction: nothing that is still to be committed is older than the oldest
# transaction under way. Those of other roles are hidden from whoever lacks pg_read_all_stats: then a day's margin.
_WATERMARK = """
SELECT least(now(), min(xact_start),
             CASE WHEN bool_or(backend_type IS NULL) THEN now() - interval '1 day' END)
FROM pg_stat_activity WHERE datname = current_database()
"""


def stale_days(database: Database, first: date, last: date, types: Sequence[str]) -> list[date]:
    """Return the days from ``first`` up to, not including, ``last`` whose history misses spans or types."""
    wanted = list(types)
    rows = database.rows(
        """
        WITH days AS (
            SELECT day::date FROM generate_series(%(first)s::date, %(last)s::date - 1, interval '1 day') AS day
        ), counted AS (
            SELECT days.day, count(h.day) AS types, min(h.complete_before) AS complete_before
            FROM days LEFT JOIN duration_histogram_days AS h
              ON h.day = days.day AND h.dimension_type = ANY(%(types)s)
            GROUP BY 1
        ), late AS (
            SELECT s.trace_id, s.parent_span_id, s.span_type, s.start_time_ms, s.created_at
            FROM workflow_trace_log AS s
            WHERE s.created_at >= (SELECT min(complete_before) FROM counted)
              AND s.start_time_ms >= %(from_ms)s - %(reach)s AND s.start_time_ms < %(to_ms)s + %(reach)s
        ), touched AS (
            SELECT start_time_ms / 86400000 AS day, created_at FROM late
            UNION
            -- A handoff gives its attributes to its whole trace; a wait is taken off the time of its parent.
            SELECT s.start_time_ms / 86400000, late.created_at
            FROM late JOIN workflow_trace_log AS s ON s.trace_id = late.trace_id
                AND (late.span_type <> 'wait' OR s.span_id = late.parent_span_id)
            WHERE late.span_type IN ('handoff', 'workflow', 'wait')
              AND s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s
        )
        SELECT day FROM counted WHERE types < %(wanted)s
        UNION
        SELECT counted.day FROM touched JOIN counted ON counted.day = DATE '1970-01-01' + touched.day::integer
        WHERE touched.created_at >= counted.complete_before
        ORDER BY day
        """,
        {
            "first": first,
            "last": last,
            "types": wanted,
            "wanted": len(wanted),
            "from_ms": milliseconds(_midnight(first)),
            "to_ms": milliseconds(_midnight(last)),
            "reach": REACH_MS,
        },
    )
    return [day for (day,) in rows]


def rebuild(
    database: Database,
    days: Sequence[date],
    types: Sequence[str],
    seen: Sequence[str],
    fence: Callable[[psycopg2.extensions.cursor], None] | None = None,
) -> int:
    """Count some days again, a transaction each, and return how many rows they have now.

    ``fence`` is called first in each transaction, and raises when the caller may no longer write.
    """
    sql, parameters = observations(types, seen)
    made = 0
    for day in days:
        with database.transaction() as cursor:
            if fence is not None:
                fence(cursor)
            # Two at once would both delete what is there and collide on what they insert.
            lock(cursor, day)
            # Before counting: whoever has committed by now is counted, whoever has not is in here or younger.
            cursor.execute(_WATERMARK)
            complete_before = (cursor.fetchone() or (None,))[0]
            cursor.execute(
                "DELETE FROM duration_histograms WHERE day = %s AND dimension_type = ANY(%s)",
                (day, list(types)),
            )
            cursor.execute(
                "INSERT INTO duration_histograms " + _ROWS.format(observations=sql),
                parameters | Window(_midnight(day), _midnight(day + timedelta(days=1))).parameters(),
            )
            made += cursor.rowcount
            cursor.execute(
                """
                INSERT INTO duration_histogram_days (day, dimension_type, complete_before)
                SELECT %s, dimension_type, %s FROM unnest(%s) AS dimension_type
                ON CONFLICT (day, dimension_type) DO UPDATE SET complete_before = excluded.complete_before
                """,
                (day, complete_before, list(types)),
            )
    return made


def lock(cursor: psycopg2.extensions.cursor, day: date) -> None:
    """Keep others from counting a day until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('duration_histograms'), %s)", (day.toordinal(),))


def types_of(database: Database, day: date) -> list[str]:
    """Return the dimension types that the history of a day has."""
    rows = database.rows("SELECT DISTINCT dimension_type FROM duration_histograms WHERE day = %s ORDER BY 1", (day,))
    return [name for (name,) in rows]


def forget_day(cursor: psycopg2.extensions.cursor, day: date) -> None:
    """Make a day one that has to be counted again, whatever comes between."""
    cursor.execute("DELETE FROM duration_histogram_days WHERE day = %s", (day,))


def bucket_counts(
    database: Database,
    window: Window,
    types: Sequence[str],
    seen: Sequence[str],
    uncounted: Sequence[date] = (),
) -> tuple[list[tuple], list[tuple]]:
    """Return what a window holds by bucket, from the stored days and, for those ``uncounted``, from spans.

    First list: dimension_type, dimension_key, spans, days, sum_ms, min_ms, max_ms. Second list, in the order of
    buckets: dimension_type, dimension_key, bucket, spans.
    """
    sql, parameters = observations(types, seen)
    fresh = " UNION ALL ".join(
        f"({_ROWS.format(observations=sql.replace('%(from_ms)s', f'%(from{i})s').replace('%(to_ms)s', f'%(to{i})s'))})"
        for i in range(len(uncounted))
    )
    for i, day in enumerate(uncounted):
        parameters[f"from{i}"] = milliseconds(max(_midnight(day), window.start))
        parameters[f"to{i}"] = milliseconds(min(_midnight(day + timedelta(days=1)), window.end))
    parameters |= {
        "types": list(types),
        "first": window.start.date(),
        "last": window.end,
        "project": window.project,
    }
    parameters["uncounted"] = list(uncounted)
    chosen = f"""
        WITH chosen AS (
            SELECT * FROM duration_histograms
            WHERE day >= %(first)s AND day < %(last)s AND dimension_type = ANY(%(types)s)
              AND NOT day = ANY(%(uncounted)s::date[])
              AND (%(project)s::text IS NULL OR project = %(project)s)
            {"UNION ALL " + fresh if fresh else ""}
        )
    """
    with database.transaction() as cursor:
        cursor.execute(
            chosen
            + """SELECT dimension_type, dimension_key, sum(count)::bigint, count(DISTINCT day),
                 sum(sum_ms)::double precision, min(min_ms), max(max_ms) FROM chosen GROUP BY 1, 2 ORDER BY 1, 2""",
            parameters,
        )
        totals = cursor.fetchall()
        cursor.execute(
            chosen
            + """SELECT dimension_type, dimension_key, b.bucket, sum(b.n)::bigint
                 FROM chosen, unnest(buckets, counts) AS b (bucket, n) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
            parameters,
        )
        return totals, cursor.fetchall()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
