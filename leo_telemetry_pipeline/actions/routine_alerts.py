"""Alerts that no analysis writes: the daily digest, troubles of our own, and overdue operations.

Belongs here: reading what they depend on, and writing them to the outbox. Does not: deciding (alerts), SQL (store).
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

import psycopg2.extensions

from leo_telemetry_pipeline.actions import alerts, operations, slow_spans
from leo_telemetry_pipeline.actions.alerts import Health, Policy, Slow
from leo_telemetry_pipeline.actions.item_detail import known_of
from leo_telemetry_pipeline.actions.slow_spans import Told
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import item_pages, outbox, runs, spans
from leo_telemetry_pipeline.store.item_pages import Seen
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.database import Database

_FAILED = ("FAILED", "TIMED_OUT")
# The newest runs, among which is one that has ended.
_SEARCHED = 5


def policy(settings: Settings) -> Policy:
    """Return what people want to be told."""
    after = settings.alert_remind_after
    return Policy(
        high=settings.alert_high,
        critical=settings.alert_critical,
        per_run=settings.alerts_per_run,
        per_day=settings.alerts_per_day,
        remind_after=timedelta(seconds=after) if after else None,
    )


def write(database: Database, settings: Settings, now: datetime) -> int:
    """Write the digest and alerts about ourselves and about overdue operations, if due; return how many are new."""
    last, waiting = runs.last_succeeded(database), runs.waiting(database)
    facts = Health(
        now=now,
        stale_after=timedelta(seconds=settings.stale_after),
        newest_span=spans.newest(database),
        succeeded_id=last.run_id if last else None,
        succeeded_at=last.finished_at if last else None,
        failed_reason=None if waiting else _failure(runs.latest(database, _SEARCHED)),
    )
    due = alerts.health(facts)
    analysed = last.finished_at if last else None
    if alerts.digest_is_due(now, settings.alert_digest, outbox.last_digest(database), analysed):
        assert last is not None
        assert settings.alert_digest is not None
        # A day of another zone may begin between two digests, and end before the next one.
        day = f"{now.astimezone(settings.alert_digest.tzinfo):%Y-%m-%d}"
        digest = alerts.digest(list(_still_slow(database)), last.window.end, day, policy(settings))
        due += [digest] if digest else []
    late = slow_spans.overdue(operations.read(database, settings, now.timestamp())) if settings.alert_overdue else {}
    if not due and not late:
        return 0
    with database.transaction() as cursor:
        if late:
            due += slow_spans.decide(late, _told(cursor, late, now), settings.alerts_per_day, now)
        return outbox.write(cursor, due)


def _told(cursor: psycopg2.extensions.cursor, late: Collection[str], now: datetime) -> Told:
    day = now.astimezone(UTC).date()
    keys = outbox.written(cursor, late)
    return Told(keys, outbox.written_on(cursor, day), outbox.written_on(cursor, day, [slow_spans.KIND]))


def _failure(newest: list[Run]) -> str | None:
    ended = next((run for run in newest if run.finished_at), None)
    if ended is None or ended.status not in _FAILED:
        return None
    return f"{ended.reason_code}: {' '.join((ended.error_detail or 'no further details').split())}"[:300]


def _still_slow(database: Database) -> Iterator[Slow]:
    seen = item_pages.seen_last(database)
    for item in item_pages.active(database):
        last = seen.get(item.id)
        # One that is fast stays active until a second analysis says so.
        if last is None or not last.is_fast:
            yield _slow(item, last)


def _slow(item: Item, seen: Seen | None) -> Slow:
    # The detail is from the last analysis that flagged the item, which may be old.
    ratio = item.source_detail.get("ratio") if seen is None or seen.ratio is None else seen.ratio
    return Slow(
        item_id=item.id,
        name=":".join(item.dimension) if item.dimension else item.title,
        status=item.status,
        ratio=float(ratio) if isinstance(ratio, int | float) else None,
        since=known_of(item).get("onset_day") or f"{item.opened_at:%Y-%m-%d}",
    )
