"""Notices about what came in: what was rejected, implausible or unknown, counted until somebody reads it.

Belongs here: the kinds of notices, statements on ``telemetry_intake_notices``.
Does not: spans (spans), lines that are kept for repair (``telemetry_quarantine``), what a notice asks for (cli.doctor).
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

# Spans that were refused one by one; the detail is the reason.
REJECTED = "rejected"
# Requests that were refused whole, which no exporter sends again; the detail is the status and the reason.
REFUSED = "refused"
# Spans whose times are stored but cannot be true; the detail is what is wrong with them.
IMPLAUSIBLE_TIMES = "implausible_times"
# Requests in a protocol that is not spoken at the address; the detail names it.
WRONG_PROTOCOL = "wrong_protocol"
# Clients that were turned away because too many were connected.
TOO_MANY_CLIENTS = "too_many_clients"
# A client that is newer than what was tested; the detail is its version.
UNTESTED_VERSION = "untested_version"
# Spans that were not stored since another span has their ids and start; the detail is the span type.
KEY_CONFLICT = "key_conflict"

_LONGEST_DETAIL = 200


class Noticed(NamedTuple):
    """What is counted: where it was noticed, one of the kinds above, and the detail, which holds no secret."""

    source: str
    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Notice:
    """One notice with how often it was noticed."""

    source: str
    kind: str
    detail: str
    count: int
    last_seen: datetime


def count(database: Database, noticed: Mapping[Noticed, int]) -> None:
    """Add to the notices where that can be done. Raises psycopg2.OperationalError where nothing can be."""
    with database.transaction() as cursor:
        count_in(cursor, noticed)


def count_in(cursor: psycopg2.extensions.cursor, noticed: Mapping[Noticed, int]) -> None:
    """Add to the notices within a transaction, which goes on where its user may not write them."""
    totals: Counter[Noticed] = Counter()
    for (source, kind, detail), times in noticed.items():
        totals[Noticed(source, kind, redact.text(detail, _LONGEST_DETAIL))] += times
    if not totals:
        return
    cursor.execute("SAVEPOINT noticing")
    try:
        # In one order, so that two that count the same notices cannot wait for each other.
        for key, times in sorted(totals.items()):
            cursor.execute(
                "INSERT INTO telemetry_intake_notices AS n (source, kind, detail, count) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (source, kind, detail) DO UPDATE"
                " SET count = n.count + excluded.count, last_seen = excluded.last_seen",
                (*key, times),
            )
    except psycopg2.ProgrammingError:
        # Roles that may only insert spans have no right to it; spans do not depend on it.
        cursor.execute("ROLLBACK TO SAVEPOINT noticing")


def since(database: Database, moment: datetime) -> list[Notice]:
    """Return the notices of something that was noticed since a moment, the most frequent first."""
    rows = database.rows(
        "SELECT source, kind, detail, count, last_seen FROM telemetry_intake_notices WHERE last_seen >= %s"
        " ORDER BY count DESC, source, kind, detail",
        (moment,),
    )
    return [Notice(*row) for row in rows]
