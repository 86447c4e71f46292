"""Intake notices: counts of rejected, implausible or unknown input.

Belongs here: the kinds of notices, statements on ``telemetry_intake_notices``.
Does not: spans and quarantined lines (spans), the remedy for a notice (cli.doctor).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import psycopg2
import psycopg2.extensions

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.store.server.database import Database

# Spans rejected one by one; detail: reason.
REJECTED = "rejected"
# Requests refused whole, which exporters do not send again; detail: status and reason.
REFUSED = "refused"
# Spans stored with impossible times; detail: the fault.
IMPLAUSIBLE_TIMES = "implausible_times"
# Requests in a protocol that the receiver does not accept at this address; detail: the protocol's name.
WRONG_PROTOCOL = "wrong_protocol"
# Clients rejected because too many were connected.
TOO_MANY_CLIENTS = "too_many_clients"
# Client newer than the newest tested version; detail: its version.
UNTESTED_VERSION = "untested_version"
# Spans not stored because another span has the same ids and start; detail: span type.
KEY_CONFLICT = "key_conflict"

_LONGEST_DETAIL = 200


class Noticed(NamedTuple):
    """Event to count: its source, one of the kinds above, and a detail without secrets."""

    source: str
    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Notice:
    """Stored notice and its count."""

    source: str
    kind: str
    detail: str
    count: int
    last_seen: datetime


def count(database: Database, noticed: Mapping[Noticed, int]) -> None:
    """Add to the notices, unless the user lacks the right. Raises psycopg2.OperationalError if the database is away."""
    with database.transaction() as cursor:
        count_in(cursor, noticed)


def count_in(cursor: psycopg2.extensions.cursor, noticed: Mapping[Noticed, int]) -> None:
    """Add to the notices within a transaction, which continues if its user lacks the right."""
    totals: Counter[Noticed] = Counter()
    for (source, kind, detail), times in noticed.items():
        totals[Noticed(source, kind, redact.text(detail, _LONGEST_DETAIL))] += times
    if not totals:
        return
    cursor.execute("SAVEPOINT noticing")
    try:
        # Sorted, so that transactions that count the same notices cannot deadlock.
        for key, times in sorted(totals.items()):
            cursor.execute(
                "INSERT INTO telemetry_intake_notices AS n (source, kind, detail, count) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (source, kind, detail) DO UPDATE"
                " SET count = n.count + excluded.count, last_seen = excluded.last_seen",
                (*key, times),
            )
    except psycopg2.ProgrammingError:
        # Roles that may only insert spans lack the right, and spans do not depend on it.
        cursor.execute("ROLLBACK TO SAVEPOINT noticing")


def since(database: Database, moment: datetime) -> list[Notice]:
    """Return the notices last seen since a given time, most frequent first."""
    rows = database.rows(
        "SELECT source, kind, detail, count, last_seen FROM telemetry_intake_notices WHERE last_seen >= %s"
        " ORDER BY count DESC, source, kind, detail",
        (moment,),
    )
    return [Notice(*row) for row in rows]
