"""Random interleavings of storing and counting: in the end, history is the same as after counting everything again.

Each case draws writers that hold transactions open over many steps, spans of several days, handoffs and waits that are
stored long after their children and parents, ends by UPDATE, and analyses and seals in between.
"""

import copy
import random
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta

import psycopg2
import pytest
from psycopg2.extras import Json, execute_values

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store.days import midnight as midnight_of
from leo_telemetry_pipeline.store.days import whole
from leo_telemetry_pipeline.store.history import blocks, histograms, staleness
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import DAY, execute, insert, midnight, new_id, span
from leo_telemetry_pipeline_tests.servers import EMBEDDED

DAYS = [midnight(ago).date() for ago in range(8, 0, -1)]
TYPES = ["gate", "gate+sd_type", "handoff", "sd_type"]
SEEN = ["gate", "handoff", "wait"]

HISTORY = """
SELECT day, dimension_type, dimension_key, project, sum(count)::bigint, sum(sum_ms), min(min_ms), max(max_ms)
FROM duration_histograms GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
BUCKETS = """
SELECT day, dimension_type, dimension_key, project, bucket, sum(n)::bigint
FROM duration_histograms, unnest(buckets, counts) AS b (bucket, n) GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""


class Writer:
    """A program that stores spans, and commits at random times."""

    def __init__(self, target: Target, stack: ExitStack) -> None:
        self.connection = stack.enter_context(closing(psycopg2.connect(target.dsn)))

    def store(self, made: list[Span]) -> None:
        with self.connection.cursor() as cursor:
            execute_values(
                cursor,
                "INSERT INTO workflow_trace_log (trace_id, span_id, parent_span_id, span_type, span_name,"
                " start_time_ms, duration_ms, project, attributes) VALUES %s ON CONFLICT DO NOTHING",
                [
                    (*ids(s), s.span_type, s.span_name, s.start_time_ms, s.duration_ms, s.project, Json(s.attributes))
                    for s in made
                ],
            )

    def end(self, made: list[Span]) -> None:
        """Complete the committed spans as the LEO engine does."""
        with self.connection.cursor() as cursor:
            for s in made:
                cursor.execute(
                    "UPDATE workflow_trace_log SET duration_ms = %s, status = 'OK', attributes = %s"
                    " WHERE trace_id = %s AND span_id = %s AND start_time_ms = %s",
                    (s.duration_ms, Json(s.attributes), s.trace_id, s.span_id, s.start_time_ms),
                )


def moment(made: Span) -> datetime:
    return datetime.fromtimestamp(made.start_time_ms / 1000, UTC)


def ids(made: Span) -> tuple[str, str, str | None]:
    return made.trace_id, made.span_id, made.parent_span_id


def drawn_pieces(rng: random.Random) -> list[list[Span]]:
    """Draw the pieces to store: children, waits in them, and their handoffs, in any order."""
    pieces = []
    for _ in range(6):
        trace_id, day = new_id(), rng.choice(DAYS)
        # Near midnight, related spans fall on different days.
        at = midnight_of(day) + timedelta(minutes=rng.choice((0, 5, 720, 1435)))
        project = rng.choice(("", "shop"))
        gates = [
            span("gate", rng.choice("AB"), rng.randrange(1, 10_000), at=at + apart, trace_id=trace_id, project=project)
            for apart in (
                rng.choice((-1, 0, 0, 1, 2, 7)) * DAY + timedelta(minutes=rng.choice((-30, 30))) for _ in "123"
            )
        ]
        wait_at = moment(gates[0]) + timedelta(minutes=rng.choice((0, 60, 7 * 1440)))
        waited = span("wait", "W", 50, at=wait_at, trace_id=trace_id, parent_span_id=gates[0].span_id)
        handoff = span(
            "handoff", "H", 90_000, at=at, trace_id=trace_id, attributes={"sd_type": rng.choice(("feature", "fix"))}
        )
        pieces += [gates, [waited], [handoff]]
    rng.shuffle(pieces)
    return pieces


def without_end(made: Span) -> Span:
    """Return a span as stored at its start."""
    start = copy.copy(made)
    start.duration_ms, start.attributes = None, {}
    return start


def begun(rng: random.Random, piece: list[Span]) -> tuple[list[Span], list[Span]]:
    """Draw which spans of a piece are stored without an end; return the piece, and the spans to complete later."""
    # A span that ends after its day was sealed is not in history.
    late = [s for s in piece if moment(s).date() > DAYS[1] and rng.random() < 0.4]
    return [without_end(s) if s in late else s for s in piece], late


def count_up(db: Database, rng: random.Random | None = None) -> None:
    """Update the history as an analysis does; with ``rng``, sometimes only for some of the days."""
    staleness.mark_stale(db)
    first, last = DAYS[0], DAYS[-1] + DAY
    if rng is not None and rng.random() < 0.5:
        first = rng.choice(DAYS)
    stale = staleness.stale_days(db, first, last, TYPES)
    histograms.rebuild(db, stale, TYPES, SEEN)
    blocks.make(db, first, last, TYPES)


def from_blocks(db: Database) -> list[tuple]:
    """Return the rows of blocks that the days confirm, and those that differ."""
    return db.rows(
        """
        SELECT b.first_day, b.days, b.dimension_type, b.dimension_key, b.project, b.count, sum(h.count)
        FROM duration_histogram_blocks AS b LEFT JOIN duration_histograms AS h
          ON h.day >= b.first_day AND h.day < b.first_day + b.days AND h.dimension_type = b.dimension_type
          AND h.dimension_key = b.dimension_key AND h.project = b.project
        GROUP BY 1, 2, 3, 4, 5, 6 HAVING b.count IS DISTINCT FROM sum(h.count)
        """
    )


def counted_anew(db: Database) -> None:
    """Delete all history, sealed parts included, and count every day from its spans."""
    execute(
        db,
        "TRUNCATE duration_histograms, duration_histogram_days, workflow_trace_counts, telemetry_sealed_days,"
        " duration_histogram_blocks, duration_histogram_blocks_made",
    )
    histograms.rebuild(db, DAYS, TYPES, SEEN)


@pytest.mark.transactions_at_once
def test_after_any_interleaving_history_equals_a_full_recount(db: Database, target: Target):
    """Lost: spans would be missing from history forever, or counted twice, and nobody could tell."""
    interleave(db, target, range(10))


@pytest.mark.only_on(EMBEDDED, reason="ninety more seeds; the other servers run ten")
@pytest.mark.parametrize("tens", range(1, 10))
def test_ninety_more_interleavings_hold_too(db: Database, target: Target, tens: int):
    """Lost: spans are missing or counted twice after rarer orders of events."""
    interleave(db, target, range(10 * tens, 10 * tens + 10))


def interleave(db: Database, target: Target, seeds: range) -> None:
    """Store, count and seal in an order drawn per seed, and compare with counting everything again."""
    insert(db, [])
    for seed in seeds:
        rng = random.Random(seed)
        execute(db, "TRUNCATE workflow_trace_log, telemetry_upkeep")
        execute(db, "INSERT INTO telemetry_upkeep DEFAULT VALUES")
        counted_anew(db)
        with ExitStack() as stack:
            writers = [Writer(target, stack) for _ in range(3)]
            ending: list[Span] = []
            for piece in drawn_pieces(rng):
                stored, late = begun(rng, piece)
                ending += late
                rng.choice(writers).store(stored)
                while ending and rng.random() < 0.4:
                    rng.choice(writers).end([ending.pop(rng.randrange(len(ending)))])
                # Most transactions stay open while days are counted, some over many counts, and some are rolled back.
                for writer in writers:
                    if rng.random() < 0.25:
                        writer.connection.commit()
                if rng.random() < 0.4:
                    count_up(db, rng)
                if rng.random() < 0.03:
                    histograms.seal(db, rng.choice(DAYS[:2]))
            for writer in writers:
                writer.connection.commit()
        count_up(db)
        got = db.rows(HISTORY), db.rows(BUCKETS)
        sealed = [day for (day,) in db.rows("SELECT DISTINCT day FROM telemetry_sealed_days")]
        assert from_blocks(db) == [], f"seed {seed}"
        counted_anew(db)
        expected = db.rows(HISTORY), db.rows(BUCKETS)
        # A handoff or wait that arrives after the seal changes nothing any more: that is what sealing means.
        assert without(got, sealed) == without(expected, sealed), f"seed {seed}"
        assert spans_of_gates(got) == spans_of_gates(expected), f"seed {seed}"


def without(history: tuple[list[tuple], ...], days: list[date]) -> list[list[tuple]]:
    return [[row for row in rows if row[0] not in days] for rows in history]


def spans_of_gates(history: tuple[list[tuple], ...]) -> list[tuple]:
    return [row[:5] for row in history[0] if row[1] == "gate"]


def test_the_search_for_new_spans_does_not_read_old_ones(db: Database):
    """Lost: an analysis after ten new spans would read ten million old ones."""
    insert(db, [span(at=midnight_of(day)) for day in DAYS for _ in range(50)])
    count_up(db)
    insert(db, [span(at=midnight_of(DAYS[2]))])
    [[since]] = db.rows("SELECT history_seen_before FROM telemetry_upkeep")
    assert db.rows("SELECT count(*) FROM workflow_trace_log WHERE created_at >= %s", (since,)) == [(1,)]
    assert staleness.stale_days(db, DAYS[0], DAYS[-1] + DAY, TYPES) == [DAYS[2]]


def test_whole_days_are_those_of_utc(db: Database):
    """Lost: on a server with another time zone, every day would be counted wrongly."""
    day = DAYS[3]
    execute(db, "ALTER DATABASE " + db.rows("SELECT current_database()")[0][0] + " SET timezone = 'Asia/Tokyo'")
    edges = (whole(day).start, whole(day).end - timedelta(milliseconds=1), whole(day).end)
    insert(db, [span("gate", "A", at=at) for at in edges])
    count_up(db)
    assert [row[:5] for row in db.rows(HISTORY)] == [(day, "gate", "A", "", 2), (day + DAY, "gate", "A", "", 1)]
