"""Trials of the life of items on a real database: random orders of events, much at once, a square wave.

Belongs here: the trials and what must hold. Does not: their sizes (integration/test_item_life.py, benchmarks).
"""

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg2
from hypothesis import strategies as st

from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.analysis.bottlenecks import count_outcomes, found
from leo_telemetry_pipeline.dimension import Bottleneck, DimensionResult
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import items, spans
from leo_telemetry_pipeline.store.items import ACTIVE, Event, Item, Transition
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.builders import (
    DAY,
    analyse,
    configure,
    execute,
    midnight,
    row_of,
    running,
    span,
    week,
)

CLOSED = ("RESOLVED", "ACCEPTED", "DISMISSED", "STALE")
STATUSES = (*ACTIVE, *CLOSED)
BASELINE_MS, SLOW_MS = 1000, 3000
DAYS = 45


@dataclass(frozen=True)
class Step:
    """An event of a random life: an analysis with an outcome, or a status that a person sets, by command or by SQL."""

    kind: str
    value: str
    days_ago: int


# Every life begins with an analysis that opens the item.
_OPENING = Step("analysis", "bottleneck", DAYS - 8)
_DAYS_AGO = st.integers(0, DAYS - 8)
_ANALYSES = st.builds(Step, st.just("analysis"), st.sampled_from(["bottleneck", "ok", "none"]), _DAYS_AGO)
_BY_COMMAND = st.builds(Step, st.just("person"), st.sampled_from(STATUSES), _DAYS_AGO)
_BY_SQL = st.builds(Step, st.just("sql"), st.sampled_from(STATUSES), _DAYS_AGO)


def _life(steps: list[Step], is_in_order: bool) -> list[Step]:
    return [_OPENING, *(sorted(steps, key=lambda step: -step.days_ago) if is_in_order else steps)]


# Half of the lives go forward in time. Plain SQL acts now, after which no analysis of the past changes anything.
STEPS = st.builds(
    _life,
    st.one_of(
        st.lists(st.one_of(_ANALYSES, _ANALYSES, _BY_COMMAND), min_size=4, max_size=16),
        st.lists(st.one_of(_ANALYSES, _BY_COMMAND, _BY_SQL), min_size=2, max_size=12),
    ),
    st.booleans(),
)


def is_legal(before: str, after: str) -> bool:
    """Return whether a person may make a step."""
    return after not in ("RESOLVED", "STALE") and (before in ACTIVE) == (after != "OPEN")


def insert_history(db: Database) -> None:
    """Store six weeks of gate A, slow in every second week."""
    spans.ensure_partitions(db, midnight(DAYS), midnight())
    spans.insert(db, [one for days_ago in range(1, DAYS) for one in _day(days_ago)])


def _day(days_ago: int) -> Iterator[Span]:
    took = SLOW_MS if days_ago // 7 % 2 else BASELINE_MS
    for number in range(12):
        at = midnight(days_ago) + timedelta(hours=2 * number)
        yield span("gate", "A", took + number, at=at)


def conclude(db: Database, end: datetime, outcome: str) -> None:
    """End an analysis that judged gate A so, or did not measure it."""
    run_id, mine = running(db, window_end=end, window_days=7)
    finish(db, end, outcome, run_id, mine)


def finish(db: Database, end: datetime, outcome: str, run_id: str, mine: str) -> None:
    """Write the conclusion of a running analysis."""
    observed = SLOW_MS if outcome == "bottleneck" else BASELINE_MS
    numbers = (84, observed, 1.0, 1.0, 1.0, 1.0, None, "exact", observed, BASELINE_MS, "configured", 2.0, 10)
    judged = () if outcome == "none" else (DimensionResult("gate", "A", *numbers, outcome),)
    summary = findings.Summary(tuple(found(judged)), count_outcomes(judged), 84, 10, "exact", {}, judged=judged)
    findings.conclude(db, summary, week(end), run_id=run_id, dagster_run_id=mine, errors=[])


def live(db: Database, steps: Sequence[Step]) -> list[Event]:
    """Make the steps of a life in an empty table of items, and return its events, which are checked."""
    execute(db, "DELETE FROM continuous_improvements")
    for step in steps:
        if step.kind == "analysis":
            conclude(db, midnight(step.days_ago), step.value)
        elif known := items.all_items(db):
            _set(db, known[0], step)
    known = items.all_items(db)
    assert len(known) <= 1
    events = items.events(db, known[0].id) if known else []
    check(events)
    assert not known or (known[0].status, known[0].episode) == (events[-1].to_status, events[-1].episode)
    return events


def _set(db: Database, item: Item, step: Step) -> None:
    legal = step.value == item.status and step.kind == "sql"
    legal = legal or (step.value != item.status and is_legal(item.status, step.value))
    try:
        with db.transaction() as cursor:
            if step.kind == "sql":
                cursor.execute("UPDATE continuous_improvements SET status = %s", (step.value,))
            else:
                at = midnight(step.days_ago)
                by_ada = Transition(item.id, item.status, step.value, item.status_since, at, "ada", "because")
                assert items.move(cursor, by_ada)
    except psycopg2.errors.CheckViolation:
        assert not legal, (item.status, step)
    else:
        assert legal or step.value == item.status, (item.status, step)


def check(events: Sequence[Event]) -> None:
    """Assert that a history is a legal life, in which the system overruled nobody."""
    status, episode, since = None, 1, None
    for event in events:
        assert event.from_status == status
        assert event.actor
        assert event.reason
        if status in CLOSED:
            episode += 1
        assert event.episode == episode
        if event.actor == "system":
            assert (status, event.to_status) in _BY_SYSTEM, event
            assert since is None or event.window_end > since
        else:
            assert status is not None
            assert is_legal(status, event.to_status), event
        status, since = event.to_status, event.window_end


_BY_SYSTEM = {
    (None, "OPEN"), ("VERIFYING", "OPEN"), ("RESOLVED", "OPEN"), ("STALE", "OPEN"),
    *((status, to) for status in ACTIVE for to in ("RESOLVED", "STALE")),
}  # fmt: skip


def at_once(db: Database, target: Target, count: int) -> int:
    """Conclude several analyses of one bottleneck at the same time, and return the number of items."""
    execute(db, "DELETE FROM continuous_improvements")
    # The queue would let them follow each other.
    execute(db, "DROP INDEX IF EXISTS telemetry_analysis_runs_one_running")
    claimed = [running(db, window_end=midnight(), window_days=7) for _ in range(count)]
    barrier = threading.Barrier(count)

    def one(run_id: str, mine: str) -> None:
        with closing(Database(target)) as own:
            own.rows("SELECT 1")
            barrier.wait()
            finish(own, midnight(), "bottleneck", run_id, mine)

    threads = [threading.Thread(target=one, args=run) for run in claimed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    succeeded = "SELECT count(*) FROM telemetry_analysis_runs WHERE status = 'SUCCEEDED' AND run_id = ANY(%s::uuid[])"
    assert db.rows(succeeded, ([run_id for run_id, _ in claimed],)) == [(count,)]
    return len(items.all_items(db))


@dataclass(frozen=True)
class Flood:
    """What became of many findings of one analysis: items, findings over the limit of items, alerts, and digests.

    ``in_digests``: the number of items that the digests count.
    """

    items: int
    limited: int
    alerts: int
    digests: int
    in_digests: int


def findings_at_once(db: Database, count: int) -> Flood:
    """Conclude an analysis with many bottlenecks, five of each dimension type."""
    slow = [
        Bottleneck(f"type_{one // 5}", f"KEY_{one}", 5000.0 - one, 100.0, "configured", 2.0, 10) for one in range(count)
    ]
    summary = findings.Summary(tuple(slow), count_outcomes([]) | {"bottleneck": count}, 10, 10, "exact", {})
    run_id, mine = running(db, window_end=midnight(), window_days=7)
    ended = findings.conclude(db, summary, week(midnight()), run_id=run_id, dagster_run_id=mine, errors=[])
    told = db.rows("SELECT kind, body FROM alert_outbox WHERE run_id = %s::uuid", (run_id,))
    digests = [body for kind, body in told if kind == "digest"]
    in_digests = sum(len(body["items"]) + body["more"] for body in digests)
    alerts = len(told) - len(digests)
    return Flood(len(items.all_items(db)), ended["items_skipped_rate_limit"], alerts, len(digests), in_digests)


def square_wave(db: Database, rng: random.Random, ends: Sequence[datetime]) -> list[Event]:
    """Analyse 37 days of a gate that changes twice a day between 0.8 and 1.2 of its threshold; return its events.

    Each day begins with slow hours, so a window that ends at 06:00 or 18:00 has more slow spans than fast ones and is
    certain to be over the threshold; at 00:00 and 12:00 it has as many of both, and chance decides.
    """
    configure(db, "gate", "WAVE", 1000, 2.0)
    spans.ensure_partitions(db, midnight(38), midnight())
    made = []
    for days_ago in range(37, 0, -1):
        for half_hour in range(48):
            level = 1600 if half_hour // 12 % 2 else 2400
            at = midnight(days_ago) + timedelta(minutes=30 * half_hour)
            made.append(span("gate", "WAVE", round(level * rng.lognormvariate(0, 0.05)), at=at))
    spans.insert(db, made)
    for end in ends:
        run = row_of(db, analyse({"leo_telemetry/window_end": end.isoformat()}))
        assert run.status == "SUCCEEDED", (end, run)
    with suppress(ValueError):
        [item] = items.all_items(db)
        return items.events(db, item.id)
    assert not items.all_items(db)
    return []


def wave_ends(every: timedelta) -> list[datetime]:
    """Return the ends of the analyses of a month."""
    return [midnight(30) + number * every for number in range(int(30 * DAY / every))]
