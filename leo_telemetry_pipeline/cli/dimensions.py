"""Databases and windows on the command line, and the error for an unknown dimension.

Belongs here: what commands on dimensions share. Does not: any command.
"""

import difflib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.days import Window, midnight
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database


@contextmanager
def connected() -> Iterator[Database]:
    """Open the database that the settings name."""
    with database.ready(Settings()) as target, closing(Database(target)) as connection:
        yield connection


def last_days(days: int, project: str | None) -> Window:
    """Return the window of the last ``days`` closed days and today so far."""
    now = datetime.now(UTC)
    return Window(midnight(now.date()) - timedelta(days), now, project)


def unknown(connection: Database, window: Window, dimension: Dimension) -> UserError:
    """Return the error for a dimension, or a type without a key, that has no spans in a window."""
    from leo_telemetry_pipeline.store import folded_names
    from leo_telemetry_pipeline.store.history import daily

    scope = daily.scope(connection, window)
    rows = daily.dimensions(connection, window, scope.types, scope.seen, scope.uncounted)
    names = [f"{row[0]}:{row[1]}" for row in rows] if dimension[1] else sorted({row[0] for row in rows})
    asked = ":".join(dimension).rstrip(":")
    if dimension[1] and (into := folded_names.folded(connection, dimension)):
        return UserError(f"{asked} is not judged by itself, since names that hold ids are folded: see {':'.join(into)}")
    near = difflib.get_close_matches(asked, names, 3, 0.6)
    same = [name for name in names if asked.lower() in name.lower()]
    meant = list(dict.fromkeys([*near, *same]))[:3]
    last = window.end - timedelta.resolution
    remedy = f"did you mean {' or '.join(meant)}?" if meant else "`leo-telemetry trends` lists those that do"
    return UserError(f"{asked} has no spans from {window.start:%Y-%m-%d} to {last:%Y-%m-%d}: {remedy}")
